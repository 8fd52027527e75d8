//! `cargo xtask spec`: pages, code and tests speak of the same steps, checks and test-plan items.

mod checks;
mod covers;
mod labels;
mod links;
mod tags;
pub(crate) mod tree;

use std::path::Path;

use self::tree::Tree;
use crate::source::files;

/// Compares everything and prints what is wrong; true when nothing is. Test-plan items that no test names
/// are listed for information.
///
/// # Errors
/// When a file cannot be read.
pub(crate) fn run(root: &Path) -> anyhow::Result<bool> {
    let tree = Tree::read(root)?;
    let mut problems = Vec::new();
    let steps = labels::check(&tree, &mut problems);
    let variants = checks::check(&tree, &mut problems);
    let tags = tags::check(&tree, &mut problems);
    let present =
        files(root, &[])?.into_iter().filter_map(|path| Some(path.strip_prefix(root).ok()?.to_path_buf()));
    links::check(&tree, &present.collect(), &mut problems);
    let covered = covers::check(&tree, &mut problems);
    println!("{covered}");
    let checks =
        variants.map_or_else(|| "no `pub enum Check` yet".to_owned(), |count| format!("{count} checks"));
    let summary = format!("{} pages, {steps} steps, {tags} messages, {checks}", tree.pages.len());
    Ok(crate::verdict("spec", &summary, &problems))
}
