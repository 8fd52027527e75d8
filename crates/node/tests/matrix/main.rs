//! Every ceremony × every message that gets lost × every node killed before and after every durable write, with real nodes over real
//! SQLite files. Afterwards exactly one committee signs, nothing is lost, and nobody is locked out.
//!
//! What is there to go wrong is counted in an undisturbed run. A test run draws a sample of it; `cargo xtask matrix` runs all.
//!
//! covers: S35
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests may panic and tell"
)]

mod cells;
mod ceremony;
mod checks;
#[path = "../node/cluster.rs"]
#[expect(dead_code, clippy::panic, reason = "the matrix needs a part of it")]
mod cluster;
mod import;
mod lab;
mod restore;
#[path = "../node/shelf.rs"]
mod shelf;
mod signing;
mod split;
#[path = "../node/verify.rs"]
mod verify;

use quorate_api::intent::Scheme;

use self::cells::matrix;
use self::ceremony::Ceremony;

/// Runs a sample of a ceremony's cells, or all, in five clusters at once.
async fn survives(ceremony: Ceremony, sample: usize) {
    let tally = matrix(ceremony, Scheme::Ed25519, sample, 5).await;
    if tally.picked {
        return;
    }
    // What was to go wrong did, and both ends were seen: so it was where it matters.
    assert!(tally.there >= sample && tally.fired * 10 >= tally.run * 8, "{tally:?}");
    assert!(tally.went_on > 0 && tally.went_on < tally.run, "{tally:?}");
}

/// The same where pairs are set up, which costs much: fewer at once, and the sample is too small to show both ends.
async fn survives_with_set_up(ceremony: Ceremony, scheme: Scheme, sample: usize) {
    let tally = matrix(ceremony, scheme, sample, 3).await;
    assert!(tally.picked || tally.there > 100 && tally.fired * 10 >= tally.run * 7, "{tally:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_creation_survives_whatever_goes_wrong() {
    survives(Ceremony::Create, 24).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_survives_whatever_goes_wrong() {
    survives(Ceremony::Refresh, 24).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_party_that_joins_while_things_go_wrong_is_in_or_out() {
    survives(Ceremony::Grow, 24).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_party_that_is_replaced_while_things_go_wrong_is_in_or_out() {
    survives(Ceremony::Replace, 24).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_party_that_leaves_while_things_go_wrong_is_in_or_out() {
    survives(Ceremony::Leave, 24).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_threshold_that_is_raised_while_things_go_wrong_is_the_old_or_the_new_one() {
    survives(Ceremony::Raise, 24).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repair_survives_whatever_goes_wrong() {
    survives(Ceremony::Repair, 24).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_survives_whatever_goes_wrong() {
    survives(Ceremony::Restore, 12).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_disabled_survives_whatever_goes_wrong() {
    survives(Ceremony::Disable, 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_enabled_survives_whatever_goes_wrong() {
    survives(Ceremony::Enable, 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destruction_survives_whatever_goes_wrong() {
    survives(Ceremony::Destroy, 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_survives_whatever_goes_wrong() {
    survives(Ceremony::Import, 24).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_survives_whatever_goes_wrong() {
    survives(Ceremony::Export, 20).await;
}

/// covers: A3, S35: who dies while it signs burns nothing, and the same request is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signature_survives_whatever_goes_wrong() {
    survives(Ceremony::Sign, 24).await;
}

/// covers: A3, S35
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signature_with_set_up_survives_whatever_goes_wrong() {
    let tally = matrix(Ceremony::Sign, Scheme::EcdsaSecp256k1, 8, 3).await;
    assert!(tally.picked || tally.there > 8 && tally.fired * 10 >= tally.run * 7, "{tally:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_creation_with_set_up_survives_whatever_goes_wrong() {
    survives_with_set_up(Ceremony::Create, Scheme::EcdsaSecp256k1, 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_with_set_up_survives_whatever_goes_wrong() {
    survives_with_set_up(Ceremony::Refresh, Scheme::EcdsaP256, 5).await;
}
