//! Seeds and their mutations without a fuzzer: the same in every run.

use std::fs;
use std::path::{Path, PathBuf};

/// Set to `1` to write the seeds anew after a format has changed.
const WRITE: &str = "QUORATE_WRITE_SEEDS";

/// The committed seeds of `target` must be exactly `made`. Returns them in order.
pub(crate) fn seeds(target: &str, made: &[(&str, Vec<u8>)]) -> Vec<Vec<u8>> {
    let folder = folder(target);
    if std::env::var(WRITE).is_ok_and(|value| value == "1") {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        made.iter().for_each(|(name, bytes)| fs::write(folder.join(name), bytes).unwrap());
    }
    let files = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}; set {WRITE}=1", folder.display()));
    assert_eq!(files.count(), made.len(), "set {WRITE}=1 to write the seeds of {target} anew");
    for (name, bytes) in made {
        let stored = fs::read(folder.join(name)).unwrap_or_default();
        assert_eq!(&stored, bytes, "seed {name} of {target} is not what is made today; set {WRITE}=1");
    }
    made.iter().map(|(_, bytes)| bytes.clone()).collect()
}

/// Runs `check` on what fuzzers found and `cargo xtask fuzz --keep` kept: inputs that reach code which the seeds do not. Returns how many.
pub(crate) fn found(target: &str, check: impl Fn(&[u8]) -> bool) -> usize {
    let Ok(files) = fs::read_dir(fuzz().join("found").join(target)) else { return 0 };
    let files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    for file in &files {
        check(&fs::read(file).unwrap());
    }
    files.len()
}

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

fn folder(target: &str) -> PathBuf {
    fuzz().join("seeds").join(target)
}

/// Runs `check` on every seed, which it must accept, and on `count` mutations of them. Returns how many ran and how many
/// mutations were accepted.
pub(crate) fn run(seeds: &[Vec<u8>], count: usize, check: impl Fn(&[u8]) -> bool) -> (usize, usize) {
    let (mut ran, mut accepted) = (0, 0);
    for seed in seeds {
        assert!(check(seed), "a seed is refused: {}", hex::encode(seed));
        ran += 1;
    }
    let mut random = Random(0x5eed);
    for round in 0..count {
        let mut bytes = seeds[round % seeds.len()].clone();
        for _ in 0..=random.below(3) {
            random.mutate(&mut bytes, &seeds[random.clone().below(seeds.len())]);
        }
        accepted += usize::from(check(&bytes));
        ran += 1;
    }
    (ran, accepted)
}

/// Xorshift: the numbers need not be good, only many and the same everywhere.
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }

    fn byte(&mut self) -> u8 {
        const EDGES: [u8; 8] = [0, 1, 0x7f, 0x80, 0xc0, 0xf8, 0xfe, 0xff];
        match self.below(2) {
            0 => EDGES[self.below(EDGES.len())],
            _ => u8::try_from(self.below(256)).unwrap(),
        }
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(bytes.len());
        let len = self.below(40).min(bytes.len() - at);
        match self.below(8) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
            1 if !bytes.is_empty() => bytes[at] = self.byte(),
            2 => bytes.insert(at, self.byte()),
            3 => bytes.truncate(at),
            4 => drop(bytes.drain(at..at + len)),
            5 => {
                let piece = bytes[at..at + len].to_vec();
                let to = self.below(bytes.len());
                bytes.splice(to..to, piece);
            }
            6 => {
                let from = self.below(other.len());
                let piece = other[from..(from + 1 + len).min(other.len())].to_vec();
                bytes.splice(at..at + len, piece);
            }
            _ => bytes[at..at + len].fill(self.byte()),
        }
    }
}
