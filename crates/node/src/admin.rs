//! The socket in the data folder, for whoever runs the node: one question as a JSON line, one answer as a JSON line.
//!
//! The folder is open to the node's user alone, and so is the socket; who connects must be that user, or root, by what the system says.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use quorate_seal::PassphraseSource;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use crate::reseal::{Resealed, Target};
use crate::shared::Shared;

/// Name of the socket in the data folder.
pub const CONTROL_SOCKET: &str = "control.sock";
/// Longest question or answer in bytes.
const MAX_LINE: u64 = 16 * 1024;
/// How long whoever connected may take to ask.
const ASK_WITHIN: Duration = Duration::from_secs(5);
/// How long an answer may take: an HSM is asked, and a log is emptied.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// What the kernel takes as the address of a socket.
const MAX_ADDRESS: usize = 100;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Question {
    ResealToPassphraseFile(PathBuf),
    ResealToPassphraseEnv(String),
    ResealToPkcs11(String),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Resealed(Resealed),
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

/// An address that the kernel takes, however deep the folder is. The file keeps it valid.
fn address(folder: &Path) -> io::Result<(PathBuf, Option<File>)> {
    let plain = folder.join(CONTROL_SOCKET);
    if plain.as_os_str().len() <= MAX_ADDRESS {
        return Ok((plain, None));
    }
    use std::os::fd::AsRawFd as _;
    let open = File::open(folder)?;
    Ok((PathBuf::from(format!("/proc/self/fd/{}/{CONTROL_SOCKET}", open.as_raw_fd())), Some(open)))
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
    };
    let failed = |source| AdminError::Io { folder: folder.to_owned(), source };
    let (path, _open) = address(folder).map_err(failed)?;
    let stream = match UnixStream::connect(&path).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Err(AdminError::NotRunning(folder.to_owned()));
        }
        Err(error) => return Err(failed(error)),
    };
    let exchange = async {
        let mut stream = BufReader::new(stream);
        let mut line = serde_json::to_vec(&question)?;
        line.push(b'\n');
        stream.write_all(&line).await?;
        let mut answer = String::new();
        stream.take(MAX_LINE).read_line(&mut answer).await?;
        Ok::<Answer, io::Error>(serde_json::from_str(&answer)?)
    };
    let answer = timeout(ANSWER_WITHIN, exchange).await;
    match answer.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(failed)? {
        Answer::Resealed(done) => Ok(done),
        Answer::Failed(reason) => Err(AdminError::Refused(reason)),
    }
}

/// Listens for whoever runs the node. A node that cannot works on without.
pub(crate) fn listen(shared: &Arc<Shared>) {
    match bind(&shared.config.data) {
        Ok(listener) => {
            shared.tasks.spawn(serve(Arc::clone(shared), listener));
        }
        Err(error) => {
            tracing::warn!(%error, "no control socket in the data folder: `quorate node reseal` needs this node stopped");
        }
    }
}

fn bind(folder: &Path) -> io::Result<UnixListener> {
    let (path, _open) = address(folder)?;
    // The folder is locked by this node, so what is there is left over from before.
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
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
    if let Ok((path, _open)) = address(&shared.config.data) {
        // A socket that stays is taken away by the next start.
        drop(fs::remove_file(path));
    }
}

async fn answer(shared: &Arc<Shared>, stream: UnixStream) -> io::Result<()> {
    let (from, mut to) = stream.into_split();
    let mut line = String::new();
    let mut from = BufReader::new(from.take(MAX_LINE));
    timeout(ASK_WITHIN, from.read_line(&mut line)).await??;
    let target = match serde_json::from_str(&line) {
        Ok(Question::ResealToPassphraseFile(path)) => Ok(Target::Passphrase(PassphraseSource::File(path))),
        Ok(Question::ResealToPassphraseEnv(name)) => Ok(Target::Passphrase(PassphraseSource::Env(name))),
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
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    timeout(ASK_WITHIN, to.write_all(&line)).await?
}
