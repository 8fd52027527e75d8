//! What sealing costs: opening a folder under a passphrase and under a key in a token, and the blobs in it.
//!
//! `cargo run --release -p quorate-seal --example open` measures SoftHSM2, over a token in a temporary folder; with a `pkcs11:` URI as
//! argument, that HSM, which gets the key if it has none of that name. `cargo xtask bench sealing` runs it.
#![expect(clippy::print_stdout, reason = "a program that reports to a person")]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use quorate_seal::{Context, Hsm, HsmUri, Params, Passphrase, Protector, Sealer};
use zeroize::Zeroizing;

type Failed = Box<dyn std::error::Error>;

const OWNER: [u8; 32] = [5; 32];
const PIN: &str = "1234567890";
const MODULES: [&str; 2] = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so"];

fn main() -> Result<(), Failed> {
    if let Some(uri) = std::env::args().nth(1) {
        return measure(&uri.parse()?);
    }
    // A module reads its configuration from the environment, which only a parent can set without `unsafe`.
    let folder = tempfile::tempdir()?;
    let (conf, tokens, pin) =
        (folder.path().join("softhsm2.conf"), folder.path().join("tokens"), folder.path().join("pin"));
    std::fs::create_dir(&tokens)?;
    std::fs::write(&conf, format!("directories.tokendir = {}\n", tokens.display()))?;
    std::fs::write(&pin, PIN)?;
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&pin, std::fs::Permissions::from_mode(0o600))?;
    }
    let mut init = Command::new("softhsm2-util");
    init.args(["--init-token", "--free", "--label", "bench", "--pin", PIN, "--so-pin", PIN]);
    let made = init
        .env("SOFTHSM2_CONF", &conf)
        .output()
        .map_err(|error| format!("softhsm2-util: {error}: install softhsm2"))?;
    if !made.status.success() {
        return Err(format!("softhsm2-util: {}", String::from_utf8_lossy(&made.stderr)).into());
    }
    let module = MODULES.into_iter().find(|path| Path::new(path).is_file()).ok_or("install softhsm2")?;
    let uri =
        format!("pkcs11:token=bench;object=bench?module-path={module}&pin-source=file:{}", pin.display());
    let status = Command::new(std::env::current_exe()?).arg(uri).env("SOFTHSM2_CONF", &conf).status()?;
    if status.success() { Ok(()) } else { Err("the measurement failed".into()) }
}

fn measure(uri: &HsmUri) -> Result<(), Failed> {
    let passphrase = Passphrase::new(Zeroizing::new(b"correct horse battery staple".to_vec()))?;
    let (sealer, header) = Sealer::create(&passphrase, &Params::standard())?;
    let begun = Instant::now();
    let hsm = Hsm::new(uri.clone());
    let key = hsm.find_or_make()?;
    println!(
        "key `{}` in the token `{}`, {}: {}",
        key.key,
        key.token,
        if key.made { "made" } else { "found" },
        shown(begun.elapsed())
    );
    let sealed = sealer.rewrap_under(&Protector::Hsm(&hsm), &OWNER)?;
    println!("{:<66} {:>12} {:>12}", "what, and how often", "median", "worst");
    row("open a folder under a passphrase (Argon2id, 64 MiB, 3 passes)", 10, || {
        Ok(Sealer::open(&passphrase, &header)?)
    })?;
    row("open a folder in the HSM, as a start does: session, login, key", 50, || {
        let hsm = Hsm::new(uri.clone());
        Ok(Sealer::open_under(&Protector::Hsm(&hsm), &OWNER, &sealed)?)
    })?;
    row("open it with a session that is there", 500, || {
        Ok(Sealer::open_under(&Protector::Hsm(&hsm), &OWNER, &sealed)?)
    })?;
    row("move to the HSM: wrap, and open once", 200, || {
        Ok(sealer.rewrap_under(&Protector::Hsm(&hsm), &OWNER)?)
    })?;
    row("look whether the HSM answers", 500, || Ok(hsm.check()?))?;
    let context = Context { node: OWNER, kind: "key-material", key_id: "key_1", epoch: 1, format: 1 };
    for (what, bytes) in [("open a blob of 1 KiB with the data key", 1024), ("the same of 100 KiB", 102_400)]
    {
        let blob = sealer.seal(&context, &vec![7; bytes])?;
        row(what, 500, || Ok(sealer.open_blob(&context, &blob)?))?;
    }
    Ok(())
}

fn row<T>(what: &str, times: usize, mut work: impl FnMut() -> Result<T, Failed>) -> Result<(), Failed> {
    let mut took = Vec::with_capacity(times);
    for _ in 0..times {
        let begun = Instant::now();
        drop(work()?);
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    let (median, worst) = (took.get(times / 2).copied(), took.last().copied());
    println!(
        "{:<66} {:>12} {:>12}",
        format!("{what}, {times}×"),
        shown(median.unwrap_or_default()),
        shown(worst.unwrap_or_default())
    );
    Ok(())
}

fn shown(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    if micros < 1000.0 { format!("{micros:.1} µs") } else { format!("{:.2} ms", micros / 1000.0) }
}
