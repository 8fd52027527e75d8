//! What was agreed to before, over restarts and changes of the rules.

use quorate_api::{Code, OperationStatus};
use quorate_policy::change::Step;

use crate::cluster::{Cluster, WAIT, message, problem, unique};
use crate::governed::{create, name, until};

const ANY: &str = "@id(\"all\") permit (principal, action, resource);";
const FOUR: &str = r#"
@id("create")
permit (principal, action == Action::"create_key", resource);
@id("four")
permit (principal, action == Action::"sign:message", resource)
when { context.spent.key.day.count < 4 };
"#;

/// A rule that begins to look back sees what was signed before it, once an operation; several people at once do not pass a limit of a
/// key together; a restart forgets nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_of_a_key_holds_for_everybody_and_over_restarts() {
    let mut cluster = Cluster::governed(2, &[("rules", ANY)]).await;
    let key = create(&cluster, "alice").await;
    let sign = async |cluster: &Cluster, at: usize, who: &'static str, which: &str| {
        let asked = cluster.as_user(at, who).sign(&key.id, &message("m"), which, WAIT).await;
        asked.map_err(problem).map(|operation| operation.status)
    };
    let first = unique("first");
    assert_eq!(sign(&cluster, 0, "alice", &first).await, Ok(OperationStatus::Succeeded));
    let rule = vec![Step::SetPolicy { name: name("rules"), text: FOUR.to_owned() }];
    let asked = cluster.change(0, "alice", rule).await.unwrap();
    cluster.rule(0, "bob", "approve", &asked).await.unwrap();
    until(async || cluster.versions("alice").await == [1, 1]).await;
    assert_eq!(sign(&cluster, 0, "alice", &first).await, Ok(OperationStatus::Succeeded), "the same again");
    assert_eq!(sign(&cluster, 1, "bob", &unique("second")).await, Ok(OperationStatus::Succeeded));
    let each = ["alice", "bob", "carol", "dave", "alice", "bob"].map(|who| {
        let (cluster, which) = (&cluster, unique("many"));
        async move { sign(cluster, 0, who, &which).await }
    });
    let answers = futures_util::future::join_all(each).await;
    let signed = answers.iter().filter(|answer| answer.is_ok()).count();
    let denied =
        answers.iter().filter(|a| a.as_ref().is_err_and(|problem| problem.code == Code::PolicyDenied));
    assert_eq!((signed, denied.count()), (2, 4), "{answers:?}");
    for at in [0, 1] {
        cluster.stop(at).await;
    }
    cluster.start_all().await;
    for at in [0, 1] {
        let refused = sign(&cluster, at, "carol", &unique("more")).await.unwrap_err();
        assert_eq!(refused.code, Code::PolicyDenied, "{}", refused.detail);
    }
    assert_eq!(sign(&cluster, 0, "alice", &first).await, Ok(OperationStatus::Succeeded), "it was answered");
}
