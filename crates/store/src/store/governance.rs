//! The door to what people decided.

use std::net::IpAddr;

use quorate_log::entry::Entry;

use super::{Backend, Store};
use crate::{Case, Freeze, Spending, SpentBy, StoreError, limits};

impl Store {
    /// Keeps a request that waits for people, with the address it came from, unless it is kept already; `false` then. `entries` are logged if it is new. Durable.
    ///
    /// # Errors
    /// [`StoreError::TooLong`], [`StoreError::NoLog`] and those of the backend.
    pub async fn open_case(
        &self,
        op_id: &str,
        request: Vec<u8>,
        source: Option<IpAddr>,
        now: u64,
        entries: Vec<Entry>,
    ) -> Result<bool, StoreError> {
        limits::id("operation id", op_id.as_bytes())?;
        limits::blob("request", &request)?;
        let now = limits::signed("time", now)?;
        ask!(self, open_case(op_id.to_owned(), request, source, now, entries))
    }

    /// Notes how a case ended, unless that is known. Durable.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn close_case(&self, op_id: &str, how: &str) -> Result<(), StoreError> {
        limits::id("end of a case", how.as_bytes())?;
        ask!(self, close_case(op_id.to_owned(), how.to_owned()))
    }

    /// The case of an operation.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn case(&self, op_id: &str) -> Result<Option<Case>, StoreError> {
        ask!(self, case(op_id))
    }

    /// Cases whose end is not known, newest first, at most [`MAX_PAGE_LEN`](crate::MAX_PAGE_LEN).
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn open_cases(&self, limit: u32, skip: u32) -> Result<Vec<Case>, StoreError> {
        ask!(self, open_cases(limit, skip))
    }

    /// Keeps what a person said about an operation, and logs it; `false` if these bytes, named by their hash, are known. Durable.
    ///
    /// # Errors
    /// [`StoreError::TooLong`], [`StoreError::NoLog`] and those of the backend.
    pub async fn add_ruling(
        &self,
        op_id: &str,
        hash: [u8; 32],
        ruling: Vec<u8>,
        now: u64,
        entry: Entry,
    ) -> Result<bool, StoreError> {
        limits::id("operation id", op_id.as_bytes())?;
        limits::blob("ruling", &ruling)?;
        let now = limits::signed("time", now)?;
        ask!(self, add_ruling(op_id.to_owned(), hash, ruling, now, entry))
    }

    /// What people said about an operation, in the order in which it came.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn rulings(&self, op_id: &str) -> Result<Vec<Vec<u8>>, StoreError> {
        ask!(self, rulings(op_id))
    }

    /// Adds a version to the chain of the directory, lifts freezes, and logs it, in one commit; `false` if there is that version
    /// already. Version 0 is the genesis. Durable.
    ///
    /// # Errors
    /// [`StoreError::TooLong`], [`StoreError::NoLog`] and those of the backend.
    pub async fn adopt(
        &self,
        version: u64,
        change: Vec<u8>,
        thaws: Vec<[u8; 32]>,
        now: u64,
        entries: Vec<Entry>,
    ) -> Result<bool, StoreError> {
        limits::blob("change", &change)?;
        let version = limits::signed("version", version)?;
        let now = limits::signed("time", now)?;
        ask!(self, adopt(version, change, thaws, now, entries))
    }

    /// Versions of the directory from one on, with their bytes, at most [`MAX_PAGE_LEN`](crate::MAX_PAGE_LEN).
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn directory(&self, from: u64, limit: u32) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let from = limits::signed("version", from)?;
        ask!(self, directory(from, limit))
    }

    /// Keeps a valid change that another one was quicker than, and logs it; `false` if it is kept already. Durable.
    ///
    /// # Errors
    /// [`StoreError::TooLong`], [`StoreError::NoLog`] and those of the backend.
    pub async fn keep_fork(
        &self,
        head: [u8; 32],
        change: Vec<u8>,
        now: u64,
        entry: Entry,
    ) -> Result<bool, StoreError> {
        limits::blob("change", &change)?;
        let now = limits::signed("time", now)?;
        ask!(self, keep_fork(head, change, now, entry))
    }

    /// The changes that were kept as forks, oldest first, each with the time at which it was: at most
    /// [`MAX_PAGE_LEN`](crate::MAX_PAGE_LEN).
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn forks(&self) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        ask!(self, forks())
    }

    /// Puts a change that was kept as a fork in place of the own ones from a version on, keeps these as forks with their heads, and logs
    /// it, in one commit. Durable.
    ///
    /// # Errors
    /// [`StoreError::TooLong`], [`StoreError::NoLog`] and those of the backend.
    pub async fn switch_branch(
        &self,
        version: u64,
        change: Vec<u8>,
        dropped: Vec<([u8; 32], Vec<u8>)>,
        now: u64,
        entry: Entry,
    ) -> Result<(), StoreError> {
        limits::blob("change", &change)?;
        let version = limits::signed("version", version)?;
        let now = limits::signed("time", now)?;
        ask!(self, switch_branch(version, change, dropped, now, entry))
    }

    /// Keeps a freeze and logs it; `false` if it is known, lifted or not. Durable: say nothing of it before.
    ///
    /// # Errors
    /// [`StoreError::TooLong`], [`StoreError::NoLog`] and those of the backend.
    pub async fn freeze(
        &self,
        hash: [u8; 32],
        request: Vec<u8>,
        now: u64,
        entry: Entry,
    ) -> Result<bool, StoreError> {
        limits::blob("request", &request)?;
        let now = limits::signed("time", now)?;
        ask!(self, freeze(hash, request, now, entry))
    }

    /// Every freeze, oldest first, lifted ones too.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn freezes(&self) -> Result<Vec<Freeze>, StoreError> {
        ask!(self, freezes())
    }

    /// Counts what an operation signs away; `false` if it is counted already. Durable.
    ///
    /// # Errors
    /// [`StoreError::TooLong`], [`StoreError::OutOfRange`] and those of the backend.
    pub async fn spend(&self, spending: Spending) -> Result<bool, StoreError> {
        limits::id("operation id", spending.op_id.as_bytes())?;
        limits::id("key id", spending.key_id.as_bytes())?;
        limits::id("principal", spending.principal.as_bytes())?;
        limits::blob("tokens", spending.tokens.as_bytes())?;
        let at = limits::signed("time", spending.at)?;
        ask!(self, spend(spending, at))
    }

    /// What was counted for an operation.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn spending(&self, op_id: &str) -> Result<Option<Spending>, StoreError> {
        ask!(self, spending(op_id))
    }

    /// What was counted with a key or by a principal, oldest first, after the last of the page before (its time and its operation; for
    /// the first page the time to begin with and an empty text), at most [`MAX_SPENDING_PAGE`](crate::MAX_SPENDING_PAGE).
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn spent(&self, by: SpentBy<'_>, after: (u64, &str)) -> Result<Vec<Spending>, StoreError> {
        let at = limits::signed("time", after.0)?;
        ask!(self, spent(by, at, after.1))
    }

    /// Forgets some of what was counted before a moment, at most `limit` operations at once; gives how many.
    ///
    /// # Errors
    /// Those of the backend.
    pub async fn forget_spending(&self, before: u64, limit: u32) -> Result<u64, StoreError> {
        let before = limits::signed("time", before)?;
        ask!(self, forget_spending(before, limit))
    }
}
