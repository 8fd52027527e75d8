//! Where a request came from, as policies of every node see it.

use quorate_api::{Code, OperationStatus};

use crate::cluster::{CLIENT, Cluster, WAIT, client_key, created, create_key, message, now, unique};
use crate::governed::{create, rule_all, until};

