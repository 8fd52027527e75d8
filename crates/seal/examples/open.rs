//! What sealing costs: opening a folder under a passphrase and under a key in a token, and the blobs in it.
//!
//! `cargo run --release -p quorate-seal --example open` measures SoftHSM2, over a token in a temporary folder; with a `pkcs11:` URI as
//! argument, that HSM, which gets the key if it has none of that name. `cargo xtask bench sealing` runs it; `--json` prints one object a line.
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
    let (options, uris): (Vec<_>, Vec<_>) = std::env::args().skip(1).partition(|word| word == "--json");
    let form = if options.is_empty() { Form::Table } else { Form::Json };
    if let Some(uri) = uris.first() {
        return measure(&uri.parse()?, form);
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
    let again = &mut Command::new(std::env::current_exe()?);
    let status = again.arg(uri).args(options).env("SOFTHSM2_CONF", &conf).status()?;
    if status.success() { Ok(()) } else { Err("the measurement failed".into()) }
}

/// How results are printed: for people, or as one JSON object a line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Table,
    Json,
}

fn measure(uri: &HsmUri, form: Form) -> Result<(), Failed> {
    let passphrase = Passphrase::new(Zeroizing::new(b"correct horse battery staple".to_vec()))?;
    let (sealer, header) = Sealer::create(&passphrase, &Params::standard())?;
    let begun = Instant::now();
    let hsm = Hsm::new(uri.clone());
    let key = hsm.find_or_make()?;
    if form == Form::Table {
        let made = if key.made { "made" } else { "found" };
        println!("key `{}` in the token `{}`, {made}: {}", key.key, key.token, shown(begun.elapsed()));
        println!("{:<66} {:>12} {:>12}", "what, and how often", "median", "worst");
    }
    let sealed = sealer.rewrap_under(&Protector::Hsm(&hsm), &OWNER)?;
    row(
        form,
        "open_passphrase",
        "open a folder under a passphrase (Argon2id, 64 MiB, 3 passes)",
        10,
        || Ok(Sealer::open(&passphrase, &header)?),
    )?;
    row(form, "open_hsm", "open a folder in the HSM, as a start does: session, login, key", 50, || {
        let hsm = Hsm::new(uri.clone());
        Ok(Sealer::open_under(&Protector::Hsm(&hsm), &OWNER, &sealed)?)
    })?;
    row(form, "open_hsm_session", "open it with a session that is there", 500, || {
        Ok(Sealer::open_under(&Protector::Hsm(&hsm), &OWNER, &sealed)?)
    })?;
    row(form, "wrap_hsm", "move to the HSM: wrap, and open once", 200, || {
        Ok(sealer.rewrap_under(&Protector::Hsm(&hsm), &OWNER)?)
    })?;
    row(form, "check_hsm", "look whether the HSM answers", 500, || Ok(hsm.check()?))?;
    let context = Context { node: OWNER, kind: "key-material", key_id: "key_1", epoch: 1, format: 1 };
    let blobs = [
        ("open_blob_1k", "open a blob of 1 KiB with the data key", 1024),
        ("open_blob_100k", "the same of 100 KiB", 102_400),
    ];
    for (name, what, bytes) in blobs {
        let blob = sealer.seal(&context, &vec![7; bytes])?;
        row(form, name, what, 500, || Ok(sealer.open_blob(&context, &blob)?))?;
    }
    Ok(())
}

fn row<T>(
    form: Form,
    name: &str,
    what: &str,
    times: usize,
    mut work: impl FnMut() -> Result<T, Failed>,
) -> Result<(), Failed> {
    let mut took = Vec::with_capacity(times);
    for _ in 0..times {
        let begun = Instant::now();
        drop(work()?);
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    let median = took.get(times / 2).copied().unwrap_or_default();
    let worst = took.last().copied().unwrap_or_default();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    match form {
        Form::Json => {
            println!(r#"{{"{name}_ms":{:.4},"worst":{:.4},"runs":{times}}}"#, ms(median), ms(worst))
        }
        Form::Table => {
            println!("{:<66} {:>12} {:>12}", format!("{what}, {times}×"), shown(median), shown(worst));
        }
    }
    Ok(())
}

fn shown(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    if micros < 1000.0 { format!("{micros:.1} µs") } else { format!("{:.2} ms", micros / 1000.0) }
}
