//! SIGTERM: within the grace, exit code 0, and what ran is finished or can be asked for again.

use crate::support::{Cluster, HANGS, Seeded, WAIT, create, created, fresh, sign};
use quorate_api::client::ClientError;
use quorate_api::intent::Scheme;
use std::time::{Duration, Instant};

/// The grace that the configuration gives, and what the node may take beyond it to close.
const GRACE: Duration = Duration::from_secs(2);
const CLOSING: Duration = Duration::from_secs(5);

#[test]
fn sigterm_ends_a_node_in_good_order_also_in_the_middle_of_a_ceremony() {
    let mut cluster = Cluster::start("shutdown_grace = \"2s\"");
    let begun = Instant::now();
    let key = cluster.create(0, Scheme::EcdsaP256);
    let usual = begun.elapsed();
    let mut seeded = Seeded(7);
    let mut cases = 0;
    for round in 0_u32..4 {
        let (asked, stopped) = [(0, 0), (1, 0), (1, 1), (2, 0)][usize::try_from(round).unwrap()];
        let repeat = fresh();
        let (client, wanted) = (cluster.client(asked), create(Scheme::EcdsaP256));
        let again = repeat.clone();
        let pending = cluster.runtime.spawn(async move { client.create_key(&wanted, &again, WAIT).await });
        std::thread::sleep(usual.mul_f64((f64::from(round) + seeded.share()) / 4.0));
        let (status, took) = cluster.nodes[stopped].stop();
        assert_eq!(status.code(), Some(0), "{}", cluster.logs());
        assert!(took < GRACE + CLOSING, "it took {took:?}\n{}", cluster.logs());
        assert!(cluster.nodes[stopped].log().contains("node stopped"), "{}", cluster.logs());
        let answer = cluster.runtime.block_on(async { tokio::time::timeout(HANGS, pending).await });
        let answer = answer.unwrap_or_else(|_| panic!("the request hangs\n{}", cluster.logs())).unwrap();
        cluster.nodes[stopped].start();
        cluster.wait_connected();
        let key = match answer {
            Ok(operation) => created(&operation),
            Err(error) => {
                let clear = match &error {
                    ClientError::Problem(problem) => problem.code.retryable(),
                    // Asked before the node listened no more, or after.
                    ClientError::Connect { .. } => asked == stopped,
                    _ => false,
                };
                assert!(clear, "round {round}: {error:?}\n{}", cluster.logs());
                let wanted = create(Scheme::EcdsaP256);
                let again =
                    cluster.runtime.block_on(cluster.client(asked).create_key(&wanted, &repeat, WAIT));
                created(&again.unwrap_or_else(|error| panic!("round {round}: {error}\n{}", cluster.logs())))
            }
        };
        cluster.must_sign(stopped, &key, None);
        cases += 1;
    }
    assert_eq!(cases, 4);
    // Idle nodes end at once, with the client's kept connection still open.
    let client = cluster.client(0);
    let _open = cluster.runtime.block_on(client.nodes()).unwrap();
    let message = fresh();
    cluster.runtime.block_on(client.sign(&key, &sign(&message, None), &message, WAIT)).unwrap();
    for node in &mut cluster.nodes {
        let (status, took) = node.stop();
        assert_eq!(status.code(), Some(0));
        assert!(took < GRACE + Duration::from_secs(1), "an idle node took {took:?}");
    }
}
