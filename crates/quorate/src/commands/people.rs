//! `quorate approve`, `reject`, `withdraw`, `freeze`, `directory`: what people decide.

use super::cluster::{pair, read_policy, read_steps};
use super::key::{idempotency_key, run_operation, started};
use super::{block_on, op};
use crate::cli::Connection;
use crate::connection::connect;
use crate::failure::usage;
use crate::output::{Output, ago, fields, table};
use anyhow::Context as _;
use clap::{Args, Subcommand};
use quorate_api::client::Client;
use quorate_api::{
    Approvals, CertificateIdentity, ChangeDirectory, Credential, Hex, KeyId, Operation, OperationId,
    OperationResult, Scope, SetFreeze,
};
use quorate_policy::change::{Step, What};
use quorate_policy::directory::{Members, PrincipalKind};
use quorate_policy::name::Name;
use std::path::PathBuf;
use std::time::Duration;

/// Which operation, and why.
#[derive(Debug, Args)]
pub(crate) struct RuleArgs {
    /// The operation.
    operation: OperationId,
    /// Why, for the others.
    #[arg(long)]
    reason: Option<String>,
    /// Do not ask whether this is what you mean.
    #[arg(long, short)]
    yes: bool,
}

/// What to freeze.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  quorate freeze --key key_… --reason 'unknown payee'")]
pub(crate) struct FreezeArgs {
    #[command(flatten)]
    what: FreezeWhat,
    /// Why, for the others.
    #[arg(long)]
    reason: Option<String>,
}

/// Exactly one of these.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct FreezeWhat {
    /// One key.
    #[arg(long, value_name = "KEY")]
    key: Option<KeyId>,
    /// All keys of a tenant.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Everything.
    #[arg(long)]
    everything: bool,
}

/// Commands about the directory. Each but `show` asks for a change, which the admins must agree to.
#[derive(Debug, Subcommand)]
pub(crate) enum DirectoryCommand {
    /// Show people, groups, policies and freezes.
    Show,
    /// Ask for the steps of a file (JSON) to be taken together.
    Propose(ProposeArgs),
    /// Add a user with a key or passkey.
    AddUser(AddUserArgs),
    /// Add a service with a key, or with the name that is in its certificates.
    AddService(AddServiceArgs),
    /// Disable a user or service: its requests are refused, its approvals no longer count.
    Disable(NameArgs),
    /// Enable a user or service.
    Enable(NameArgs),
    /// Say who is in a group, whole.
    SetGroup(SetGroupArgs),
    /// Put a policy in force, or replace it.
    SetPolicy(SetPolicyArgs),
    /// Take a policy out of force.
    RemovePolicy(NameArgs),
    /// Let a new node in, under the identity that `quorate node init` or `join` printed there.
    AddNode(NodeArgs),
    /// Put a fresh machine in the place of a node that was lost: its old identity is refused for ever.
    ReplaceNode(NodeArgs),
    /// Take a node out: its identity is refused for ever. Reshare the keys that it is a party of first.
    RemoveNode(RemoveNodeArgs),
    /// Lift freezes, named by their ids.
    Thaw(ThawArgs),
}

/// Arguments of `quorate directory propose`.
#[derive(Debug, Args)]
pub(crate) struct ProposeArgs {
    /// The file: a JSON list of steps.
    file: PathBuf,
    /// Why, for the people who approve it.
    #[arg(long)]
    reason: Option<String>,
}

/// Arguments of `quorate directory add-user`.
#[derive(Debug, Args)]
pub(crate) struct AddUserArgs {
    /// The user and the key or passkey.
    #[arg(value_name = "NAME=KEY", value_parser = pair)]
    user: (String, String),
    /// The tenant the user belongs to.
    #[arg(long)]
    tenant: Option<Name>,
}

/// Arguments of `quorate directory add-service`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  quorate directory add-service payments=ed25519:…
  quorate directory add-service payments --certificate-ca ca.pem --certificate-name spiffe://example.org/payments")]
pub(crate) struct AddServiceArgs {
    /// The service, and its key if it signs with one.
    #[arg(value_name = "NAME[=KEY]")]
    service: String,
    /// The certificate (PEM) of the authority that issues the service's certificates; its key is on P-256 or an Ed25519 key.
    #[arg(long, value_name = "FILE", requires = "certificate_name")]
    certificate_ca: Option<PathBuf>,
    /// The one name in them: a URI such as spiffe://example.org/payments, or a DNS name.
    #[arg(long, value_name = "NAME", requires = "certificate_ca")]
    certificate_name: Option<String>,
    /// The tenant the service belongs to.
    #[arg(long)]
    tenant: Option<Name>,
}

/// A name.
#[derive(Debug, Args)]
pub(crate) struct NameArgs {
    /// The name.
    name: Name,
}

/// Arguments of `quorate directory set-group`.
#[derive(Debug, Args)]
pub(crate) struct SetGroupArgs {
    /// The group.
    name: Name,
    /// Its members, separated by commas.
    #[arg(value_delimiter = ',')]
    members: Vec<Name>,
    /// Groups whose members are in it too.
    #[arg(long, value_delimiter = ',')]
    groups: Vec<Name>,
}

/// Arguments of `quorate directory set-policy`.
#[derive(Debug, Args)]
pub(crate) struct SetPolicyArgs {
    /// The policy's name.
    name: Name,
    /// The file with its text (Cedar).
    file: PathBuf,
    /// Why, for the people who approve it.
    #[arg(long)]
    reason: Option<String>,
}

/// Arguments of `quorate directory add-node` and `replace-node`.
#[derive(Debug, Args)]
pub(crate) struct NodeArgs {
    /// The node, and the identity that its machine printed.
    #[arg(value_name = "NAME=IDENTITY", value_parser = pair)]
    node: (String, String),
    /// Why, for the people who approve it.
    #[arg(long)]
    reason: Option<String>,
}

impl NodeArgs {
    fn read(self) -> anyhow::Result<(String, Hex, Option<String>)> {
        let (name, identity) = self.node;
        let identity = Hex::try_from(identity).map_err(|error| usage(format!("node `{name}`: {error}")))?;
        Ok((name, identity, self.reason))
    }
}

/// Arguments of `quorate directory remove-node`.
#[derive(Debug, Args)]
pub(crate) struct RemoveNodeArgs {
    /// The node.
    name: String,
    /// Why, for the people who approve it.
    #[arg(long)]
    reason: Option<String>,
}

/// Arguments of `quorate directory thaw`.
#[derive(Debug, Args)]
pub(crate) struct ThawArgs {
    /// The ids, as `quorate directory show` lists them.
    #[arg(required = true)]
    freezes: Vec<String>,
}

fn fresh() -> anyhow::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).context("the operating system gave no random bytes")?;
    Ok(bytes)
}

/// Says `verdict` about an operation, after showing what it is about.
pub(crate) fn rule(
    verdict: &str,
    args: RuleArgs,
    connection: &Connection,
    output: &Output,
) -> anyhow::Result<()> {
    let client = connect(connection)?;
    let operation = block_on(async {
        let operation = client.operation(&args.operation, Duration::ZERO).await?;
        let approvals = operation.approvals.as_ref();
        let approvals = approvals.with_context(|| {
            format!("`{}` waits for nobody: it is {}", operation.id, operation.status.as_str())
        })?;
        let mut rule = approvals.rule(&operation.id, fresh()?, args.reason).map_err(|why| {
            anyhow::anyhow!("the node contradicts itself, do not approve anything there: {why}")
        })?;
        if verdict == "withdraw" {
            let own = own_nonces(approvals, &client).await;
            anyhow::ensure!(!own.is_empty(), "there is no approval of yours to withdraw");
            rule.withdraws = own;
        }
        output.hint(&show_approvals(approvals));
        if !args.yes && !agrees(verdict)? {
            anyhow::bail!("nothing was said: answer `yes`, or give --yes");
        }
        Ok(client.rule(&operation.id, verdict, &rule).await?)
    })?;
    output.result(&operation, || op::show(&operation))
}

/// The fresh bytes of approvals that count and could be one's own: withdrawing those of others has no effect.
async fn own_nonces(approvals: &Approvals, client: &Client) -> Vec<Hex> {
    let directory = client.directory().await.ok();
    let principal = directory.and_then(|directory| {
        let credential = directory.credentials.get(client.name())?;
        credential.get("principal")?.as_str().map(str::to_owned)
    });
    let own = approvals.approved.iter().filter(|approved| Some(&approved.by) == principal.as_ref());
    own.flat_map(|approved| approved.nonces.clone()).collect()
}

/// On a terminal, asks; elsewhere `--yes` must say so.
pub(super) fn agrees(verdict: &str) -> anyhow::Result<bool> {
    use std::io::{IsTerminal as _, Write as _};
    if !std::io::stdin().is_terminal() {
        return Err(usage(format!("to {verdict} without a terminal, give --yes")));
    }
    eprint!("{verdict} this? Type yes: ");
    std::io::stderr().flush()?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(line.trim() == "yes")
}

/// Where approvals stand, for people.
pub(crate) fn show_approvals(approvals: &Approvals) -> String {
    let words = approvals.summary.as_ref().map(ToString::to_string).unwrap_or_default();
    let approved: Vec<&str> = approvals.approved.iter().map(|approved| approved.by.as_str()).collect();
    let missing = approvals.missing.iter().map(|missing| {
        let ask = if missing.candidates.is_empty() {
            String::new()
        } else {
            format!(" (ask {})", missing.candidates.join(", "))
        };
        format!("{} of {}{ask}", missing.count, missing.of)
    });
    let until = approvals.not_before.map(|moment| format!("not before {moment} (unix seconds)"));
    fields(&[
        ("asked by", approvals.requester.clone()),
        ("to", words),
        ("rule", approvals.rule.clone().unwrap_or_default()),
        ("approved by", approved.join(", ")),
        ("rejected by", approvals.rejected.join(", ")),
        ("missing", missing.collect::<Vec<_>>().join("\n")),
        ("waits", until.unwrap_or_default()),
        ("ends at", format!("{} (unix seconds)", approvals.expires)),
        ("hash", approvals.request_hash.to_string()),
    ])
}

/// Freezes at once.
pub(crate) fn freeze(args: FreezeArgs, connection: &Connection, output: &Output) -> anyhow::Result<()> {
    let scope = match (args.what.key, args.what.tenant) {
        (Some(key), _) => Scope::Key { key },
        (None, Some(tenant)) => Scope::Tenant { tenant },
        (None, None) => Scope::Everything,
    };
    let client = connect(connection)?;
    let wanted = SetFreeze { scope, reason: args.reason };
    let frozen = block_on(async { Ok(client.freeze(&wanted, &idempotency_key(None)?).await?) })?;
    output.result(&frozen, || {
        fields(&[
            ("frozen", scope_words(&frozen.scope)),
            ("by", frozen.by.clone()),
            ("id", frozen.id.to_string()),
        ])
    })?;
    output.hint(&format!("the admins lift it with `quorate directory thaw {}`", frozen.id));
    Ok(())
}

fn scope_words(scope: &Scope) -> String {
    match scope {
        Scope::Key { key } => key.to_string(),
        Scope::Tenant { tenant } => format!("tenant {tenant}"),
        Scope::Everything => "everything".to_owned(),
    }
}

/// Runs the command.
pub(crate) fn directory(
    command: DirectoryCommand,
    connection: &Connection,
    output: &Output,
) -> anyhow::Result<()> {
    let (steps, reason) = match command {
        DirectoryCommand::Show => return show(connection, output),
        DirectoryCommand::Propose(args) => (read_steps(&args.file)?, args.reason),
        DirectoryCommand::AddUser(args) => {
            let (name, key) = args.user;
            let who: Name = name.parse().map_err(|error| usage(format!("`{name}`: {error}")))?;
            let with: Credential =
                key.parse().map_err(|error| usage(format!("the key of `{name}`: {error}")))?;
            let add =
                Step::AddPrincipal { name: who.clone(), kind: PrincipalKind::User, tenant: args.tenant };
            (vec![add, Step::AddCredential { name: who.clone(), principal: who, with }], None)
        }
        DirectoryCommand::AddService(args) => (add_service(args)?, None),
        DirectoryCommand::Disable(args) => {
            (vec![Step::SetDisabled { name: args.name, disabled: true }], None)
        }
        DirectoryCommand::Enable(args) => {
            (vec![Step::SetDisabled { name: args.name, disabled: false }], None)
        }
        DirectoryCommand::SetGroup(args) => {
            let members = Members {
                principals: args.members.into_iter().collect(),
                groups: args.groups.into_iter().collect(),
            };
            (vec![Step::SetGroup { name: args.name, members }], None)
        }
        DirectoryCommand::SetPolicy(args) => {
            (vec![Step::SetPolicy { name: args.name, text: read_policy(&args.file)? }], args.reason)
        }
        DirectoryCommand::RemovePolicy(args) => {
            (vec![Step::Remove { what: What::Policy, name: args.name }], None)
        }
        DirectoryCommand::AddNode(args) => {
            let (name, identity, reason) = args.read()?;
            (vec![Step::AddNode { name, identity }], reason)
        }
        DirectoryCommand::ReplaceNode(args) => {
            let (name, identity, reason) = args.read()?;
            (vec![Step::ReplaceNode { name, identity }], reason)
        }
        DirectoryCommand::RemoveNode(args) => (vec![Step::RemoveNode { name: args.name }], args.reason),
        DirectoryCommand::Thaw(args) => {
            let ids = args
                .freezes
                .into_iter()
                .map(|id| Hex::try_from(id.clone()).map_err(|error| usage(format!("`{id}`: {error}"))));
            (vec![Step::Thaw { freezes: ids.collect::<anyhow::Result<_>>()? }], None)
        }
    };
    change(steps, reason, None, connection, output)
}

/// Asks for a change of the directory and waits for the admins. Without `of`, it is made for the directory as it is then.
pub(crate) fn change(
    steps: Vec<Step>,
    reason: Option<String>,
    of: Option<(u64, Hex)>,
    connection: &Connection,
    output: &Output,
) -> anyhow::Result<()> {
    let client = connect(connection)?;
    let repeat = idempotency_key(None)?;
    let operation =
        run_operation("waiting for the admins", &client, connection, &repeat, output, async |wait| {
            let (base, previous) = match of {
                Some(of) => of,
                None => {
                    let directory = client.directory().await?;
                    (directory.version, directory.head)
                }
            };
            let change = ChangeDirectory { base, previous, steps, reason };
            client.change_directory(&change, &repeat, wait).await
        })?;
    match &operation.result {
        Some(OperationResult::ChangeDirectory { version, .. }) => {
            let version = *version;
            output.result(&operation, || format!("the directory is at version {version}"))
        }
        _ => started(&operation, output),
    }
}

fn add_service(args: AddServiceArgs) -> anyhow::Result<Vec<Step>> {
    let (name, key) = match args.service.split_once('=') {
        Some((name, key)) => (name, Some(key)),
        None => (args.service.as_str(), None),
    };
    let with: Credential = match (key, args.certificate_ca, args.certificate_name) {
        (Some(key), None, None) => {
            key.parse().map_err(|error| usage(format!("the key of `{name}`: {error}")))?
        }
        (None, Some(ca), Some(identity)) => {
            let pem = crate::connection::read_public(&ca)?;
            let identity = CertificateIdentity::from_pem(&pem, identity);
            identity
                .map_err(|error| {
                    usage(format!("the certificate of `{name}` from `{}`: {error}", ca.display()))
                })?
                .into()
        }
        _ => {
            return Err(usage(format!(
                "how does `{name}` sign? give `{name}=KEY`, or --certificate-ca and --certificate-name"
            )));
        }
    };
    let who: Name = name.parse().map_err(|error| usage(format!("`{name}`: {error}")))?;
    let add = Step::AddPrincipal { name: who.clone(), kind: PrincipalKind::Service, tenant: args.tenant };
    Ok(vec![add, Step::AddCredential { name: who.clone(), principal: who, with }])
}

fn show(connection: &Connection, output: &Output) -> anyhow::Result<()> {
    let client = connect(connection)?;
    let view = block_on(async { Ok(client.directory().await?) })?;
    output.result(&view, || {
        let names = |value: &serde_json::Value| {
            value
                .as_object()
                .map(|map| map.keys().cloned().collect::<Vec<_>>().join(", "))
                .unwrap_or_default()
        };
        let counts = if view.admins.requester_counts { "counting" } else { "without" };
        let mut text = fields(&[
            ("cluster", view.cluster.clone()),
            ("version", view.version.to_string()),
            ("head", view.head.to_string()),
            ("changes need", format!("{}, {counts} whoever asks", view.admins.quorum)),
            (
                "nodes",
                view.nodes.iter().map(|(name, id)| format!("{name} {id}")).collect::<Vec<_>>().join("\n"),
            ),
            ("tenants", view.tenants.join(", ")),
            ("people and services", names(&view.principals)),
            ("groups", names(&view.groups)),
            ("roles", names(&view.roles)),
            ("credentials", names(&view.credentials)),
            ("policies", names(&view.policies)),
        ]);
        if !view.freezes.is_empty() {
            text.push('\n');
            let row = |freeze: &quorate_api::Freeze| {
                [
                    scope_words(&freeze.scope),
                    freeze.by.clone(),
                    freeze.reason.clone().unwrap_or_default(),
                    ago(freeze.frozen_at),
                    freeze.id.to_string(),
                ]
            };
            let rows: Vec<_> = view.freezes.iter().map(row).collect();
            text.push_str(&table(["FROZEN", "BY", "REASON", "SINCE", "ID"], &rows));
        }
        for fork in &view.forks {
            text.push_str(&format!(
                "\nThe admins approved two changes of version {}.\nthis node took  {}\nnot taken       {}, asked for by {}: {}\n\
                 If nodes took different ones: choose one, and on each node of the other stop it, `quorate node switch-branch HEAD`, start it.\n",
                fork.version, fork.ours, fork.theirs, fork.client, fork.steps
            ));
        }
        text
    })
}

/// What to do with an operation that waits for people.
pub(crate) fn hint_waiting(operation: &Operation, output: &Output) {
    if let Some(approvals) = &operation.approvals {
        output.hint(&show_approvals(approvals));
        output.hint(&format!("people approve it with `quorate approve {}`", operation.id));
    }
}
