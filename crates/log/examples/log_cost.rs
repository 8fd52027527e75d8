//! What the log costs: `cargo run --release -p quorate-log --example log_cost [entries]`. One thread, tiles in memory.
#![expect(clippy::print_stdout, reason = "prints a report")]

use std::collections::BTreeMap;
use std::time::Instant;

use quorate_log::entry::{Entry, Id, Kind};
use quorate_log::note::LogSigner;
use quorate_log::proof::{prove_consistency, prove_inclusion, verify_inclusion};
use quorate_log::receipt::Receipt;
use quorate_log::tile::{Level, ReadTile, Tile};
use quorate_log::tree::Tree;
use quorate_log::verify::audit;
use quorate_log::witness::WitnessPolicy;

struct Memory(BTreeMap<Tile, Vec<u8>>);

impl ReadTile for Memory {
    type Error = std::fmt::Error;

    fn tile(&self, tile: Tile) -> Result<Vec<u8>, Self::Error> {
        self.0.get(&tile).cloned().ok_or(std::fmt::Error)
    }
}

/// Like the entry for a member's part in a ceremony: names of usual length, and a body of some two hundred bytes.
fn entry(n: u64) -> Result<Entry, Box<dyn std::error::Error>> {
    let body = format!(
        "{{\"protocol\":\"ecdsa-sign\",\"members\":[1,2],\"request\":\"{:064x}\",\"digest\":\"{:064x}\",\"rule\":\"payments-small\"}}",
        n * 7,
        n * 11
    );
    let entry = Entry::new(Kind::Ceremony, 1_800_000_000_000 + n, body)?;
    Ok(entry
        .operation(Id::new(format!("op_{n:026}"))?)
        .key(Id::new("key_01hzy3v7q2w8e9r0t1y2u3i4o5")?)
        .tenant(Id::new("acme")?))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count: u64 = std::env::args().nth(1).map_or(Ok(1_000_000), |text| text.parse())?;
    let signer = LogSigner::from_seed("node-1.example.com/log", &[1; 32])?;
    let entries = (0..count).map(entry).collect::<Result<Vec<_>, _>>()?;
    let mut tiles = Memory(BTreeMap::new());

    let (mut tree, start) = (Tree::new(), Instant::now());
    for group in entries.chunks(64) {
        for tile in tree.append(group)?.tiles {
            tiles.0.insert(tile.tile, tile.bytes);
        }
    }
    let took = start.elapsed();
    println!(
        "append in groups of 64      {:8.2} µs an entry",
        took.as_secs_f64() * 1e6 / f64::from(u32::try_from(count)?)
    );
    // Partial tiles are dropped once the full one is stored; what a log of this size needs stays.
    let size = tree.size();
    tiles.0.retain(|tile, _| Tile::at(tile.level(), tile.index(), size) == Some(*tile));
    let (mut hashes, mut bundles) = (0, 0);
    for (tile, bytes) in &tiles.0 {
        *(if tile.level() == Level::Entries { &mut bundles } else { &mut hashes }) += bytes.len();
    }
    let per = |bytes: usize| {
        Ok::<_, std::num::TryFromIntError>(
            f64::from(u32::try_from(bytes)?) / f64::from(u32::try_from(count)?),
        )
    };
    println!(
        "stored                      {:8.2} bytes an entry, {:.2} of them hashes",
        per(hashes + bundles)?,
        per(hashes)?
    );

    let start = Instant::now();
    let head = signer.sign(size, tree.root())?;
    println!("sign a head                 {:8.2} µs", start.elapsed().as_secs_f64() * 1e6);
    let start = Instant::now();
    let proof = prove_inclusion(&tiles, size / 3, size)?;
    println!(
        "prove inclusion             {:8.2} µs, {} hashes",
        start.elapsed().as_secs_f64() * 1e6,
        proof.len()
    );
    let start = Instant::now();
    verify_inclusion(&entry(size / 3)?.leaf_hash(), size / 3, size, &proof, &tree.root())?;
    println!("verify inclusion            {:8.2} µs", start.elapsed().as_secs_f64() * 1e6);
    let start = Instant::now();
    let proof = prove_consistency(&tiles, size / 3, size)?;
    println!(
        "prove consistency           {:8.2} µs, {} hashes",
        start.elapsed().as_secs_f64() * 1e6,
        proof.len()
    );
    let receipt = Receipt::new(&entry(size / 3)?, size / 3, head.clone(), &tiles)?.to_string();
    let start = Instant::now();
    Receipt::parse(&receipt)?.verify(signer.key(), &WitnessPolicy::none())?;
    println!(
        "verify a receipt            {:8.2} µs, {} bytes",
        start.elapsed().as_secs_f64() * 1e6,
        receipt.len()
    );
    let start = Instant::now();
    let tree = Tree::resume(&tiles, size)?;
    println!("resume                      {:8.2} µs", start.elapsed().as_secs_f64() * 1e6);
    let start = Instant::now();
    let report = audit(signer.key(), &head, &tiles, &[], &[])?;
    println!(
        "audit {} entries       {:8.2} s, {} findings",
        tree.size(),
        start.elapsed().as_secs_f64(),
        report.findings.len()
    );
    Ok(())
}
