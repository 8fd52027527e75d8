//! `quorate cluster`: begin a cluster with a directory.

use super::block_on;
use crate::failure::usage;
use crate::output::{Output, fields};
use clap::{Args, Subcommand};
use quorate_api::{Credential, Hex, check_node_name};
use quorate_node::Unlock;
use quorate_node::config::Config;
use quorate_policy::change::{AdminRule, Step};
use quorate_policy::directory::{Members, PrincipalKind};
use quorate_policy::genesis::{GenesisFile, Terms};
use quorate_policy::name::Name;
use quorate_policy::policies::Policies;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Commands about a cluster's beginning.
#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Write the genesis of a cluster: its nodes, its admins, its first policies. Nobody has signed it then.
    Init(InitArgs),
    /// Sign a genesis with a node's identity. The node must not be running; every node's operator does this.
    Sign(SignArgs),
    /// Show what a genesis says, and who has not signed it. What is in force since then is shown by `quorate directory show`.
    Show(ShowArgs),
}

/// Arguments of `quorate cluster init`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  quorate cluster init --name acme --out genesis.json \\
    --identity a=IDENTITY --identity b=IDENTITY --identity c=IDENTITY \\
    --admin alice=ed25519:… --admin bob=ed25519:… --admin carol=passkey:… \\
    --quorum '2 of Group::\"admins\"' --policy payments=payments.cedar")]
pub(crate) struct InitArgs {
    /// What the cluster is called.
    #[arg(long)]
    name: Name,
    /// A node and the identity that `quorate node init` printed; once for each node.
    #[arg(long = "identity", value_name = "NAME=IDENTITY", required = true, value_parser = pair)]
    nodes: Vec<(String, String)>,
    /// A person of the group `admins` with a client key or passkey (see `quorate client keygen`); once for each.
    #[arg(long = "admin", value_name = "NAME=KEY", required = true, value_parser = pair)]
    admins: Vec<(String, String)>,
    /// Who must agree to changes of the directory.
    #[arg(long, default_value = "2 of Group::\"admins\"", value_name = "EXPRESSION")]
    quorum: String,
    /// The one who asks for a change does not count among those who agree to it.
    #[arg(long)]
    others_only: bool,
    /// A policy and the file with its text; once for each.
    #[arg(long = "policy", value_name = "NAME=FILE", value_parser = pair)]
    policies: Vec<(String, String)>,
    /// A file with more steps (JSON), such as other people and groups.
    #[arg(long, value_name = "FILE")]
    steps: Option<PathBuf>,
    /// The file to write; it must not exist.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Arguments of `quorate cluster sign`.
#[derive(Debug, Args)]
pub(crate) struct SignArgs {
    /// The node's configuration file.
    #[arg(long, value_name = "FILE", default_value = "quorate.toml")]
    config: PathBuf,
    /// The genesis; the signature is added to it.
    genesis: PathBuf,
}

/// Arguments of `quorate cluster show`.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The genesis.
    genesis: PathBuf,
}

/// `NAME=VALUE`.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Runs the command.
pub(crate) fn run(command: ClusterCommand, output: &Output) -> anyhow::Result<()> {
    match command {
        ClusterCommand::Init(args) => init(&args, output),
        ClusterCommand::Sign(args) => sign(&args, output),
        ClusterCommand::Show(args) => show(&read(&args.genesis)?, output),
    }
}

fn read(path: &Path) -> anyhow::Result<GenesisFile> {
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|error| usage(format!("cannot read `{shown}`: {error}")))?;
    GenesisFile::parse(&text).map_err(|error| usage(format!("`{shown}`: {error}")))
}

/// Reads steps from a JSON file: a list of objects with `step`.
pub(crate) fn read_steps(path: &Path) -> anyhow::Result<Vec<Step>> {
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|error| usage(format!("cannot read `{shown}`: {error}")))?;
    serde_json::from_str(&text).map_err(|error| usage(format!("`{shown}`: {error}")))
}

/// Reads a policy from a file.
pub(crate) fn read_policy(path: impl AsRef<Path>) -> anyhow::Result<String> {
    let shown = path.as_ref().display().to_string();
    fs::read_to_string(&path).map_err(|error| usage(format!("cannot read `{shown}`: {error}")))
}

/// The terms of a genesis, checked as the nodes will check them, policies included.
pub(crate) fn draft(terms: &Terms) -> anyhow::Result<GenesisFile> {
    let file = GenesisFile::new(terms).map_err(usage)?;
    let directory = terms.directory().map_err(usage)?;
    if let Err(findings) = Policies::compile(&directory) {
        let words: Vec<String> = findings.iter().map(ToString::to_string).collect();
        return Err(usage(words.join("\n")));
    }
    Ok(file)
}

fn init(args: &InitArgs, output: &Output) -> anyhow::Result<()> {
    let mut nodes = BTreeMap::new();
    for (name, identity) in &args.nodes {
        check_node_name(name).map_err(|error| usage(format!("`{name}`: {error}")))?;
        let identity =
            Hex::try_from(identity.clone()).map_err(|error| usage(format!("node `{name}`: {error}")))?;
        if nodes.insert(name.clone(), identity).is_some() {
            return Err(usage(format!("node `{name}` is there twice")));
        }
    }
    let mut steps = Vec::new();
    let mut group = Members::default();
    for (name, key) in &args.admins {
        let who: Name = name.parse().map_err(|error| usage(format!("`{name}`: {error}")))?;
        let with: Credential = key.parse().map_err(|error| usage(format!("the key of `{name}`: {error}")))?;
        steps.push(Step::AddPrincipal { name: who.clone(), kind: PrincipalKind::User, tenant: None });
        steps.push(Step::AddCredential { name: who.clone(), principal: who.clone(), with });
        group.principals.insert(who);
    }
    steps.push(Step::SetGroup { name: "admins".parse()?, members: group });
    if let Some(file) = &args.steps {
        steps.extend(read_steps(file)?);
    }
    for (name, file) in &args.policies {
        let name = name.parse().map_err(|error| usage(format!("`{name}`: {error}")))?;
        steps.push(Step::SetPolicy { name, text: read_policy(file)? });
    }
    let admins =
        AdminRule { quorum: args.quorum.parse().map_err(usage)?, requester_counts: !args.others_only };
    let file = draft(&Terms { version: 1, cluster: args.name.clone(), nodes, admins, steps })?;
    let text = serde_json::to_string_pretty(&file)?;
    let mut options = fs::OpenOptions::new();
    let mut out = options
        .write(true)
        .create_new(true)
        .open(&args.out)
        .map_err(|error| usage(format!("cannot create `{}`: {error}", args.out.display())))?;
    std::io::Write::write_all(&mut out, text.as_bytes())?;
    show(&file, output)?;
    output.hint(&format!(
        "\nnext, at every node: look at it, run `quorate cluster sign --config quorate.toml {}`, and pass it on; \
         then configure `genesis = \"{}\"` at every node, without [[clients]]",
        args.out.display(),
        args.out.display()
    ));
    Ok(())
}

fn sign(args: &SignArgs, output: &Output) -> anyhow::Result<()> {
    let mut genesis = read(&args.genesis)?;
    let config = Config::load(&args.config, quorate_node::config::environment())?;
    let unlock = Unlock::of(&config);
    let name = block_on(async { Ok(quorate_node::sign_genesis(&config.data, unlock, &mut genesis).await?) })?;
    let fresh = args.genesis.with_extension("signed");
    fs::write(&fresh, serde_json::to_string_pretty(&genesis)?)?;
    fs::rename(&fresh, &args.genesis)?;
    output.hint(&format!("signed as node {name}"));
    show(&genesis, output)
}

fn show(genesis: &GenesisFile, output: &Output) -> anyhow::Result<()> {
    let terms = genesis.terms()?;
    let missing: Vec<String> =
        terms.nodes.keys().filter(|name| !genesis.signatures.contains_key(*name)).cloned().collect();
    let valid = if missing.is_empty() { Some(genesis.verify()?) } else { None };
    let value = serde_json::json!({
        "cluster": terms.cluster, "nodes": terms.nodes, "admins": terms.admins, "steps": terms.steps,
        "unsigned": missing, "hash": valid.as_ref().map(|genesis| hex::encode(genesis.hash())),
    });
    output.result(&value, || {
        let nodes: Vec<String> = terms.nodes.iter().map(|(name, id)| format!("{name} {id}")).collect();
        let steps: Vec<String> = terms.steps.iter().map(Step::words).collect();
        let signed = if missing.is_empty() {
            "by every node".to_owned()
        } else {
            format!("not yet by {}", missing.join(", "))
        };
        let counts = if terms.admins.requester_counts { "counting" } else { "without" };
        fields(&[
            ("cluster", terms.cluster.to_string()),
            ("began with nodes", nodes.join("\n")),
            ("changes need", format!("{}, {counts} whoever asks", terms.admins.quorum)),
            ("begins with", steps.join("\n")),
            ("signed", signed),
            ("hash", valid.as_ref().map(|genesis| hex::encode(genesis.hash())).unwrap_or_default()),
        ])
    })
}
