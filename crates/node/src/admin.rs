//! A socket for whoever runs the node, on the same machine: one question as a JSON line, one answer as a JSON line.
//!
//! Each side asks the system who the other one is: who connects must be the node's user or root, and who listens the owner of the folder.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{self as blocking, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use quorate_seal::PassphraseSource;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use crate::backup::BackedUp;
use crate::quarantine::{ProofShown, Readmitted};
use crate::reseal::{Resealed, Target};
use crate::shared::Shared;

/// Longest question or answer in bytes.
const MAX_LINE: u64 = 16 * 1024;
/// How long whoever connected may take to ask.
const ASK_WITHIN: Duration = Duration::from_secs(5);
/// How long an answer may take: an HSM is asked, and a log is emptied.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// How long a backup may take: a second covers some fifty keys.
const BACKUP_WITHIN: Duration = Duration::from_secs(3600);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Question {
    ResealToPassphraseFile(PathBuf),
    ResealToPassphraseEnv(String),
    ResealToPkcs11(String),
    Rotate,
    BackUp,
    Proofs,
    Readmit(String),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Proofs(Vec<ProofShown>),
    Readmitted(Readmitted),
    Resealed(Resealed),
    BackedUp(BackedUp),
    Failed(String),
}

/// Why a running node was not asked, or did not do it.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Nobody listens there.
    #[error("no node runs in `{}`", .0.display())]
    NotRunning(PathBuf),
    /// A passphrase on a descriptor of this process is none of the node's.
    #[error(
        "a running node cannot read file descriptor {0} of this process: put the passphrase into a file, or stop the node first"
    )]
    Descriptor(i32),
    /// Somebody else listens where the node should.
    #[error("user {uid} listens where the node in `{}` should, and does not own it: end that process", folder.display())]
    Impostor {
        /// The data folder.
        folder: PathBuf,
        /// Who listens.
        uid: u32,
    },
    /// The node said no.
    #[error("{0}")]
    Refused(String),
    /// The connection failed.
    #[error("the node in `{}` does not answer: {source}", folder.display())]
    Io {
        /// The data folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The socket of the node in a folder. On Linux it has a name and no file: nothing is left behind, nothing gets into copies of the folder,
/// and the folder may be as deep as it likes. The name is that of the folder itself, however it is called or mounted.
#[cfg(target_os = "linux")]
fn address(folder: &Path) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt as _;
    let metadata = fs::metadata(folder)?;
    SocketAddr::from_abstract_name(format!("quorate/{}/{}", metadata.dev(), metadata.ino()))
}

#[cfg(not(target_os = "linux"))]
fn address(folder: &Path) -> io::Result<SocketAddr> {
    SocketAddr::from_pathname(folder.join("control.sock"))
}

/// Lets the node that runs in this folder seal it anew.
///
/// # Errors
/// [`AdminError`]; [`AdminError::NotRunning`] if there is none.
pub async fn ask_running(folder: &Path, target: &Target) -> Result<Resealed, AdminError> {
    let question = match target {
        Target::Passphrase(PassphraseSource::File(path)) => Question::ResealToPassphraseFile(path.clone()),
        Target::Passphrase(PassphraseSource::Env(name)) => Question::ResealToPassphraseEnv(name.clone()),
        Target::Passphrase(PassphraseSource::Fd(fd)) => return Err(AdminError::Descriptor(*fd)),
        Target::Hsm(uri) => Question::ResealToPkcs11(uri.to_string()),
        Target::Same => Question::Rotate,
    };
    match ask(folder, &question).await? {
        Answer::Resealed(done) => Ok(done),
        other => Err(unexpected(other)),
    }
}

/// Lets the node that runs in this folder back its shares up now.
///
/// # Errors
/// [`AdminError`]; [`AdminError::NotRunning`] if there is none.
pub async fn back_up_running(folder: &Path) -> Result<BackedUp, AdminError> {
    match ask(folder, &Question::BackUp).await? {
        Answer::BackedUp(done) => Ok(done),
        other => Err(unexpected(other)),
    }
}

/// The newest proofs of cheating that the node keeps which runs in this folder.
///
/// # Errors
/// [`AdminError`]; [`AdminError::NotRunning`] if there is none.
pub async fn proofs_of_running(folder: &Path) -> Result<Vec<ProofShown>, AdminError> {
    match ask(folder, &Question::Proofs).await? {
        Answer::Proofs(proofs) => Ok(proofs),
        other => Err(unexpected(other)),
    }
}

/// Lets the node that runs in this folder sign again with another one that it has quarantined, by its name or identity.
///
/// # Errors
/// [`AdminError`]; [`AdminError::NotRunning`] if there is none, [`AdminError::Refused`] if the other is not quarantined.
pub async fn readmit_at_running(folder: &Path, name: &str) -> Result<Readmitted, AdminError> {
    match ask(folder, &Question::Readmit(name.to_owned())).await? {
        Answer::Readmitted(done) => Ok(done),
        other => Err(unexpected(other)),
    }
}

fn unexpected(answer: Answer) -> AdminError {
    AdminError::Refused(match answer {
        Answer::Failed(reason) => reason,
        _ => "the node answers something else: it is of another version".to_owned(),
    })
}

async fn ask(folder: &Path, question: &Question) -> Result<Answer, AdminError> {
    let failed = |source| AdminError::Io { folder: folder.to_owned(), source };
    let gone = || AdminError::NotRunning(folder.to_owned());
    let owner = match fs::metadata(folder) {
        Ok(metadata) => metadata.uid(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(gone()),
        Err(error) => return Err(failed(error)),
    };
    let connected = address(folder).and_then(|address| blocking::UnixStream::connect_addr(&address));
    let stream = match connected {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Err(gone());
        }
        Err(error) => return Err(failed(error)),
    };
    let opened = stream.set_nonblocking(true).and_then(|()| UnixStream::from_std(stream));
    let stream = opened.map_err(failed)?;
    let listens = stream.peer_cred().map_err(failed)?.uid();
    if listens != owner && listens != 0 {
        return Err(AdminError::Impostor { folder: folder.to_owned(), uid: listens });
    }
    let exchange = async {
        let mut stream = BufReader::new(stream);
        let mut line = serde_json::to_vec(question)?;
        line.push(b'\n');
        stream.write_all(&line).await?;
        let mut answer = String::new();
        stream.take(MAX_LINE).read_line(&mut answer).await?;
        Ok::<Answer, io::Error>(serde_json::from_str(&answer)?)
    };
    let within = if matches!(question, Question::BackUp) { BACKUP_WITHIN } else { ANSWER_WITHIN };
    let answer = timeout(within, exchange).await;
    answer.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(failed)
}

/// Listens for whoever runs the node. A node that cannot works on without.
pub(crate) fn listen(shared: &Arc<Shared>) {
    match bind(&shared.config.data) {
        Ok(listener) => {
            shared.tasks.spawn(serve(Arc::clone(shared), listener));
        }
        Err(error) => {
            tracing::warn!(%error, "no control socket: `quorate node reseal` needs this node stopped");
        }
    }
}

fn bind(folder: &Path) -> io::Result<UnixListener> {
    let address = address(folder)?;
    if let Some(path) = address.as_pathname() {
        // The folder is locked by this node, so what is there is left over from before.
        drop(fs::remove_file(path));
    }
    let listener = blocking::UnixListener::bind_addr(&address)?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

async fn serve(shared: Arc<Shared>, listener: UnixListener) {
    let own = rustix::process::geteuid().as_raw();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.draining.cancelled() => break,
        };
        // One after the other: what can be asked here is not asked often.
        if let Ok((stream, _)) = accepted
            && stream.peer_cred().is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
            && let Err(error) = answer(&shared, stream).await
        {
            tracing::debug!(%error, "a question on the control socket failed");
        }
    }
}

async fn answer(shared: &Arc<Shared>, stream: UnixStream) -> io::Result<()> {
    let (from, mut to) = stream.into_split();
    let mut line = String::new();
    let mut from = BufReader::new(from.take(MAX_LINE));
    timeout(ASK_WITHIN, from.read_line(&mut line)).await??;
    let target = match serde_json::from_str(&line) {
        Ok(Question::BackUp) => return say(&mut to, &backed_up(shared).await).await,
        Ok(Question::Proofs) => {
            let proofs = shared.shown_proofs().await;
            let answer = proofs.map_or_else(|problem| Answer::Failed(problem.detail), Answer::Proofs);
            return say(&mut to, &answer).await;
        }
        Ok(Question::Readmit(name)) => {
            let answer = shared.readmit(&name).await.map_or_else(Answer::Failed, Answer::Readmitted);
            return say(&mut to, &answer).await;
        }
        Ok(Question::ResealToPassphraseFile(path)) => Ok(Target::Passphrase(PassphraseSource::File(path))),
        Ok(Question::ResealToPassphraseEnv(name)) => Ok(Target::Passphrase(PassphraseSource::Env(name))),
        Ok(Question::Rotate) => Ok(Target::Same),
        Ok(Question::ResealToPkcs11(uri)) => uri.parse().map(Target::Hsm).map_err(|error| error.to_string()),
        Err(_) => {
            Err("this is no question that a node understands: use the program of the same version".to_owned())
        }
    };
    let answer = match target {
        Ok(target) => match shared.reseal(target).await {
            Ok(done) => Answer::Resealed(done),
            Err(error) => Answer::Failed(error.to_string()),
        },
        Err(reason) => Answer::Failed(reason),
    };
    say(&mut to, &answer).await
}

async fn backed_up(shared: &Arc<Shared>) -> Answer {
    let config = match shared.backup_config() {
        Ok(config) => config,
        Err(problem) => return Answer::Failed(problem.detail),
    };
    match shared.back_up(config, None).await {
        Ok(written) => Answer::BackedUp(BackedUp::new(&config.to, &written)),
        Err(problem) => Answer::Failed(problem.detail),
    }
}

async fn say(to: &mut (impl tokio::io::AsyncWrite + Unpin), answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    timeout(ASK_WITHIN, to.write_all(&line)).await?
}
