//! The cost of one guess at the passphrase.

use crate::SealError;

const KIB_PER_MIB: u32 = 1024;

/// Argon2id parameters. They are kept in the header, so that they can rise later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    /// Memory in KiB.
    memory_kib: u32,
    /// Passes over the memory.
    passes: u32,
    /// Lanes. They are computed one after the other.
    lanes: u32,
}

impl Params {
    /// The least that [`Sealer::open`](crate::Sealer::open) accepts: 19 MiB, 2 passes, 1 lane.
    pub const FLOOR: Self = Self { memory_kib: 19 * KIB_PER_MIB, passes: 2, lanes: 1 };

    /// The most that is ever computed: 1 GiB, 16 passes, 4 lanes. A hostile header cannot ask for more.
    pub const CEILING: Self = Self { memory_kib: 1024 * KIB_PER_MIB, passes: 16, lanes: 4 };

    /// 64 MiB, 3 passes, 1 lane: the second choice of RFC 9106 section 4 with one lane, about 0.1 s.
    #[must_use]
    pub const fn standard() -> Self {
        Self { memory_kib: 64 * KIB_PER_MIB, passes: 3, lanes: 1 }
    }

    /// Too weak for real secrets, quick for tests. Only
    /// [`Sealer::open_insecure_for_tests`](crate::Sealer::open_insecure_for_tests) opens what was made with it.
    #[must_use]
    pub const fn insecure_fast_for_tests() -> Self {
        Self { memory_kib: 64, passes: 1, lanes: 1 }
    }

    /// Parameters of your own, between [`Params::FLOOR`] and [`Params::CEILING`].
    ///
    /// # Errors
    /// [`SealError::WeakParams`] and [`SealError::ExcessiveParams`].
    pub fn new(memory_kib: u32, passes: u32, lanes: u32) -> Result<Self, SealError> {
        let params = Self { memory_kib, passes, lanes };
        params.check_ceiling()?;
        params.check_floor()?;
        Ok(params)
    }

    /// Memory in KiB.
    #[must_use]
    pub const fn memory_kib(&self) -> u32 {
        self.memory_kib
    }

    /// Passes over the memory.
    #[must_use]
    pub const fn passes(&self) -> u32 {
        self.passes
    }

    /// Lanes.
    #[must_use]
    pub const fn lanes(&self) -> u32 {
        self.lanes
    }

    /// As read from a header: nothing is known about the values yet.
    pub(crate) const fn unchecked(memory_kib: u32, passes: u32, lanes: u32) -> Self {
        Self { memory_kib, passes, lanes }
    }

    pub(crate) fn check_floor(&self) -> Result<(), SealError> {
        let enough = self.memory_kib >= Self::FLOOR.memory_kib && self.passes >= Self::FLOOR.passes;
        if enough && self.lanes >= Self::FLOOR.lanes {
            return Ok(());
        }
        Err(SealError::WeakParams { memory_kib: self.memory_kib, passes: self.passes })
    }

    pub(crate) fn check_ceiling(&self) -> Result<(), SealError> {
        let bounded = self.memory_kib <= Self::CEILING.memory_kib
            && self.passes <= Self::CEILING.passes
            && self.lanes <= Self::CEILING.lanes;
        if bounded {
            return Ok(());
        }
        Err(SealError::ExcessiveParams {
            memory_kib: self.memory_kib,
            passes: self.passes,
            lanes: self.lanes,
        })
    }
}

impl Default for Params {
    fn default() -> Self {
        Self::standard()
    }
}
