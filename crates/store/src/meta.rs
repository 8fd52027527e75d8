//! What is known about the folder as a whole.

/// Written once, when the folder is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The seal header: public bytes.
    pub seal_header: Vec<u8>,
    /// Version of what the records hold, chosen by the node.
    pub format: u32,
    /// When, in milliseconds since the Unix epoch.
    pub created_at: u64,
}
