//! Events on their way to a webhook.

/// An event that a webhook did not take yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Its place in the store.
    pub seq: i64,
    /// The event's id.
    pub event: u64,
    /// What is sent.
    pub body: Vec<u8>,
    /// How often it was tried.
    pub attempt: u32,
}

/// What becomes of a tried one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tried {
    /// It is not needed any more.
    Over,
    /// It is tried again.
    Again {
        /// Not before, in milliseconds since the Unix epoch.
        due_at: u64,
    },
}
