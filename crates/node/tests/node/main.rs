//! Real nodes on loopback: real connections, real SQLite files, requests over HTTP.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

mod audit;
mod backup;
mod byzantine;
mod canary;
mod catch_up;
mod certificates;
mod cluster;
mod destruction;
mod elsewhere;
mod end_to_end;
mod events;
mod export;
mod faults;
mod governed;
mod import;
mod limits;
mod members;
mod metrics;
mod moving;
mod named;
mod notation;
mod passkey;
mod presign;
mod races;
mod receipts;
mod requests;
mod reseal;
mod restoring;
mod source;
mod spending;
mod states;
mod structures;
mod tls;
mod unseal;
mod webhooks;
