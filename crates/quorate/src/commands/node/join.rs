//! `quorate node join`: everything that a fresh machine needs, and what the others have to do.

use super::UnderArgs;
use crate::commands::cluster::pair;
use crate::failure::usage;
use crate::output::{Output, fields};
use anyhow::Context as _;
use clap::Args;
use quorate_node::config::{Client, Config, Listen, Peer, Seal};
use quorate_policy::genesis::GenesisFile;
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Arguments of `quorate node join`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example, on a fresh machine in a cluster with a directory, new or in place of one that was lost:
  umask 077; head -c 32 /dev/urandom | base64 > passphrase
  quorate node join --name d --passphrase-file passphrase --genesis genesis.json \\
    --peer a=a.example:7401 --peer b=b.example:7401 --peer c=c.example:7401 \\
    --listen-peers 0.0.0.0:7401 --listen-api 127.0.0.1:7400")]
pub(crate) struct JoinArgs {
    /// The node's name: a new one, or that of the machine in whose place it comes.
    #[arg(long)]
    name: String,
    /// The data folder to make.
    #[arg(long, value_name = "FOLDER", default_value = "data")]
    data: PathBuf,
    #[command(flatten)]
    under: UnderArgs,
    /// The genesis of the cluster, as every node of it has it.
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// Another node and its address; once for each.
    #[arg(long = "peer", value_name = "NAME=HOST:PORT", required = true, value_parser = pair)]
    peers: Vec<(String, String)>,
    /// The identity of another node, where the genesis does not have it, or one that is outdated.
    #[arg(long = "identity", value_name = "NAME=IDENTITY", value_parser = pair)]
    identities: Vec<(String, String)>,
    /// A client and its public key, in a cluster without a directory.
    #[arg(long = "client-key-of", value_name = "NAME=KEY", conflicts_with = "genesis", value_parser = pair)]
    clients: Vec<(String, String)>,
    /// Where to listen for the other nodes.
    #[arg(long, value_name = "ADDRESS")]
    listen_peers: SocketAddr,
    /// Where to listen for clients.
    #[arg(long, value_name = "ADDRESS")]
    listen_api: SocketAddr,
    /// The configuration file to write; it must not exist.
    #[arg(long, value_name = "FILE", default_value = "quorate.toml")]
    config: PathBuf,
}

/// Identities of the genesis by name.
fn of_genesis(path: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|error| usage(format!("cannot read `{shown}`: {error}")))?;
    let genesis = GenesisFile::parse(&text).and_then(|file| file.verify());
    let genesis = genesis.map_err(|error| usage(format!("`{shown}`: {error}")))?;
    Ok(genesis.terms().nodes.iter().map(|(name, identity)| (name.clone(), identity.to_string())).collect())
}

pub(super) fn join(args: JoinArgs, output: &Output) -> anyhow::Result<()> {
    let known = args.genesis.as_deref().map(of_genesis).transpose()?.unwrap_or_default();
    let given: BTreeMap<&str, &str> =
        args.identities.iter().map(|(name, identity)| (name.as_str(), identity.as_str())).collect();
    let governed = args.genesis.is_some();
    let peers = args.peers.iter().map(|(name, address)| {
        let identity = given.get(name.as_str()).map(|identity| (*identity).to_owned());
        let identity = identity.or_else(|| known.get(name).cloned());
        let unknown = || {
            usage(format!(
                "who is `{name}`? give --identity {name}=IDENTITY, as `quorate node status` shows it there"
            ))
        };
        Ok(Peer { name: name.clone(), address: address.clone(), identity: identity.ok_or_else(unknown)? })
    });
    let peers = peers.collect::<anyhow::Result<Vec<_>>>()?;
    let absolute = |path: &Path| {
        std::path::absolute(path).with_context(|| format!("`{}` names no place", path.display()))
    };
    let replaces = known.contains_key(&args.name);
    let seal = Seal {
        passphrase_file: args.under.passphrase_file.as_deref().map(absolute).transpose()?,
        passphrase_env: args.under.passphrase_env.clone(),
        passphrase_fd: args.under.passphrase_fd,
        pkcs11: args.under.seal.clone(),
    };
    let clients = args.clients.into_iter().map(|(name, key)| Client { name, key }).collect();
    let config = Config {
        name: args.name.clone(),
        data: absolute(&args.data)?,
        genesis: args.genesis.as_deref().map(absolute).transpose()?,
        trusted_proxies: Vec::new(),
        listen: Listen { peers: args.listen_peers, api: args.listen_api },
        tls: None,
        seal,
        host: Default::default(),
        limits: Default::default(),
        breaker: Default::default(),
        refresh: Default::default(),
        keys: Default::default(),
        log: Default::default(),
        telemetry: Default::default(),
        chains: Default::default(),
        peers,
        clients,
        presign: None,
        pool: Default::default(),
        webhooks: Vec::new(),
        backup: None,
    };
    config.check()?;
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).open(&args.config);
    let shown = args.config.display();
    let file = file.as_mut().map_err(|error| usage(format!("cannot create `{shown}`: {error}")))?;
    let made = super::make(&config.data, &args.name, args.under);
    let report = match made {
        Ok(report) => report,
        Err(error) => {
            fs::remove_file(&args.config).ok();
            return Err(error);
        }
    };
    file.write_all(config.to_toml()?.as_bytes())?;
    let identity = report.identity.to_string();
    let next = super::next_steps(&args.name, &identity, governed.then_some(replaces));
    let value = serde_json::json!({
        "name": args.name, "data": config.data, "identity": identity, "config": args.config, "next": next,
    });
    output.result(&value, || {
        let mut text = fields(&[
            ("name", args.name.clone()),
            ("data", config.data.display().to_string()),
            ("identity", identity.clone()),
            ("configuration", shown.to_string()),
        ]);
        text.push_str(&format!(
            "\n{next}\nStart it at any time, it waits: quorate node run --config {shown}\n"
        ));
        text
    })
}
