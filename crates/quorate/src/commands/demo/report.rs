//! What the story says: one event type, printed as lines for people or as one JSON object a line.

use crate::local::LocalNode;
use crate::output::Output;
use quorate_api::{Figures, Key, MoveResult, Problem, SignResult, SignatureResult};
use serde::Serialize;
use std::time::Duration;

use super::scheme_name;
use super::steps::foreign;

/// Prints the story.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    json: bool,
    output: &'a Output,
}

/// One thing that happened. Fields that do not apply are absent.
#[derive(Debug, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub(crate) enum Event {
    Start(Process),
    Restart(Process),
    Create(Box<Created>),
    Sign(Box<Signed>),
    Stop {
        node: String,
    },
    Refused {
        code: String,
        status: u16,
        detail: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        needed: Option<u16>,
        #[serde(skip_serializing_if = "Option::is_none")]
        ready: Option<u16>,
        ms: u64,
    },
    /// A request waits for people.
    Waits {
        operation: String,
        asked_by: String,
        words: String,
        rule: Option<String>,
        missing: Vec<String>,
    },
    /// A person said something.
    Ruled {
        by: String,
        verdict: &'static str,
        with: &'static str,
        node: &'static str,
        status: String,
        still_missing: Vec<String>,
    },
    /// A person or program was refused.
    Denied {
        who: String,
        code: String,
        detail: String,
    },
    /// A log was checked without its node.
    Checked {
        what: String,
        node: String,
        entries: u64,
        good: bool,
        findings: Vec<String>,
    },
    /// Something was frozen, or thawed.
    Frozen {
        what: String,
        by: String,
        thawed: bool,
    },
    /// A key is in its next epoch, under the public key that it always had.
    Moved {
        act: &'static str,
        key: String,
        scheme: String,
        epoch: u64,
        threshold: u16,
        parties: Vec<String>,
        public_key: String,
        addresses: Vec<String>,
        figures: Figures,
    },
    /// A node lost its disk; a machine with this identity is in its place.
    Lost {
        node: String,
        identity: String,
    },
    /// People made recovery keys.
    RecoveryKeys {
        holders: Vec<String>,
        access: String,
        fingerprints: Vec<String>,
    },
    /// A node wrote its shares, encrypted, to the place for backups.
    BackedUp {
        node: String,
        keys: u64,
        bytes: u64,
    },
    /// The backups were checked without a secret.
    Verified {
        nodes: usize,
        keys: usize,
        sound: bool,
    },
    /// All these nodes are gone with everything that was on their machines.
    Disaster {
        nodes: Vec<String>,
    },
    /// A fresh machine asks the holders of recovery keys for the shares of a lost one.
    Asked {
        node: String,
        of: String,
        keys: u64,
        fingerprint: String,
    },
    /// A holder of a recovery key answered, sealed to the machine that asked.
    Answered {
        by: String,
        node: String,
    },
    /// A fresh machine has restored shares, with which nothing signs.
    TookIn {
        node: String,
        shares: usize,
    },
    /// A key after the disaster is what it was before.
    Back {
        key: String,
        scheme: String,
        epoch: u64,
        public_key: String,
        before: Vec<String>,
        after: Vec<String>,
    },
    /// The report of a drill.
    Drilled(Box<Drilled>),
    /// A node is connected with all others.
    Known {
        node: String,
        peers: usize,
    },
    End {
        ok: bool,
        elapsed_s: f64,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
}

/// What a drill came to.
#[derive(Debug, Serialize)]
pub(crate) struct Drilled {
    pub(crate) steps: Vec<DrilledStep>,
    pub(crate) keys: Vec<DrilledKey>,
    /// From fresh machines to the last signature.
    pub(crate) recovered_s: f64,
    pub(crate) elapsed_s: f64,
}

/// A step of a drill.
#[derive(Debug, Serialize)]
pub(crate) struct DrilledStep {
    pub(crate) what: String,
    pub(crate) seconds: f64,
}

/// A key before and after.
#[derive(Debug, Serialize)]
pub(crate) struct DrilledKey {
    key: String,
    scheme: String,
    public_key: String,
    before: Vec<String>,
    after: Vec<String>,
    same: bool,
    /// The epochs before and after.
    epochs: [u64; 2],
    /// The library that accepted its signature afterwards.
    verified_by: &'static str,
}

impl DrilledKey {
    pub(crate) fn of(before: &Key, after: &Key) -> Self {
        Self {
            key: after.id.to_string(),
            scheme: scheme_name(after.scheme).to_owned(),
            public_key: after.public_key.to_string(),
            same: before.public_key == after.public_key && before.addresses == after.addresses,
            before: addresses(before),
            after: addresses(after),
            epochs: [before.epoch, after.epoch],
            verified_by: foreign(after.scheme),
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct Process {
    node: String,
    pid: u32,
    api: String,
    identity: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Created {
    key: String,
    scheme: String,
    threshold: u16,
    parties: Vec<String>,
    public_key: String,
    addresses: Vec<String>,
    figures: Figures,
}

/// One verified signature. The fields of the first block are a promise to programs that read them.
#[derive(Debug, Serialize)]
pub(crate) struct Signed {
    scheme: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    chain: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    public_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    signature: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_tx: Option<String>,
    quorum: Vec<String>,
    ms: u64,

    what: String,
    verified_by: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    txid: Option<String>,
    summary: String,
    figures: Figures,
}

impl Event {
    pub(crate) fn node(step: &str, node: &LocalNode, pid: u32) -> Self {
        let process = Process {
            node: node.name.clone(),
            pid,
            api: node.api.to_string(),
            identity: node.identity.clone(),
        };
        if step == "restart" { Self::Restart(process) } else { Self::Start(process) }
    }

    pub(super) fn created(key: &Key, figures: &Figures) -> Self {
        Self::Create(Box::new(Created {
            key: key.id.to_string(),
            scheme: scheme_name(key.scheme).to_owned(),
            threshold: key.threshold,
            parties: key.parties.clone(),
            public_key: key.public_key.to_string(),
            addresses: addresses(key),
            figures: figures.clone(),
        }))
    }

    pub(super) fn moved(done: &MoveResult) -> Self {
        let key = &done.key;
        Self::Moved {
            act: done.act.as_str(),
            key: key.id.to_string(),
            scheme: scheme_name(key.scheme).to_owned(),
            epoch: key.epoch,
            threshold: key.threshold,
            parties: key.parties.clone(),
            public_key: key.public_key.to_string(),
            addresses: addresses(key),
            figures: done.figures.clone(),
        }
    }

    pub(crate) fn back(before: &Key, after: &Key) -> Self {
        Self::Back {
            key: after.id.to_string(),
            scheme: scheme_name(after.scheme).to_owned(),
            epoch: after.epoch,
            public_key: after.public_key.to_string(),
            before: addresses(before),
            after: addresses(after),
        }
    }

    /// A request that was refused for want of parties.
    pub(super) fn refused(problem: &Problem, after: Duration) -> anyhow::Result<Self> {
        Ok(Self::Refused {
            code: problem.code.as_str().to_owned(),
            status: problem.status(),
            detail: problem.detail.clone(),
            needed: problem.quorum.as_ref().map(|q| q.needed),
            ready: problem.quorum.as_ref().map(|q| q.ready),
            ms: u64::try_from(after.as_millis())?,
        })
    }

    pub(super) fn signed(
        what: &str,
        chain: Option<(String, String)>,
        result: &SignResult,
        signature: &SignatureResult,
        verified_by: &'static str,
    ) -> Self {
        let (chain, address) = chain.unzip();
        Self::Sign(Box::new(Signed {
            scheme: result.scheme.to_string(),
            chain,
            address,
            public_key: signature.public_key.to_string(),
            message: signature.message.as_ref().map(ToString::to_string),
            digest: signature.digest.as_ref().map(ToString::to_string),
            signature: signature.signature.to_string(),
            raw_tx: result.raw_tx.as_ref().map(ToString::to_string),
            quorum: result.quorum.clone(),
            ms: result.figures.ms,
            what: what.to_owned(),
            verified_by,
            txid: result.txid.clone(),
            summary: result.summary.to_string(),
            figures: result.figures.clone(),
        }))
    }
}

impl<'a> Report<'a> {
    pub(crate) const fn new(json: bool, output: &'a Output) -> Self {
        Self { json, output }
    }

    /// A heading, for people only.
    pub(crate) fn chapter(&self, text: &str) -> anyhow::Result<()> {
        if self.json { Ok(()) } else { self.output.text(&format!("\n── {text}")) }
    }

    /// Prints one event.
    pub(crate) fn tell(&self, event: &Event) -> anyhow::Result<()> {
        if self.json {
            return self.output.text(&serde_json::to_string(event)?);
        }
        self.output.text(&match event {
            Event::Start(p) => format!(
                "   node {}  process {}  http://{}  identity {}",
                p.node,
                p.pid,
                p.api,
                short(&p.identity)
            ),
            Event::Restart(p) => format!("   node {} is back  process {}", p.node, p.pid),
            Event::Create(c) => created(c),
            Event::Sign(s) => signed(s),
            Event::Stop { node } => format!("   node {node} is gone"),
            Event::Refused { code, status, detail, needed, ready, ms } => {
                let quorum =
                    needed.zip(*ready).map_or_else(String::new, |(n, r)| format!(" ({r} of {n} ready)"));
                format!("   refused after {ms} ms: {status} {code}{quorum}\n     {detail}")
            }
            Event::Waits { operation, asked_by, words, rule, missing } => format!(
                "   {asked_by} asks: {words}\n     {operation} waits under rule `{}` for {}",
                rule.as_deref().unwrap_or("?"),
                missing.join(" and ")
            ),
            Event::Ruled { by, verdict, with, node, status, still_missing } => {
                let missing = if still_missing.is_empty() {
                    String::new()
                } else {
                    format!(", still missing: {}", still_missing.join(" and "))
                };
                format!("   {by} says {verdict} with a {with}, at node {node}: {status}{missing}")
            }
            Event::Denied { who, code, detail } => format!("   {who} is refused: {code}\n     {detail}"),
            Event::Checked { what, node, entries, good, findings } => {
                let verdict = if *good { "as it was signed" } else { "NOT as it was signed" };
                let mut text = format!("   {what} of node {node}, {entries} entries: {verdict}");
                findings.iter().for_each(|finding| text.push_str(&format!("\n     {finding}")));
                text
            }
            Event::Frozen { what, by, thawed } => {
                format!("   {what} is {} by {by}", if *thawed { "thawed" } else { "frozen" })
            }
            Event::Moved { act, scheme, epoch, threshold, parties, addresses, figures, .. } => {
                let mut text =
                    format!("   {act}: {scheme}, epoch {epoch}, {threshold} of {}\n", parties.join(", "));
                addresses.iter().for_each(|address| text.push_str(&format!("     still      {address}\n")));
                text.push_str(&sum(figures));
                text
            }
            Event::Lost { node, identity } => {
                format!("   node {node} is gone with its disk; identity of the new one {}", short(identity))
            }
            Event::RecoveryKeys { holders, access, .. } => {
                format!("   recovery keys of {}: {access} open a backup, at no node and in no backup", holders.join(", "))
            }
            Event::BackedUp { node, keys, bytes } => {
                format!("   node {node} backed {keys} keys up: {bytes} bytes, encrypted to the recovery keys")
            }
            Event::Verified { nodes, keys, sound } => {
                let verdict = if *sound { "every share can be opened" } else { "NOT SOUND" };
                format!("   backups of {nodes} nodes and {keys} keys checked without a secret: {verdict}")
            }
            Event::Disaster { nodes } => format!(
                "   nodes {} are killed; their folders with identities, passphrases, shares and logs are deleted",
                nodes.join(", ")
            ),
            Event::Asked { node, of, keys, fingerprint } => format!(
                "   fresh machine {node} asks for the shares of {} in {keys} keys\n     fingerprint {fingerprint}",
                short(of)
            ),
            Event::Answered { by, node } => format!("   {by} answers {node}, sealed to its one-time key"),
            Event::TookIn { node, shares } => {
                format!("   {node} has {shares} shares again; nothing signs with them yet")
            }
            Event::Back { key, scheme, epoch, public_key, before, after } => {
                let mut text = format!("   {scheme}  {key}, epoch {epoch}\n     public key {public_key}, as before\n");
                for (before, after) in before.iter().zip(after) {
                    let same = if before == after { "still" } else { "WAS" };
                    text.push_str(&format!("     {same:<10} {before}\n"));
                }
                text.pop();
                text
            }
            Event::Drilled(drilled) => drilled_text(drilled),
            Event::Known { node, peers } => format!("   node {node} is connected with {peers} others"),
            Event::End { ok: true, elapsed_s, .. } => {
                format!("\n── Done in {elapsed_s:.1} s; everything that was made is removed")
            }
            Event::End { elapsed_s, .. } => format!("\n── Failed after {elapsed_s:.1} s"),
        })
    }
}

fn drilled_text(drilled: &Drilled) -> String {
    let mut text = String::from("\n── Disaster drill\n");
    for step in &drilled.steps {
        text.push_str(&format!("   {:>7.2} s  {}\n", step.seconds, step.what));
    }
    text.push_str(&format!("   {:>7.2} s  from fresh machines to the last signature\n", drilled.recovered_s));
    for key in &drilled.keys {
        let same = if key.same { "same addresses" } else { "OTHER ADDRESSES" };
        let [from, to] = key.epochs;
        text.push_str(&format!(
            "   {}: {same}, epoch {from} → {to}, signature accepted by {}\n",
            key.scheme, key.verified_by
        ));
        key.after.iter().for_each(|address| text.push_str(&format!("     {address}\n")));
    }
    text.pop();
    text
}

fn created(c: &Created) -> String {
    let mut text = format!("   {}  {} of {}  {}\n", c.scheme, c.threshold, c.parties.len(), c.key);
    text.push_str(&format!("     public key {}\n", c.public_key));
    for address in &c.addresses {
        text.push_str(&format!("     address    {address}\n"));
    }
    text.push_str(&rounds(&c.figures));
    text
}

fn signed(s: &Signed) -> String {
    let mut text = format!("   {}: {}\n", s.what, s.summary.lines().next().unwrap_or_default());
    let from = s.chain.as_ref().zip(s.address.as_ref());
    if let Some((chain, address)) = from {
        text.push_str(&format!("     {chain:<10} {address}\n"));
    }
    text.push_str(&format!("     signature  {}\n", s.signature));
    if let Some(raw) = &s.raw_tx {
        text.push_str(&format!("     raw tx     {raw}\n"));
    }
    text.push_str(&format!("     by {}, accepted by {}\n", s.quorum.join(" and "), s.verified_by));
    text.push_str(&rounds(&s.figures));
    text
}

/// The rounds on lines of their own, then the sum.
fn rounds(figures: &Figures) -> String {
    let mut text = String::new();
    for step in &figures.steps {
        text.push_str(&format!(
            "       {:<14} round {}  {:<20} {:>5} ms  {:>7} B out  {:>7} B in\n",
            step.protocol, step.round, step.name, step.ms, step.bytes_sent, step.bytes_received
        ));
    }
    text.push_str(&sum(figures));
    text
}

fn sum(figures: &Figures) -> String {
    format!(
        "     {} rounds, {} ms, {} B sent and {} B received by the coordinator",
        figures.rounds, figures.ms, figures.bytes_sent, figures.bytes_received
    )
}

fn addresses(key: &Key) -> Vec<String> {
    key.addresses.iter().map(|a| format!("{} {}", a.chain, a.address)).collect()
}

fn short(hex: &str) -> &str {
    hex.get(..16).unwrap_or(hex)
}
