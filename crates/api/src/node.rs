//! What a node says about itself and its peers.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Answer of `GET /version`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// The program, `quorate`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The versions of the REST interface it serves, such as `v1`.
    pub api: Vec<String>,
}

/// Answer of `GET /readyz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    /// Whether the node takes requests.
    pub ready: bool,
    /// Why not, for people; empty if it is ready.
    pub reasons: Vec<String>,
}

/// Answer of `GET /v1/nodes`: this node, and its peers as it sees them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeStatus {
    /// This node's name.
    pub name: String,
    /// Its public identity key, in hex.
    pub identity: String,
    /// The program's version.
    pub version: String,
    /// The other nodes it knows.
    pub peers: Vec<PeerStatus>,
    /// How many keys it holds a share of.
    pub keys: u64,
    /// How many presignatures of its own are ready.
    #[serde(default)]
    pub presignatures: u64,
}

/// A peer as a node sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PeerStatus {
    /// Its name.
    pub name: String,
    /// Its public identity key, in hex.
    pub identity: String,
    /// Whether there is an authenticated connection now.
    pub connected: bool,
    /// The last measured round trip, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_ms: Option<f64>,
}
