//! A node that dies between a failed check and the word that it failed.

use std::time::{Duration, Instant};

use quorate_api::Code;
use quorate_api::intent::{Purpose, Scheme};
use quorate_node::Node;
use quorate_store::fault::{Fault, Faults};

use crate::byzantine::Traitor;
use crate::cluster::{Cluster, WAIT, message, problem, unique};
use crate::end_to_end::verify;

/// covers: A1, A3. The node dies as soon as the mark of the first or the second direction is on its disk, before anything can have left. When it comes
/// back it signs with the cheater no more, and with the other as before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_dies_over_a_failed_check_comes_back_with_the_burn() {
    let mut cases = 0;
    for nth in [1, 2] {
        let mut cluster = Cluster::start(3).await;
        let key = cluster.create(Scheme::EcdsaSecp256k1, 2, Some(vec![Purpose::Message])).await;
        cluster.stop(0).await;
        let faults = Faults::default();
        let dying = Node::start_with_faults(cluster.configs[0].clone(), faults.clone()).await;
        cluster.nodes[0] = Some(dying.unwrap());
        cluster.start_all().await;
        let mut traitor = Traitor::replace(&mut cluster, 2).await;
        faults.fail_nth_named("burn", nth, Fault::DeadAfter);
        let cheating = traitor.cheat(&cluster, &key.id, false);
        tokio::select! {
            () = faults.died() => {}
            _ = cheating => {}
        }
        assert!(faults.is_dead(), "the check failed, and its mark was written");
        drop(cluster.nodes[0].take());

        let until = Instant::now() + Duration::from_secs(20);
        cluster.nodes[0] = Some(loop {
            match Node::start(cluster.configs[0].clone()).await {
                Ok(node) => break node,
                Err(error) => assert!(Instant::now() < until, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        });
        let ids = [cluster.identities[0], cluster.identities[1]];
        traitor.network.wait_connected(&ids, Duration::from_secs(10)).await.unwrap();
        let mut both = message("with the cheater");
        both.quorum = Some(vec!["node-a".to_owned(), "node-c".to_owned()]);
        let refused = cluster.client(0).sign(&key.id, &both, &unique("burned"), WAIT).await;
        assert_eq!(problem(refused.unwrap_err()).code, Code::KeyBurned, "mark {nth}");
        let signed = cluster.sign(0, &key.id, "with the other").await.unwrap();
        assert_eq!(signed.quorum, ["node-a", "node-b"]);
        verify(key.scheme, &key.public_key.0, b"with the other", &signed.signatures[0]);
        cases += 1;
    }
    assert_eq!(cases, 2);
}
