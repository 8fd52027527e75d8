//! Taking part in a move that another node coordinates.

use std::sync::Arc;

use quorate_api::{Code, Problem};
use quorate_net::PeerId;
use tokio::time::{Instant, timeout_at};

use super::Plan;
use crate::ceremony::member::Line;
use crate::ceremony::{Attempt, Failure};
use crate::control::{Control, Outcome, Refusal};
use crate::shared::Shared;

/// From an accepted proposal to the end of this node's part. Gives why there is none, if there is none.
pub(crate) async fn take_part(
    shared: &Arc<Shared>,
    from: PeerId,
    operation: &quorate_api::OperationId,
    attempt: &Attempt,
    plan: &Plan,
    mut line: Line,
) -> Result<(), Problem> {
    let deadline = Instant::now() + shared.config.limits.ceremony_deadline;
    let coordinator = shared.network.watch(from);
    let led = line.cancel.child_token();
    let tell = |outcome| async move {
        shared.tell(from, &Control::Ended { ceremony: attempt.ceremony, outcome }).await;
    };
    let failed = |problem: Problem| Outcome::Failed(Refusal::new(&problem, None));
    let ran = {
        let run = plan.run(shared, operation, deadline, led.clone());
        tokio::pin!(run);
        tokio::select! {
            biased;
            ran = &mut run => ran,
            () = coordinator.lost() => {
                led.cancel();
                run.await
            }
        }
    };
    let epoch = match ran {
        Ok((epoch, _)) => epoch,
        Err(failure) => {
            let Failure { .. } = &failure;
            tell(failed(failure.for_peers())).await;
            return Err(failure.problem);
        }
    };
    tell(Outcome::Prepared { epoch }).await;
    let package = tokio::select! {
        () = line.cancel.cancelled() => None,
        // It is gone or has forgotten; nobody was told anything, so the key goes on as it is.
        () = coordinator.lost() => None,
        told = timeout_at(deadline, line.stand_down.wait_for(Option::is_some)) => {
            told.ok().and_then(Result::ok).and_then(|package| package.clone())
        }
    };
    let Some(package) = package else {
        if let Some(epoch) = epoch {
            shared.call_off(&plan.id, &epoch).await;
        }
        let detail = "the coordinator called the move off, or is not there any more";
        return Err(Problem::new(Code::CeremonyAborted, detail));
    };
    let until = (Instant::now() + shared.config.limits.attempt_deadline).min(deadline);
    let stood = async {
        let epoch = match epoch {
            Some(epoch) => epoch,
            None => plan.witness(shared, operation, &package).await?,
        };
        let statement = shared.stand_down(&plan.id, &epoch, until).await;
        if statement.is_err() {
            shared.call_off(&plan.id, &epoch).await;
        }
        statement
    };
    match stood.await {
        Ok(statement) => {
            tell(Outcome::StoodDown { statement }).await;
            // What follows does not depend on who is there: see `doubt`.
            shared.await_end(&plan.id, &plan.old, deadline).await;
            tell(Outcome::Active).await;
            Ok(())
        }
        Err(problem) => {
            tell(failed(problem.clone())).await;
            Err(problem)
        }
    }
}
