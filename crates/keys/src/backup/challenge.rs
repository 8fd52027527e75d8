//! Which rows stay closed: a set of fixed size, drawn from a hash (BACKUP.4).

use alloc::vec::Vec;

use quorate_protocol::transcript::{Transcript, tags};

/// How many rows there are and how many of them stay closed.
///
/// A cheater passes only if the rows it spoiled are exactly those that stay closed, so a guess succeeds with `1 / C(rows, closed)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    pub(crate) rows: u16,
    pub(crate) closed: u16,
}

impl Parameters {
    /// `C(256, 30) > 2^129`. More rows make a smaller file and cost more time; see `spec/14-backup.md`.
    pub const STANDARD: Self = Self { rows: 256, closed: 30 };

    /// Number of rows.
    pub const fn rows(self) -> u16 {
        self.rows
    }
    /// Number of rows that can be opened with recovery keys; the seeds of all others are in the file.
    pub const fn closed(self) -> u16 {
        self.closed
    }
}

/// The challenge over the commitments of all rows.
pub(crate) fn challenge(statement: &[u8; 32], parameters: Parameters, commitments: &[[u8; 32]]) -> [u8; 32] {
    Transcript::new(tags::BACKUP_CHALLENGE)
        .absorb("statement", statement)
        .absorb_u64("rows", u64::from(parameters.rows))
        .absorb_u64("closed", u64::from(parameters.closed))
        .absorb_all("commitments", commitments.iter())
        .digest()
}

/// Whether each row stays closed: a uniform set of the fixed size, from the first of two hashes to have no influence on the other.
pub(crate) fn closed_rows(challenge: &[u8; 32], parameters: Parameters) -> Vec<bool> {
    let mut stream = Transcript::new(tags::BACKUP_CHALLENGE).absorb("draw from", challenge).xof();
    let mut closed = alloc::vec![false; usize::from(parameters.rows)];
    let mut left = parameters.closed.min(parameters.rows);
    while left > 0 {
        let mut bytes = [0u8; 2];
        stream.fill(&mut bytes);
        // Reject what would make some rows likelier, and rows drawn before: every set is equally likely.
        let drawn = u16::from_le_bytes(bytes);
        let fair = u16::MAX - u16::MAX % parameters.rows;
        if drawn >= fair {
            continue;
        }
        if let Some(row) = closed.get_mut(usize::from(drawn % parameters.rows))
            && !*row
        {
            *row = true;
            left -= 1;
        }
    }
    closed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_parameters_give_128_bits() {
        // log2 C(256, 30) as a sum of logarithms.
        let Parameters { rows, closed } = Parameters::STANDARD;
        let bits: f64 = (0..closed).map(|i| (f64::from(rows - i) / f64::from(i + 1)).log2()).sum();
        assert!(bits > 129.0, "{bits}");
    }

    #[test]
    fn each_set_has_its_size_and_all_rows_are_drawn_alike() {
        let parameters = Parameters { rows: 10, closed: 3 };
        let mut counts = [0u32; 10];
        for i in 0..3000u32 {
            let set = closed_rows(
                &challenge(&[0; 32], parameters, &[[i.to_le_bytes()[0]; 32], [i.to_le_bytes()[1]; 32]]),
                parameters,
            );
            assert_eq!(set.iter().filter(|c| **c).count(), 3);
            for (count, drawn) in counts.iter_mut().zip(set) {
                *count += u32::from(drawn);
            }
        }
        // 900 expected, standard deviation 25.
        assert!(counts.iter().all(|c| (775..1025).contains(c)), "{counts:?}");
    }
}
