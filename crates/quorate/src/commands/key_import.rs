//! `quorate key import`: read a private key, show what it is, split it, and seal each node its part.
//!
//! The key is whole in this process from the moment it is read to the moment it is split. Its memory is closed to other processes and
//! kept out of swap where the system allows it; everything that held the key is overwritten before anything is sent.

mod deal;
mod source;

use super::{block_on, key, structure};
use crate::cli::Connection;
use crate::connection::connect;
use crate::failure::usage;
use crate::output::Output;
use clap::Args;
use quorate_api::intent::{Network, PublicKey, Purpose, Scheme};
use quorate_api::{Access, Hex, NodeSealingKey, OperationResult, check_label};
use quorate_material::{Ask, CurveId, DerivationPath, Format, Material, MaterialError, Secret, read};
use quorate_node::config::LockMemory;
use quorate_node::host::harden;
use std::collections::BTreeMap;
use std::io::IsTerminal as _;

/// Arguments of `quorate key import`.
#[derive(Debug, Args)]
#[command(after_help = "\
The private key comes from a file that only its owner can read, from an open descriptor, or from a hidden prompt; never from the command line.

Examples:
  quorate key import --from geth-keystore.json --threshold 2
  quorate key import --format bip39 --scheme ed25519 --path \"m/44'/501'/0'/0'\" --threshold 2
  quorate key import --from key.pem --access 'user and 2 of (a, b, c)'
  quorate key import --from-fd 3 --scheme ecdsa-p256 --threshold 2 --yes \\
      --identity node-a=9f… --identity node-b=04… --identity node-c=77…")]
pub(crate) struct ImportArgs {
    /// The file with the private key; asked for with a hidden prompt if absent.
    #[arg(long, value_name = "FILE", conflicts_with = "from_fd")]
    from: Option<std::path::PathBuf>,
    /// An open file descriptor to read the private key from.
    #[arg(long, value_name = "NUMBER")]
    from_fd: Option<i32>,
    /// What it is: auto, hex, seed, pkcs8, bip39, xprv, keystore, wif, solana or quorate.
    #[arg(long, default_value = "auto", value_parser = format)]
    format: Named,
    /// Which key below words, a seed or an extended key, such as m/44'/60'/0'/0/0.
    #[arg(long, value_name = "PATH")]
    path: Option<DerivationPath>,
    /// The file with the password of the file, or the passphrase of the words.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["password_fd", "ask_password"])]
    password_file: Option<std::path::PathBuf>,
    /// An open file descriptor to read it from.
    #[arg(long, value_name = "NUMBER", conflicts_with = "ask_password")]
    password_fd: Option<i32>,
    /// Ask for it with a hidden prompt, also where it may be absent (the passphrase of words).
    #[arg(long)]
    ask_password: bool,
    /// The signature scheme; found out where the format says the curve.
    #[arg(long, value_parser = key::scheme())]
    scheme: Option<Scheme>,
    /// How many parties can sign: 2 means 2 of n.
    #[arg(long, short, required_unless_present = "access")]
    threshold: Option<u16>,
    /// Who can sign, over the names of nodes: `2 of (a, b, c)`, `user and 2 of (a, b, c)`, weights as in `3 of (a*2, b, c)`, ranks as in
    /// `1 of (m1, m2) over 2 of (t1, t2, t3)`. None of them can sign alone.
    #[arg(long, value_name = "STRUCTURE", conflicts_with_all = ["threshold", "parties"])]
    access: Option<Access>,
    /// The nodes that each get a share, separated by commas; all known nodes if absent.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    parties: Vec<String>,
    /// What the key may sign; can be repeated; the scheme's defaults if absent.
    #[arg(long = "purpose", value_delimiter = ',', value_parser = key::purpose())]
    purposes: Vec<Purpose>,
    /// A name for people.
    #[arg(long)]
    label: Option<String>,
    /// The identity that a node must have, as `quorate node init` printed it there: NAME=HEX; can be repeated.
    #[arg(long = "identity", value_name = "NAME=HEX", value_parser = pin)]
    identities: Vec<(String, Hex)>,
    /// Do not ask for a confirmation. Every node must be named with `--identity` then.
    #[arg(long)]
    yes: bool,
    /// For which Bitcoin network addresses are shown.
    #[arg(long, default_value = "mainnet", value_name = "NETWORK")]
    network: Network,
    /// Names this request: repeating it gives the same operation. Drawn at random if absent.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

/// A format, or none for `auto`. Named so that clap takes it for one value and not for an argument that may be absent.
type Named = Option<Format>;

fn format(name: &str) -> Result<Named, String> {
    if name == "auto" {
        return Ok(None);
    }
    name.parse().map(Some).map_err(|_| format!("expected auto, {}", Format::ALL.map(Format::name).join(", ")))
}

fn pin(text: &str) -> Result<(String, Hex), String> {
    let wrong = || "expected NAME=HEX with the 64 hexadecimal digits of an identity".to_owned();
    let (name, digits) = text.split_once('=').ok_or_else(wrong)?;
    let bytes = hex::decode(digits).ok().filter(|bytes| bytes.len() == 32).ok_or_else(wrong)?;
    Ok((name.to_owned(), Hex(bytes)))
}

/// Runs the command.
pub(crate) fn run(args: ImportArgs, connection: &Connection, output: &Output) -> anyhow::Result<()> {
    // Before anything secret is in memory. Where memory cannot be locked, what was read may be swapped out: said, not refused.
    let hardened = harden(LockMemory::IfPossible)?;
    if let Err(why) = &hardened.memory {
        output.hint(&format!("the private key may be written to swap: {why}"));
    }
    args.label.as_deref().map_or(Ok(()), check_label).map_err(usage)?;
    let pins = pins(&args)?;
    let client = connect(connection)?;
    let nodes = block_on(async { Ok(client.sealing_keys().await?) })?;
    let parties = parties(&args, &pins, nodes.keys, &nodes.absent)?;

    let material = material(&args)?;
    let scheme = scheme(&args, &material)?;
    let public = PublicKey::new(scheme, material.public_key())?;
    let who = deal::Who::of(args.threshold, args.access.as_ref(), &parties, scheme)?;
    confirm(&args, &material, &public, &who, &parties, output)?;

    let repeat = key::idempotency_key(args.idempotency_key)?;
    let wanted = deal::Wanted {
        scheme,
        who,
        purposes: Some(args.purposes).filter(|purposes| !purposes.is_empty()),
        label: args.label,
        expires: connection.expires,
    };
    // IMP.1 From here on only sealed parts are left.
    let import = deal::deal(material, wanted, &parties, client.name(), &repeat)?;
    let operation =
        key::run_operation("importing the key", &client, connection, &repeat, output, async |wait| {
            client.import_key(&import, &repeat, wait).await
        })?;
    match &operation.result {
        Some(OperationResult::CreateKey { key, figures }) => {
            if key.public_key.0 != public.bytes() {
                anyhow::bail!(
                    "the nodes have another public key than the one that was imported: use none of it"
                );
            }
            output
                .result(&operation, || format!("{}\nimported in {}", key::show(key), key::cost(figures)))?;
            output.hint("the original is still a whole private key: keep it as safe as before, or erase it");
            Ok(())
        }
        _ => key::started(&operation, output),
    }
}

fn pins(args: &ImportArgs) -> anyhow::Result<BTreeMap<String, Hex>> {
    let mut pins = BTreeMap::new();
    for (name, identity) in &args.identities {
        if pins.insert(name.clone(), identity.clone()).is_some_and(|before| before != *identity) {
            return Err(usage(format!("`--identity` names two identities for `{name}`")));
        }
    }
    Ok(pins)
}

/// The nodes that get a share, each with a key that its identity signed, and with the identity that the caller expects.
fn parties(
    args: &ImportArgs,
    pins: &BTreeMap<String, Hex>,
    said: Vec<NodeSealingKey>,
    absent: &[String],
) -> anyhow::Result<Vec<NodeSealingKey>> {
    let named = match &args.access {
        Some(access) => Some(access.names().into_iter().map(str::to_owned).collect()),
        None => key::node_names(args.parties.clone())?,
    };
    let names: Vec<String> = match named {
        Some(names) => names,
        None if absent.is_empty() => said.iter().map(|node| node.name.clone()).collect(),
        None => anyhow::bail!(
            "not there: {}; start them, or name the nodes that shall get shares with `--parties`",
            absent.join(", ")
        ),
    };
    let mut parties = Vec::with_capacity(names.len());
    for name in names {
        let node = said.iter().find(|node| node.name == name);
        let node = node.ok_or_else(|| anyhow::anyhow!("`{name}` is not there: start it, or leave it out"))?;
        if !node.holds() {
            anyhow::bail!(
                "the sealing key of `{name}` is not signed by its identity: somebody in between changed it"
            );
        }
        match pins.get(&name) {
            Some(pinned) if *pinned != node.identity => anyhow::bail!(
                "the asked node says that `{name}` has the identity {}, and `--identity` says {pinned}: nothing was sent",
                node.identity
            ),
            None if args.yes => {
                return Err(usage(format!(
                    "`--yes` needs `--identity {name}=…`: a node that lies about the others' identities would be sent their parts"
                )));
            }
            _ => parties.push(node.clone()),
        }
    }
    Ok(parties)
}

fn curve(scheme: Scheme) -> CurveId {
    match scheme {
        Scheme::EcdsaSecp256k1 | Scheme::Bip340 => CurveId::Secp256k1,
        Scheme::EcdsaP256 => CurveId::P256,
        Scheme::Ed25519 => CurveId::Ed25519,
    }
}

fn scheme(args: &ImportArgs, material: &Material) -> anyhow::Result<Scheme> {
    let scheme = args.scheme.unwrap_or_else(|| match material.curve() {
        CurveId::Secp256k1 => Scheme::EcdsaSecp256k1,
        CurveId::P256 => Scheme::EcdsaP256,
        CurveId::Ed25519 => Scheme::Ed25519,
    });
    if curve(scheme) == material.curve() { Ok(scheme) } else { Err(usage("the scheme is for another curve")) }
}

fn material(args: &ImportArgs) -> anyhow::Result<Material> {
    let bytes = match (&args.from, args.from_fd) {
        (Some(path), _) => source::file(path)?,
        (None, Some(fd)) => source::descriptor(fd)?,
        (None, None) => source::prompt("Private key, words or WIF (hidden): ")?,
    };
    let mut password = match (&args.password_file, args.password_fd) {
        (Some(path), _) => Some(source::line(source::file(path)?)),
        (None, Some(fd)) => Some(source::line(source::descriptor(fd)?)),
        (None, None) if args.ask_password => Some(source::prompt("Password (hidden): ")?),
        (None, None) => None,
    }
    .map(Secret::new);
    loop {
        let ask = Ask {
            format: args.format,
            curve: args.scheme.map(curve),
            path: args.path.as_ref(),
            password: password.as_ref(),
        };
        match read(&bytes, &ask) {
            Err(MaterialError::PasswordNeeded) if password.is_none() && std::io::stdin().is_terminal() => {
                password = Some(Secret::new(source::prompt("Password of the file (hidden): ")?));
            }
            read => return read.map_err(usage),
        }
    }
}

/// Shows what is about to happen, and goes on only if somebody agrees.
fn confirm(
    args: &ImportArgs,
    material: &Material,
    public: &PublicKey,
    who: &deal::Who,
    parties: &[NodeSealingKey],
    output: &Output,
) -> anyhow::Result<()> {
    let mut text = format!("{} key read from {}\n", public.scheme, material.format());
    text.push_str(&format!("public key  {}\n", public.to_hex()));
    for address in quorate_intent::addresses(public, args.network) {
        text.push_str(&format!("{} {}  {}\n", address.chain, address.kind, address.address));
    }
    for note in material.notes() {
        text.push_str(&format!("note: {}\n", note.text()));
    }
    text.push_str(&format!("who can sign with it: {}\n", structure::described(&who.named)?));
    text.push_str("the nodes:\n");
    for node in parties {
        text.push_str(&format!("  {}  {}\n", node.name, node.identity));
    }
    text.push_str(
        "compare the address with your wallet, and each identity with `quorate node status` on its machine",
    );
    output.notice(&text);
    if args.yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(usage("nobody can be asked here: give `--yes` and an `--identity` for each node"));
    }
    output.notice("type `import` to share this key out:");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    if answer.trim() == "import" { Ok(()) } else { Err(usage("nothing was imported")) }
}
