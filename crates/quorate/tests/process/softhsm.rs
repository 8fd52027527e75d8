//! A token of SoftHSM2 in a folder of the test's own: a real PKCS#11 module, loaded by the real program.

use crate::support::{Cluster, Node, Ran, program, run, write_private};
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) const PIN: &str = "pin-91c35e7a-of-the-token";

/// A token with its PIN in a file.
pub(crate) struct Token {
    folder: PathBuf,
}

fn module() -> PathBuf {
    let given = std::env::var_os("QUORATE_TEST_SOFTHSM_MODULE").map(PathBuf::from);
    let usual = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so"];
    let found = given.into_iter().chain(usual.map(PathBuf::from)).find(|path| path.is_file());
    found.expect("SoftHSM2 is missing: install softhsm2, or run `cargo xtask test node`, which does")
}

impl Token {
    pub(crate) fn new(within: &Path) -> Self {
        let folder = within.join("hsm");
        fs::create_dir_all(folder.join("tokens")).unwrap();
        let tokens = folder.join("tokens");
        write_private(
            &folder.join("softhsm2.conf"),
            format!("directories.tokendir = {}\nlog.level = ERROR\n", tokens.display()).as_bytes(),
        );
        write_private(&folder.join("pin"), PIN.as_bytes());
        let token = Self { folder };
        let tool = std::env::var_os("QUORATE_TEST_SOFTHSM").unwrap_or_else(|| "softhsm2-util".into());
        let mut command = Command::new(tool);
        command.args(["--init-token", "--free", "--label", "quorate", "--pin", PIN, "--so-pin", "so-pin-1"]);
        let (name, value) = token.environment();
        let made = command.env(name, value).output().expect("softhsm2-util is missing: install softhsm2");
        assert!(made.status.success(), "{made:?}");
        token
    }

    pub(crate) fn environment(&self) -> (String, String) {
        ("SOFTHSM2_CONF".to_owned(), self.folder.join("softhsm2.conf").display().to_string())
    }

    pub(crate) fn pin(&self) -> PathBuf {
        self.folder.join("pin")
    }

    pub(crate) fn tokens(&self) -> PathBuf {
        self.folder.join("tokens")
    }

    pub(crate) fn uri(&self, object: &str) -> String {
        format!(
            "pkcs11:token=quorate;object={object}?module-path={}&pin-source=file:{}",
            module().display(),
            self.pin().display()
        )
    }

    /// Pulls the token, or plugs it in again.
    pub(crate) fn pull(&self, out: bool) {
        let away = self.folder.join("away");
        if out {
            fs::rename(self.tokens(), &away).unwrap();
            fs::create_dir(self.tokens()).unwrap();
        } else {
            fs::remove_dir(self.tokens()).unwrap();
            fs::rename(&away, self.tokens()).unwrap();
        }
    }

    /// The program, where it finds the token.
    pub(crate) fn program(&self) -> Command {
        let (name, value) = self.environment();
        let mut command = program();
        command.env(name, value);
        command
    }

    /// Lets the configuration of a node name the key beside its passphrase, and the node find the token.
    pub(crate) fn give(&self, node: &mut Node) {
        let text = fs::read_to_string(node.config()).unwrap();
        let named = format!("[seal]\npkcs11 = \"{}\"", self.uri(&format!("node-{}", node.name)));
        fs::write(node.config(), text.replace("[seal]", &named)).unwrap();
        node.environment.push(self.environment());
    }

    pub(crate) fn reseal_command(&self, node: &Node, to: &str) -> Command {
        let mut command = self.program();
        command.args(["node", "reseal", "-o", "json", "--to", to, "--config"]).arg(node.config());
        command
    }

    pub(crate) fn reseal(&self, node: &Node, to: &str) -> Ran {
        run(&mut self.reseal_command(node, to))
    }
}

/// The header of a node that does not run.
pub(crate) fn header(cluster: &Cluster, node: usize) -> Vec<u8> {
    cluster.runtime.block_on(async {
        let store = quorate_store::Store::open(&cluster.nodes[node].data()).await.unwrap();
        let header = store.meta().await.unwrap().unwrap().seal_header;
        store.close().await;
        header
    })
}

/// Removes a line from a file.
pub(crate) fn without(path: &Path, beginning: &str) {
    let text = fs::read_to_string(path).unwrap();
    let kept: Vec<&str> = text.lines().filter(|line| !line.starts_with(beginning)).collect();
    assert!(kept.len() < text.lines().count(), "`{beginning}` is in no line");
    let mut file = OpenOptions::new().write(true).truncate(true).open(path).unwrap();
    writeln!(file, "{}", kept.join("\n")).unwrap();
}
