//! `quorate dev`: the cluster of the demo, left up, with what to try next.

use crate::commands::block_on;
use crate::local::{CLIENT, LocalCluster, NAMES, new_client_key};
use crate::output::Output;
use anyhow::{Context as _, bail};
use clap::Args;
use quorate_node::config::Pool;
use quorate_policy::change::{AdminRule, Step};
use quorate_policy::directory::{Members, PrincipalKind};
use quorate_policy::name::Name;
use std::fs;
use std::path::{Path, PathBuf};
use tokio::signal::unix::{SignalKind, signal};

/// Arguments of `quorate dev`.
#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// The folder to make and keep; without it a temporary one is used and removed at the end.
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Put the cluster under a directory: three admins with client keys, of whom two decide, and policies.
    #[arg(long)]
    governed: bool,
    /// A policy and the file with its text, in place of the one that lets the client do what its keys allow; once for each.
    #[arg(long = "policy", value_name = "NAME=FILE", requires = "governed", value_parser = super::cluster::pair)]
    policies: Vec<(String, String)>,
    /// How many presignatures each node keeps ready for a key that is in use, in place of the usual few.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pool: Option<u16>,
}

/// The people of a governed cluster, all of them admins.
const PEOPLE: [&str; 3] = ["alice", "bob", "carol"];
/// What a governed cluster permits if nothing else is said: payments above one ether wait for people.
const POLICY: &str = r#"
@id("create")
permit (principal == Service::"operator", action == Action::"create_key", resource);

@id("sign")
permit (principal == Service::"operator", action, resource)
unless { action == Action::"create_key" || (action == Action::"sign:ethereum" && !(context.complete && context.native_micro <= 1000000)) };

@id("large-payments")
@reason("above one ether two people must agree")
@quorum("2 of Group::\"admins\"")
permit (principal == Service::"operator", action == Action::"sign:ethereum", resource);
"#;

/// Makes the people, with their keys in the folder, and puts the cluster under them.
async fn govern(args: &DevArgs, cluster: &LocalCluster, folder: &Path) -> anyhow::Result<()> {
    let mut steps = Vec::new();
    let mut admins = Members::default();
    for person in PEOPLE {
        let name: Name = person.parse()?;
        let key = new_client_key(&folder.join(format!("{person}.pem")))?;
        admins.principals.insert(name.clone());
        steps.push(Step::AddPrincipal { name: name.clone(), kind: PrincipalKind::User, tenant: None });
        steps.push(Step::AddCredential { name: name.clone(), principal: name, with: key.into() });
    }
    steps.push(Step::SetGroup { name: "admins".parse()?, members: admins });
    for (name, file) in &args.policies {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read `{file}`"))?;
        steps.push(Step::SetPolicy { name: name.parse()?, text });
    }
    if args.policies.is_empty() {
        steps.push(Step::SetPolicy { name: "local".parse()?, text: POLICY.to_owned() });
    }
    let rule = AdminRule { quorum: "2 of Group::\"admins\"".parse()?, requester_counts: true };
    cluster.govern(rule, steps).await
}

/// Runs the cluster until Ctrl-C.
pub(crate) fn run(args: &DevArgs, output: &Output) -> anyhow::Result<()> {
    let temporary = tempfile::Builder::new()
        .prefix("quorate-dev-")
        .tempdir()
        .context("cannot make a temporary folder")?;
    let folder = args.folder.as_deref().unwrap_or_else(|| temporary.path());
    if args.folder.is_some() && folder.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        let shown = folder.display();
        bail!(
            "`{shown}` is not empty: choose another folder, or start its nodes again with `quorate node run --config {shown}/a/quorate.toml`"
        );
    }
    // What is printed is typed in another terminal, which is somewhere else.
    let folder = std::path::absolute(folder).context("cannot find the folder")?;
    block_on(async {
        // Before anything is started: a signal that comes while the nodes start must not leave them behind.
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut cluster = LocalCluster::create(&folder).await?;
        if let Some(count) = args.pool.map(usize::from) {
            let Pool { low, high, max_for_others, .. } = &mut cluster.pool;
            // The two other nodes get a half each.
            (*low, *high, *max_for_others) = (count, count, count.saturating_mul(2));
            cluster.configure()?;
        }
        if args.governed {
            govern(args, &cluster, &folder).await?;
        }
        let up = async {
            for node in &mut cluster.nodes {
                node.start()?;
            }
            for name in NAMES {
                cluster.wait_ready(name, 2).await?;
            }
            output.text(&welcome(&cluster, args.governed.then_some(folder.as_path())))?;
            std::future::pending::<anyhow::Result<()>>().await
        };
        tokio::select! {
            failed = up => failed?,
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        for node in &mut cluster.nodes {
            node.stop();
        }
        Ok(())
    })
}

fn welcome(cluster: &LocalCluster, governed: Option<&Path>) -> String {
    let mut text = String::from("Three nodes are up; Ctrl-C ends them.\n\n");
    for node in &cluster.nodes {
        text.push_str(&format!(
            "  {}  http://{}  log {}\n",
            node.name,
            node.api,
            node.folder.join("log").display()
        ));
    }
    let api = cluster.nodes.first().map(|n| n.api.to_string()).unwrap_or_default();
    text.push_str(&format!(
        "\nIn another terminal:\n\n  export QUORATE_NODE=http://{api} QUORATE_CLIENT={CLIENT} QUORATE_CLIENT_KEY={}\n",
        quoted(&cluster.client_key.display().to_string())
    ));
    text.push_str(
        "\n  quorate node status\n  quorate key create --scheme ecdsa-secp256k1 --threshold 2\n  quorate key list\n  \
         quorate key create --scheme ecdsa-p256 --threshold 2\n  quorate key sign KEY --message 'hello'\n  quorate op list\n\n\
         KEY is the identifier that `quorate key create` printed last: a key for ecdsa-p256 signs messages, one for \
         ecdsa-secp256k1 Ethereum and Bitcoin transactions.\n",
    );
    if let Some(folder) = governed {
        let folder = quoted(&folder.display().to_string());
        text.push_str(&format!(
            "\nThe cluster is governed: alice, bob and carol are its admins, two of them decide.\n\n  \
             quorate directory show\n  quorate --client alice --client-key {folder}/alice.pem approve OPERATION\n  \
             quorate --client bob --client-key {folder}/bob.pem freeze --everything --reason 'a drill'\n"
        ));
    }
    text
}

/// As a shell takes it for one word.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}
