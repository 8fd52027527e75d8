//! Rules that hold for files rather than arrows: `unsafe`, inherited lints, lengths.

use std::path::Path;

use super::graph::Graph;
use super::rules::is_development;
use crate::source::{Source, files, read, shown, words};

/// Files longer than this need a reason.
const MAX_LINES: usize = 800;

/// Longer files that were allowed, each with its reason.
const LONG_FILES: &str = "xtask/long-files.txt";

/// The one crate that may hold `unsafe`: the C interface of PKCS#11.
const UNSAFE_CRATE: &str = "pkcs11";

/// Every broken rule, in words.
pub(super) fn check(root: &Path, graph: &Graph) -> anyhow::Result<Vec<String>> {
    let mut problems = Vec::new();
    if !forbids_unsafe(&read(&root.join("Cargo.toml"))?) {
        problems.push(
            "rule 5: Cargo.toml must set `unsafe_code = \"forbid\"` under [workspace.lints.rust]".to_owned(),
        );
    }
    for member in &graph.members {
        if member.short() == UNSAFE_CRATE {
            continue;
        }
        let manifest = read(&member.manifest)?;
        // A test library may panic, so it may have lints of its own.
        let own =
            is_development(member.short()) && has_entry(&manifest, "lints.rust", "unsafe_code", "\"forbid\"");
        if !own && !inherits_lints(&manifest) {
            problems.push(format!(
                "rule 5: `{}` does not inherit the lints: add `[lints]` with `workspace = true` to its Cargo.toml",
                member.name
            ));
        }
        let Some(folder) = member.manifest.parent() else { continue };
        for path in files(folder, &["rs"])? {
            for line in unsafe_lines(&read(&path)?) {
                problems.push(format!(
                    "rule 5: `unsafe` at {}:{line}: only the crate `{UNSAFE_CRATE}` may use it",
                    shown(root, &path)
                ));
            }
        }
    }
    for page in ["README.md", "ARCHITECTURE.md"] {
        let text = read(&root.join(page))?;
        let names = graph.members.iter().map(|member| member.short());
        problems.extend(names.filter(|name| !has_row(&text, name)).map(|name| {
            format!("{page} has no table row for the crate `{name}`: a newcomer will not find it")
        }));
    }
    let mut lengths = Vec::new();
    for folder in ["crates", "xtask", "bench", "fuzz", "web", "spec", "docs"] {
        for path in files(&root.join(folder), &["rs", "md", "ts", "js", "svelte", "css", "py", "sh"])? {
            lengths.push((shown(root, &path), read(&path)?.lines().count()));
        }
    }
    let list = root.join(LONG_FILES);
    let allowed = if list.exists() { read(&list)? } else { String::new() };
    problems.extend(long_files(&lengths, &allowed));
    Ok(problems)
}

/// True when a table row names the crate, alone or as a folder under `crates/`.
fn has_row(page: &str, name: &str) -> bool {
    let forms = [format!("`{name}`"), format!("`crates/{name}`")];
    page.lines().any(|line| line.starts_with('|') && forms.iter().any(|form| line.contains(form.as_str())))
}

/// Lines with the keyword outside comments and strings.
fn unsafe_lines(text: &str) -> Vec<usize> {
    words(&Source::parse(text).code).filter(|(_, word)| *word == "unsafe").map(|(line, _)| line).collect()
}

fn forbids_unsafe(manifest: &str) -> bool {
    has_entry(manifest, "workspace.lints.rust", "unsafe_code", "\"forbid\"")
}

fn inherits_lints(manifest: &str) -> bool {
    has_entry(manifest, "lints", "workspace", "true")
}

/// True when `manifest` sets `key = value` in `[table]`. Enough of TOML for two settings.
fn has_entry(manifest: &str, table: &str, key: &str, value: &str) -> bool {
    let mut here = false;
    for line in manifest.lines().map(|line| line.split('#').next().unwrap_or_default().trim()) {
        if let Some(name) = line.strip_prefix('[') {
            here = name.trim_end_matches(']').trim() == table;
        } else if let Some((name, set)) = line.split_once('=')
            && here
            && name.trim() == key
        {
            return set.trim() == value;
        }
    }
    false
}

/// Compares lengths with the list of allowed files, one `path: reason` a line; a stale entry is a problem too.
fn long_files(lengths: &[(String, usize)], allowed: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let mut entries = Vec::new();
    for line in allowed.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.split_once(": ") {
            Some((path, reason)) if !reason.trim().is_empty() => entries.push(path),
            _ => problems.push(format!("{LONG_FILES}: `{line}` is not `path: reason`")),
        }
    }
    for (path, lines) in lengths {
        if *lines > MAX_LINES && !entries.contains(&path.as_str()) {
            problems.push(format!(
                "{path} has {lines} lines, more than {MAX_LINES}: split it, or list it with a reason in {LONG_FILES}"
            ));
        }
    }
    for path in entries {
        if !lengths.iter().any(|(other, lines)| other == path && *lines > MAX_LINES) {
            problems.push(format!(
                "{LONG_FILES}: `{path}` is not longer than {MAX_LINES} lines: remove the entry"
            ));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_5_finds_the_keyword_and_only_the_keyword() {
        assert_eq!(unsafe_lines("fn f() {\n    unsafe { g() }\n}\nunsafe impl Send for X {}"), [2, 4]);
        let innocent = "// unsafe\n#![forbid(unsafe_code)]\n/* unsafe */ let a = \"unsafe\"; let not_unsafe = r#\"unsafe\"#;";
        assert_eq!(unsafe_lines(innocent), [0_usize; 0]);
    }

    #[test]
    fn rule_5_wants_the_lints_inherited() {
        assert!(inherits_lints("[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n"));
        assert!(!inherits_lints("[package]\nworkspace = true\n[lints]\n"));
        assert!(!inherits_lints("[lints]\nworkspace = false"));
        assert!(!inherits_lints("[lints]\n# workspace = true"));
        assert!(forbids_unsafe("[workspace.lints.rust]\nunsafe_code = \"forbid\" # why\n"));
        assert!(!forbids_unsafe("[workspace.lints.rust]\nunsafe_code = \"deny\"\n"));
        assert!(!forbids_unsafe("[workspace.lints.clippy]\nunsafe_code = \"forbid\"\n"));
    }

    #[test]
    fn crates_need_a_row() {
        let page = "| L0 | `protocol` |\n| [`crates/keys`](crates/keys) |\nprose about `net`\n";
        assert!(has_row(page, "protocol") && has_row(page, "keys"));
        assert!(!has_row(page, "net") && !has_row(page, "key"));
    }

    #[test]
    fn long_files_need_a_reason_and_reasons_need_a_long_file() {
        let lengths = [("a.rs".to_owned(), 801), ("b.rs".to_owned(), 800)];
        assert_eq!(long_files(&lengths, "# none\n").len(), 1);
        assert_eq!(long_files(&lengths, "a.rs: generated table\n"), [""; 0]);
        assert_eq!(long_files(&lengths, "a.rs: generated table\nb.rs: was long").len(), 1);
        assert_eq!(long_files(&lengths, "a.rs:\n").len(), 2);
        assert_eq!(long_files(&[], "gone.rs: moved\n").len(), 1);
    }
}
