//! Data keys under a key in a token, with SoftHSM2: a real PKCS#11 module over a real token in a folder of the test's own.
//!
//! A module reads its configuration from the environment, once in a process, so each test runs itself again as a process of its own.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first surprise")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, ObjectClass};
use cryptoki::session::{Session, UserType};
use quorate_seal::{
    Context, Hsm, HsmError, HsmUri, Params, Passphrase, Protection, Protector, SealError, Sealer,
};
use tempfile::TempDir;
use zeroize::Zeroizing;

const PIN: &str = "7201-correct-pin";
const OWNER: [u8; 32] = [5; 32];
const INSIDE: &str = "QUORATE_TEST_INSIDE";
const FOLDER: &str = "QUORATE_TEST_FOLDER";

fn module() -> PathBuf {
    let given = std::env::var_os("QUORATE_TEST_SOFTHSM_MODULE").map(PathBuf::from);
    let usual = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so"];
    given.into_iter().chain(usual.map(PathBuf::from)).find(|path| path.is_file()).expect(
        "SoftHSM2 is missing: install the package softhsm2, or run `cargo xtask test unit`, which does",
    )
}

/// A folder with a token, its PIN, and the way to it.
struct Token {
    folder: PathBuf,
}

impl Token {
    fn uri(&self, object: &str) -> HsmUri {
        self.uri_text(object).parse().unwrap()
    }

    fn uri_text(&self, object: &str) -> String {
        let (module, pin) = (module(), self.folder.join("pin"));
        format!(
            "pkcs11:token=quorate;object={object}?module-path={}&pin-source=file:{}",
            module.display(),
            pin.display()
        )
    }

    fn hsm(&self, object: &str) -> Hsm {
        Hsm::new(self.uri(object))
    }

    /// The module by another handle, logged in: what an administrator's tool would be.
    fn other(&self) -> (Pkcs11, Session) {
        let lib = Pkcs11::new(module()).unwrap();
        let _ = lib.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK));
        let slots = lib.get_slots_with_initialized_token().unwrap();
        let slot =
            slots.into_iter().find(|slot| lib.get_token_info(*slot).unwrap().label() == "quorate").unwrap();
        let session = lib.open_rw_session(slot).unwrap();
        let _ = session.login(UserType::User, Some(&PIN.to_owned().into()));
        (lib, session)
    }
}

fn private(path: &Path, content: &str) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn init_token(conf: &Path, label: &str) {
    let tool = std::env::var_os("QUORATE_TEST_SOFTHSM").unwrap_or_else(|| "softhsm2-util".into());
    let mut command = Command::new(tool);
    command.args(["--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "so-pin-1"]);
    let ran =
        command.env("SOFTHSM2_CONF", conf).output().expect("softhsm2-util is missing: install softhsm2");
    assert!(ran.status.success(), "{ran:?}");
}

/// Runs `test` in a process whose module sees a fresh token.
fn with_token(name: &str, test: impl Fn(&Token)) {
    if std::env::var_os(INSIDE).is_some() {
        return test(&Token { folder: std::env::var_os(FOLDER).unwrap().into() });
    }
    let folder = TempDir::with_prefix("quorate-hsm-").unwrap();
    let conf = folder.path().join("softhsm2.conf");
    fs::create_dir(folder.path().join("tokens")).unwrap();
    private(
        &conf,
        &format!("directories.tokendir = {}\nlog.level = ERROR\n", folder.path().join("tokens").display()),
    );
    private(&folder.path().join("pin"), PIN);
    init_token(&conf, "quorate");
    init_token(&conf, "another");
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", name, "--nocapture", "--test-threads=1"]);
    again.env("SOFTHSM2_CONF", &conf).env(INSIDE, "1").env(FOLDER, folder.path()).env("HSM_TEST_PIN", PIN);
    let ran = again.output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success() && said.contains("1 passed"), "{said}");
    assert!(!said.contains(PIN), "the PIN was said");
}

fn context() -> Context<'static> {
    Context { node: OWNER, kind: "key-share", key_id: "key_1", epoch: 3, format: 1 }
}

fn create(hsm: &Hsm) -> (Sealer, Vec<u8>) {
    hsm.find_or_make().unwrap();
    Sealer::create_under(&Protector::Hsm(hsm), &OWNER).unwrap()
}

fn opens(hsm: &Hsm, header: &[u8], blob: &[u8]) -> Result<(), SealError> {
    let sealer = Sealer::open_under(&Protector::Hsm(hsm), &OWNER, header)?;
    assert_eq!(sealer.open_blob(&context(), blob)?.as_slice(), b"share");
    Ok(())
}

#[test]
fn a_folder_opens_with_the_token_and_the_key_cannot_leave_it() {
    with_token("a_folder_opens_with_the_token_and_the_key_cannot_leave_it", |token| {
        let hsm = token.hsm("node-a");
        assert!(matches!(hsm.find(), Err(HsmError::NoKey { .. })));
        let made = hsm.find_or_make().unwrap();
        assert!(made.made && made.never_outside, "{made:?}");
        let found = token.hsm("node-a").find_or_make().unwrap();
        assert!(!found.made && found.never_outside, "{found:?}");

        let (sealer, header) = create(&hsm);
        let blob = sealer.seal(&context(), b"share").unwrap();
        opens(&token.hsm("node-a"), &header, &blob).unwrap();
        let (named, key) = ("quorate".to_owned(), "node-a".to_owned());
        assert_eq!(Sealer::protection(&header).unwrap(), Protection::Hsm { token: named, key });
        // By environment, and by identifier alone.
        let by_env = token.uri_text("node-a").split("&pin-source").next().unwrap().to_owned()
            + "&pin-source=env:HSM_TEST_PIN";
        opens(&Hsm::new(by_env.parse().unwrap()), &header, &blob).unwrap();
        let without = token.uri_text("node-a").split("&pin-source").next().unwrap().to_owned();
        // Another session of this process is logged in, but this one does not rely on it.
        let no_pin = opens(&Hsm::new(without.parse().unwrap()), &header, &blob);
        assert!(matches!(no_pin, Err(SealError::Hsm(HsmError::NoPin { .. }))), "{no_pin:?}");

        // What the token says of the key, by another program's means.
        let (_lib, session) = token.other();
        let keys = session.find_objects(&[Attribute::Class(ObjectClass::SECRET_KEY)]).unwrap();
        assert_eq!(keys.len(), 1);
        let asked = [
            AttributeType::Sensitive,
            AttributeType::AlwaysSensitive,
            AttributeType::Extractable,
            AttributeType::NeverExtractable,
            AttributeType::Local,
            AttributeType::ValueLen,
            AttributeType::Wrap,
            AttributeType::Unwrap,
        ];
        let mut known = session.get_attributes(keys[0], &asked).unwrap();
        let mut expected = vec![
            Attribute::Sensitive(true),
            Attribute::AlwaysSensitive(true),
            Attribute::Extractable(false),
            Attribute::NeverExtractable(true),
            Attribute::Local(true),
            Attribute::ValueLen(32.into()),
            Attribute::Wrap(false),
            Attribute::Unwrap(false),
        ];
        let by_name = |attribute: &Attribute| format!("{attribute:?}");
        known.sort_by_key(by_name);
        expected.sort_by_key(by_name);
        assert_eq!(known, expected);
        assert!(session.get_attributes(keys[0], &[AttributeType::Value]).unwrap().is_empty());
        assert!(session.update_attributes(keys[0], &[Attribute::Extractable(true)]).is_err());
        assert!(session.wrap_key(&Mechanism::AesKeyWrapPad, keys[0], keys[0]).is_err());
    });
}

#[test]
fn a_session_that_ends_and_a_token_that_goes_and_comes_back_are_taken_in_stride() {
    with_token("a_session_that_ends_and_a_token_that_goes_and_comes_back_are_taken_in_stride", |token| {
        let hsm = token.hsm("node-a");
        let (sealer, header) = create(&hsm);
        let blob = sealer.seal(&context(), b"share").unwrap();
        opens(&hsm, &header, &blob).unwrap();
        let mut cases = 0;
        // Somebody logs everybody out.
        let (lib, session) = token.other();
        session.logout().unwrap();
        drop(session);
        opens(&hsm, &header, &blob).unwrap();
        cases += 1;
        // The module is ended under us, with every session there is.
        lib.finalize().unwrap();
        hsm.check().unwrap();
        opens(&hsm, &header, &blob).unwrap();
        cases += 1;
        // The token is gone, and comes back.
        let (here, away) = (token.folder.join("tokens"), token.folder.join("away"));
        fs::rename(&here, &away).unwrap();
        fs::create_dir(&here).unwrap();
        let gone = opens(&hsm, &header, &blob).unwrap_err();
        let said = gone.to_string();
        assert!(matches!(&gone, SealError::Hsm(error) if error.may_pass()), "{gone:?}");
        assert!(said.contains("`quorate`") && said.contains("plug it in"), "{said}");
        assert!(hsm.check().is_err());
        fs::remove_dir(&here).unwrap();
        fs::rename(&away, &here).unwrap();
        hsm.check().unwrap();
        opens(&hsm, &header, &blob).unwrap();
        cases += 1;
        assert_eq!(cases, 3);
    });
}

#[test]
fn a_wrong_pin_is_tried_once_and_never_again_by_itself() {
    with_token("a_wrong_pin_is_tried_once_and_never_again_by_itself", |token| {
        let hsm = token.hsm("node-a");
        let (_, header) = create(&hsm);
        drop(hsm);
        let pin = token.folder.join("pin");
        let hsm = token.hsm("node-a");
        private(&pin, "1111");
        let wrong = hsm.check().unwrap_err();
        let said = wrong.to_string();
        assert!(matches!(wrong, HsmError::PinWrong { .. }), "{wrong:?}");
        assert!(said.contains("lock themselves") && said.contains(pin.to_str().unwrap()), "{said}");
        assert!(!said.contains("1111"));
        private(&pin, PIN);
        // Until somebody says so, not even with the right one.
        for _ in 0..3 {
            assert!(matches!(hsm.check(), Err(HsmError::PinRefusedBefore { .. })));
        }
        hsm.forget_refusal();
        hsm.check().unwrap();
        Sealer::open_under(&Protector::Hsm(&hsm), &OWNER, &header).unwrap();
        let mut cases = 0;
        for (content, mode, words) in
            [("", 0o600, "PIN from file"), (PIN, 0o644, "PIN file"), ("1111", 0o600, "refused the PIN")]
        {
            fs::write(&pin, content).unwrap();
            fs::set_permissions(&pin, fs::Permissions::from_mode(mode)).unwrap();
            let said = token.hsm("node-a").check().unwrap_err().to_string();
            assert!(said.contains(words) && !said.contains(PIN), "{said}");
            cases += 1;
        }
        assert_eq!(cases, 3);
        // The session that was logged in before finds itself logged out, and cannot log in with what is in the file now.
        assert!(matches!(hsm.check(), Err(HsmError::PinWrong { .. })));
    });
}

#[test]
fn what_is_not_there_or_not_fit_has_its_own_words() {
    with_token("what_is_not_there_or_not_fit_has_its_own_words", |token| {
        let hsm = token.hsm("node-a");
        let (sealer, header) = create(&hsm);
        let blob = sealer.seal(&context(), b"share").unwrap();
        let with =
            |from: &str, to: &str| Hsm::new(token.uri_text("node-a").replace(from, to).parse().unwrap());
        let module = module();
        let module = module.to_str().unwrap();
        let nothing = with(module, "/nonexistent/module.so").check().unwrap_err();
        assert!(matches!(nothing, HsmError::Module { .. }), "{nothing:?}");
        assert!(nothing.to_string().contains("`/nonexistent/module.so`"), "{nothing}");
        let text = token.folder.join("pin");
        let no_library = with(module, text.to_str().unwrap()).check().unwrap_err();
        assert!(matches!(no_library, HsmError::Module { .. }), "{no_library:?}");
        let other = with("token=quorate", "token=absent").check().unwrap_err();
        assert!(matches!(&other, HsmError::NoToken { there, .. } if there.len() == 2), "{other:?}");
        assert!(other.to_string().contains("`another`"), "{other}");
        assert!(matches!(with("token=quorate", "serial=0").check(), Err(HsmError::NoToken { .. })));
        assert!(matches!(with("object=node-a", "object=node-b").check(), Err(HsmError::NoKey { .. })));

        // Keys that should guard nothing.
        let (_lib, session) = token.other();
        let template = |label: &str, bytes: u64, extractable: bool, sensitive: bool| {
            vec![
                Attribute::Token(true),
                Attribute::Private(true),
                Attribute::Label(label.as_bytes().to_vec()),
                Attribute::ValueLen(bytes.into()),
                Attribute::Extractable(extractable),
                Attribute::Sensitive(sensitive),
                Attribute::Encrypt(true),
                Attribute::Decrypt(true),
            ]
        };
        let mut cases = 0;
        for (label, bytes, extractable, sensitive, words) in [
            ("leaving", 32, true, true, "read out"),
            ("bare", 32, false, false, "read out"),
            ("short", 16, false, true, "256 bits"),
        ] {
            let template = template(label, bytes, extractable, sensitive);
            session.generate_key(&Mechanism::AesKeyGen, &template).unwrap();
            let unfit = token.hsm(label).find_or_make().unwrap_err();
            assert!(matches!(unfit, HsmError::UnfitKey { .. }), "{unfit:?}");
            assert!(unfit.to_string().contains(words), "{unfit}");
            cases += 1;
        }
        assert_eq!(cases, 3);
        for _ in 0..2 {
            session.generate_key(&Mechanism::AesKeyGen, &template("twice", 32, false, true)).unwrap();
        }
        assert!(matches!(token.hsm("twice").check(), Err(HsmError::KeyAmbiguous { count: 2, .. })));

        // The key is deleted, and another one takes its name.
        let key = session.find_objects(&[Attribute::Label(b"node-a".to_vec())]).unwrap()[0];
        session.destroy_object(key).unwrap();
        let gone = opens(&hsm, &header, &blob).unwrap_err();
        assert!(matches!(gone, SealError::Hsm(HsmError::NoKey { .. })), "{gone:?}");
        token.hsm("node-a").find_or_make().unwrap();
        let another = opens(&token.hsm("node-a"), &header, &blob).unwrap_err();
        assert!(matches!(another, SealError::Hsm(HsmError::OtherKey { .. })), "{another:?}");
    });
}

#[test]
fn every_changed_byte_of_a_header_and_another_owner_are_noticed() {
    with_token("every_changed_byte_of_a_header_and_another_owner_are_noticed", |token| {
        let hsm = token.hsm("node-a");
        let (_, header) = create(&hsm);
        let open = |owner: &[u8; 32], header: &[u8]| {
            Sealer::open_under(&Protector::Hsm(&hsm), owner, header).map(|_| ())
        };
        open(&OWNER, &header).unwrap();
        let elsewhere = open(&[6; 32], &header).unwrap_err();
        assert!(matches!(elsewhere, SealError::Hsm(HsmError::NotOpened { .. })), "{elsewhere:?}");
        let mut cases = 0;
        for at in 0..header.len() {
            for bit in [1, 0x80] {
                let mut bad = header.clone();
                bad[at] ^= bit;
                let error = open(&OWNER, &bad).unwrap_err();
                assert!(matches!(error, SealError::HeaderTampered), "{at}: {error:?}");
                // With the checksum made anew, as whoever changes it on purpose would.
                let body = bad.len() - 32;
                let sum = blake3::hash(&bad[..body]);
                bad[body..].copy_from_slice(sum.as_bytes());
                assert!(at >= body || open(&OWNER, &bad).is_err(), "{at}");
                cases += 1;
            }
        }
        assert_eq!(cases, header.len() * 2);
        for len in 0..header.len() {
            assert!(open(&OWNER, &header[..len]).is_err(), "{len}");
        }
        assert!(open(&OWNER, &[header.as_slice(), &[0]].concat()).is_err());
        hsm.check().unwrap();
    });
}

#[test]
fn a_folder_moves_between_passphrase_and_token_and_back() {
    with_token("a_folder_moves_between_passphrase_and_token_and_back", |token| {
        let passphrase = Passphrase::new(Zeroizing::new(b"correct horse".to_vec())).unwrap();
        let (sealer, old) = Sealer::create(&passphrase, &Params::FLOOR).unwrap();
        let blob = sealer.seal(&context(), b"share").unwrap();
        let hsm = token.hsm("node-a");
        hsm.find_or_make().unwrap();
        let new = sealer.rewrap_under(&Protector::Hsm(&hsm), &OWNER).unwrap();
        opens(&hsm, &new, &blob).unwrap();
        // Each says what the other one is under.
        let wrong = opens(&hsm, &old, &blob).unwrap_err();
        assert!(matches!(wrong, SealError::UnderPassphrase), "{wrong:?}");
        let wrong = Sealer::open(&passphrase, &new).unwrap_err();
        assert!(
            matches!(&wrong, SealError::UnderHsm { token, key } if token == "quorate" && key == "node-a"),
            "{wrong:?}"
        );
        let again = Sealer::open_under(&Protector::Hsm(&hsm), &OWNER, &new).unwrap();
        let back = again.rewrap_under(&Protector::Passphrase(&passphrase, Params::FLOOR), &OWNER).unwrap();
        assert_eq!(Sealer::protection(&back).unwrap(), Protection::Passphrase);
        let opened = Sealer::open(&passphrase, &back).unwrap().open_blob(&context(), &blob).unwrap();
        assert_eq!(opened.as_slice(), b"share");
    });
}
