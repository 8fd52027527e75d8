//! What a password of a file from outside may cost us.
//!
//! The file names the parameters of its own key derivation. A hostile one names parameters that exhaust memory or never end, so they are
//! compared with these bounds first. They leave room for four times of what wallets write.

use crate::MaterialError;

/// Most memory that scrypt may take, in bytes (`128 · N · r`): twice what geth writes.
pub const MAX_SCRYPT_MEMORY: u64 = 512 << 20;
/// Most work of scrypt (`N · r · p`): four times of what geth writes, some seconds.
pub const MAX_SCRYPT_WORK: u64 = 1 << 23;
/// Most rounds of PBKDF2: some seconds.
pub const MAX_PBKDF2_ROUNDS: u64 = 10_000_000;

pub(crate) fn bounds() -> String {
    format!("{} MiB, 2^23 blocks of scrypt or {MAX_PBKDF2_ROUNDS} rounds of PBKDF2", MAX_SCRYPT_MEMORY >> 20)
}

/// Checks parameters of scrypt and gives `log2 N`.
pub(crate) fn scrypt(n: u64, r: u64, p: u64) -> Result<scrypt::Params, MaterialError> {
    let expensive = |what: String| MaterialError::TooExpensive { what };
    let unit = n.checked_mul(r).filter(|all| *all > 0 && p > 0);
    let memory = unit.and_then(|unit| unit.checked_mul(128));
    let memory = memory.ok_or_else(|| expensive(format!("scrypt with N {n}, r {r}, p {p}")))?;
    if memory > MAX_SCRYPT_MEMORY {
        return Err(expensive(format!("{} MiB of memory", memory >> 20)));
    }
    // Memory for the p blocks is small beside it, but p is a factor of time.
    let work = unit.and_then(|unit| unit.checked_mul(p));
    if work.is_none_or(|work| work > MAX_SCRYPT_WORK) {
        return Err(expensive(format!("scrypt with N {n}, r {r}, p {p}")));
    }
    let wrong = || expensive(format!("scrypt with N {n}, which is no power of two above 1"));
    if !n.is_power_of_two() || n < 2 {
        return Err(wrong());
    }
    let log_n = u8::try_from(n.trailing_zeros()).map_err(|_| wrong())?;
    let (r, p) = (u32::try_from(r).map_err(|_| wrong())?, u32::try_from(p).map_err(|_| wrong())?);
    scrypt::Params::new(log_n, r, p).map_err(|_| wrong())
}

/// Checks the rounds of PBKDF2.
pub(crate) fn pbkdf2(rounds: u64) -> Result<u32, MaterialError> {
    let rounds_allowed = u32::try_from(rounds).ok().filter(|_| (1..=MAX_PBKDF2_ROUNDS).contains(&rounds));
    rounds_allowed.ok_or_else(|| MaterialError::TooExpensive { what: format!("{rounds} rounds of PBKDF2") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wallets_write_passes_and_the_rest_does_not() {
        for (n, r, p) in [(262_144, 8, 1), (262_144, 1, 8), (1 << 14, 8, 1), (1 << 19, 8, 1), (2, 1, 1)] {
            assert!(scrypt(n, r, p).is_ok(), "{n} {r} {p}");
        }
        let hostile = [
            (1 << 20, 8, 1),
            (1 << 18, 8, 8),
            (1 << 30, 8, 1),
            (u64::MAX, 1, 1),
            (u64::MAX, u64::MAX, u64::MAX),
            (0, 8, 1),
            (1, 8, 1),
            (262_143, 8, 1),
            (2, 0, 1),
            (2, 1, 0),
            (2, 1, u64::MAX),
            (2, 1 << 40, 1),
        ];
        for (n, r, p) in hostile {
            assert!(matches!(scrypt(n, r, p), Err(MaterialError::TooExpensive { .. })), "{n} {r} {p}");
        }
        assert_eq!(pbkdf2(262_144), Ok(262_144));
        for rounds in [0, MAX_PBKDF2_ROUNDS + 1, u64::MAX] {
            assert!(pbkdf2(rounds).is_err(), "{rounds}");
        }
    }
}
