//! Keeps a small part of what a fuzzer found: inputs that reach code which the seeds do not, so that the tests on stable reach it too.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::Target;

/// Most that is kept of a target.
const MAX_FILES: usize = 64;
const MAX_BYTES: u64 = 64 * 1024;

/// Writes `fuzz/found/TARGET` anew, from what is there and in the corpus. Returns what broke.
pub(super) fn keep(root: &Path, Target { name: target, package }: &Target) -> anyhow::Result<Option<String>> {
    let work = root.join("target/fuzz-keep").join(target);
    let (seeds, control) = (work.join("seeds"), work.join("control"));
    let _ = fs::remove_dir_all(&work);
    fs::create_dir_all(&seeds).with_context(|| format!("cannot make {}", seeds.display()))?;
    for seed in files(&root.join("fuzz/seeds").join(target))? {
        fs::copy(&seed, seeds.join(seed.file_name().context("a seed without a name")?))?;
    }
    let sources = [root.join("fuzz/corpus").join(target), root.join("fuzz/found").join(target)];
    let sources: Vec<&PathBuf> = sources.iter().filter(|source| source.is_dir()).collect();
    anyhow::ensure!(!sources.is_empty(), "nothing is known of `{target}`: run it first");
    // A merge goes through the first folder, then through the files of the others from the smallest, and notes for each the edges that
    // no file before it reached.
    let option = format!("-merge_control_file={}", control.display());
    let folders: Vec<String> = sources.iter().map(|source| source.display().to_string()).collect();
    let first = seeds.display().to_string();
    let mut arguments = vec!["run", "--fuzz-dir", package, target, &first];
    arguments.extend(folders.iter().map(String::as_str));
    arguments.extend(["--", "-merge=1", &option]);
    arguments.extend(super::BOUNDS);
    if !super::cargo(root, &arguments).status().context("cannot start rustup")?.success() {
        return Ok(Some(format!("`{target}` broke while what it found was run again")));
    }
    let text = fs::read_to_string(&control).context("the merge left no account of itself")?;
    let (seeds, new) = account(&text).context("the merge left an account that cannot be read")?;
    let sized = new.into_iter().map(|(path, edges)| Ok((fs::metadata(&path)?.len(), edges, path)));
    let chosen = choose(sized.collect::<std::io::Result<_>>()?);

    let contents = chosen.iter().map(fs::read).collect::<std::io::Result<Vec<_>>>()?;
    let folder = root.join("fuzz/found").join(target);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    for (path, bytes) in chosen.iter().zip(&contents) {
        // libFuzzer names a file after its contents.
        fs::write(folder.join(path.file_name().context("an input without a name")?), bytes)?;
    }
    let bytes: usize = contents.iter().map(Vec::len).sum();
    println!("{target}: {} files, {bytes} bytes kept beside {seeds} seeds", chosen.len());
    fs::remove_dir_all(&work)?;
    Ok(None)
}

fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let read = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    Ok(read.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?)
}

/// How many files the first folder has, and which of the others reach edges that no file before them did, with how many.
///
/// The format is libFuzzer's: the number of files, that of the first folder's, the names of all; then lines that begin
/// with `COV`, the number of a file, and its new edges.
fn account(text: &str) -> Option<(usize, Vec<(PathBuf, usize)>)> {
    let mut lines = text.lines();
    let count: usize = lines.next()?.trim().parse().ok()?;
    let first: usize = lines.next()?.trim().parse().ok()?;
    let names: Vec<&str> = lines.by_ref().take(count).collect();
    let mut new = Vec::new();
    for line in lines {
        let Some(line) = line.strip_prefix("COV ") else { continue };
        let mut numbers = line.split_whitespace();
        let at: usize = numbers.next()?.parse().ok()?;
        let edges = numbers.count();
        if at >= first && edges > 0 {
            new.push((PathBuf::from(names.get(at)?), edges));
        }
    }
    (names.len() == count).then_some((first, new))
}

/// Of files with their sizes and new edges, those with most edges that fit.
fn choose(mut files: Vec<(u64, usize, PathBuf)>) -> BTreeSet<PathBuf> {
    files.sort_by(|(size, edges, path), (other, more, than)| (more, size, path).cmp(&(edges, other, than)));
    let (mut chosen, mut left) = (BTreeSet::new(), MAX_BYTES);
    for (size, _, path) in files {
        if let Some(rest) = left.checked_sub(size)
            && chosen.len() < MAX_FILES
        {
            left = rest;
            chosen.insert(path);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reaches_new_edges_is_kept_as_long_as_it_fits() {
        let text = "4\n1\nseeds/a\ncorpus/b\ncorpus/c\ncorpus/d\nSTARTED 0 3\nFT 0 1 2\nCOV 0 1 2\nSTARTED 1 4\nFT 1 7\nCOV 1\n\
                    STARTED 2 5\nFT 2\nCOV 2 3 4\nSTARTED 3 6\nCOV 3 9\n";
        let (seeds, new) = account(text).unwrap();
        assert_eq!((seeds, &new), (1, &vec![("corpus/c".into(), 2), ("corpus/d".into(), 1)]));
        assert_eq!(account("4\n1\nseeds/a\n"), None);

        let all = |sizes: &[u64]| {
            (1usize..)
                .zip(sizes)
                .map(|(edges, size)| (*size, edges, PathBuf::from(edges.to_string())))
                .collect()
        };
        assert_eq!(choose(all(&[10; 100])).len(), MAX_FILES);
        assert!(choose(all(&[10; 100])).contains(Path::new("100")));
        // The largest has most, then nothing but the smallest fits.
        let some = choose(all(&[1, MAX_BYTES, MAX_BYTES - 1]));
        assert_eq!(some, ["1", "3"].map(PathBuf::from).into());
    }
}
