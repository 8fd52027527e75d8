use super::*;

const TEXT: &str = r#"
name = "node-a"
data = "data"
[listen]
peers = "127.0.0.1:0"
api = "127.0.0.1:0"
[seal]
passphrase_file = "pass"
[limits]
attempt_deadline = "1500ms"
[[peers]]
name = "node-b"
address = "b.example:7401"
identity = "1111111111111111111111111111111111111111111111111111111111111111"
[[clients]]
name = "alice"
key = "ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
"#;

fn parse(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::parse(text, environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

#[test]
fn a_configuration_is_read_and_written() {
    let config = parse(TEXT, &[]).unwrap();
    config.check().unwrap();
    assert_eq!(config.limits.attempt_deadline, Duration::from_millis(1500));
    assert_eq!(config.limits.ceremony_deadline, Limits::default().ceremony_deadline);
    assert_eq!(parse(&config.to_toml().unwrap(), &[]).unwrap(), config);
    let mut resolved = config;
    resolved.resolve(Path::new("/etc/quorate"));
    assert_eq!(resolved.data, Path::new("/etc/quorate/data"));
    assert_eq!(resolved.passphrase(), Some(PassphraseSource::File("/etc/quorate/pass".into())));
}

#[test]
fn a_time_that_is_read_can_be_written() {
    let with = |time: &str| parse(&TEXT.replace("1500ms", time), &[]);
    for longest in ["71582788m", "1193046h", "49710d"] {
        let config = with(longest).unwrap();
        assert_eq!(parse(&config.to_toml().unwrap(), &[]).unwrap(), config, "{longest}");
    }
    for too_long in ["71582789m", "1193047h", "49711d", "4294967295d"] {
        assert!(with(too_long).is_err(), "{too_long}");
    }
}

#[test]
fn the_environment_replaces_every_kind_of_key() {
    let config = parse(
        TEXT,
        &[
            ("QUORATE_NAME", "123"),
            ("QUORATE_LISTEN__API", "127.0.0.1:99"),
            ("QUORATE_LIMITS__MAX_CEREMONIES", "7"),
            ("QUORATE_LIMITS__HTTP_READ", "2s"),
            ("QUORATE_LOG__FORMAT", "json"),
            ("QUORATE_CHAINS__BITCOIN", "regtest"),
            ("QUORATE_CLIENTS", "[]"),
            ("QUORATE_PASSPHRASE", "none of ours"),
            ("PATH", "/bin"),
        ],
    )
    .unwrap();
    assert_eq!(config.name, "123");
    assert_eq!(config.listen.api.port(), 99);
    assert_eq!(config.limits.max_ceremonies, 7);
    assert_eq!(config.limits.http_read, Duration::from_secs(2));
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.chains.bitcoin, Network::Regtest);
    assert!(config.clients.is_empty());
    let fd = parse(&TEXT.replace("passphrase_file = \"pass\"", ""), &[("QUORATE_SEAL__PASSPHRASE_FD", "3")]);
    assert_eq!(fd.unwrap().passphrase(), Some(PassphraseSource::Fd(3)));
}

#[test]
fn what_is_not_understood_is_an_error_that_says_what_to_do() {
    type Case<'a> = (String, Vec<(&'a str, &'a str)>, &'a str);
    let cases: Vec<Case<'_>> = vec![
        (format!("colour = 1\n{TEXT}"), vec![], "colour"),
        (TEXT.replace("[listen]", "[listen]\nother = 1"), vec![], "other"),
        (TEXT.replace("\"1500ms\"", "\"soon\""), vec![], "is not a time"),
        (TEXT.replace("api = \"127.0.0.1:0\"", ""), vec![], "api"),
        ("name = ".to_owned(), vec![], "not valid"),
        (TEXT.to_owned(), vec![("QUORATE_LISTEM__API", "x")], "there is no section `listem`"),
        (TEXT.to_owned(), vec![("QUORATE_LISTEN__PORT", "x")], "port"),
        (TEXT.to_owned(), vec![("QUORATE_LIMITS__MAX_BODY", "much")], "is not a number"),
        (TEXT.to_owned(), vec![("QUORATE_PEERS", "[{")], "not a TOML list"),
    ];
    let count = cases.len();
    for (text, environment, expected) in cases {
        let error = parse(&text, &environment).unwrap_err().to_string();
        assert!(error.contains(expected), "`{error}` does not say `{expected}`");
    }
    assert_eq!(count, 9);
}

#[test]
fn values_that_do_not_go_together_are_all_named() {
    let bad = TEXT
        .replace("name = \"node-b\"", "name = \"node-a\"")
        .replace("b.example:7401", "nowhere")
        .replace("identity = \"11", "identity = \"zz")
        .replace("ed25519:d75a", "ed25519:zzzz")
        .replace("passphrase_file = \"pass\"", "passphrase_file = \"pass\"\npassphrase_env = \"X\"")
        .replace("\"1500ms\"", "\"0s\"\nhedge_floor = \"5s\"\nsuspicion_half_life = \"3d\"");
    let bad = format!("{bad}\n[backup]\nto = \"shelf\"\nrecipients = [\"alice.pub\"]\naccess = \"2 of 3\"\n");
    let Err(ConfigError::Check(problems)) = parse(&bad, &[]).unwrap().check() else { panic!("it is wrong") };
    let all = problems.join("\n");
    for expected in [
        "another node has this name",
        "not `host:port`",
        "not a peer id",
        "client `alice`",
        "exactly one",
        "attempt_deadline",
        "hedge_cap must not be less",
        "suspicion_half_life",
        "backup.access: `2 of 3` is no recovery structure: at character 6: expected `(` after `of`. Name the recovery keys",
    ] {
        assert!(all.contains(expected), "{all}");
    }
    assert_eq!(problems.len(), 9, "{all}");
    let nobody = TEXT.replace("passphrase_file = \"pass\"", "");
    assert!(parse(&nobody, &[]).unwrap().check().is_err());
}

#[test]
fn webhooks_are_checked() {
    let with = |rest: &str| parse(&format!("{TEXT}\n[[webhooks]]\n{rest}"), &[]).unwrap();
    let config = with(
        "url = \"https://r.example/hook\"\nevents = [\"operation.*\", \"node.started\"]\ntimeout = \"5s\"",
    );
    config.check().unwrap();
    assert_eq!((config.webhooks[0].attempts, config.webhooks[0].timeout), (8, Duration::from_secs(5)));
    assert_eq!(parse(&config.to_toml().unwrap(), &[]).unwrap(), config);
    for good in ["http://127.0.0.1:8080", "http://[::1]/x", "http://localhost:1/"] {
        with(&format!("url = \"{good}\"")).check().unwrap();
    }
    let mut cases = 0;
    for (rest, why) in [
        ("", "URL"),
        ("url = \"http://r.example/\"", "plain http"),
        ("url = \"http://localhost.evil.example/\"", "plain http"),
        ("url = \"http://10.0.0.1/\"", "plain http"),
        ("url = \"ftp://r.example/\"", "https://"),
        ("url = \"https://user:secret@r.example/\"", "password"),
        ("url = \"https://r.example/\"\nevents = [\"operation.done\"]", "operation.done"),
        ("url = \"https://r.example/\"\nattempts = 0", "attempts"),
        ("url = \"https://r.example/\"\ntimeout = \"2m\"", "timeout"),
    ] {
        let error = with(rest).check().unwrap_err().to_string();
        assert!(error.contains(why), "{rest}: {error}");
        cases += 1;
    }
    assert_eq!(cases, 9);
}

#[test]
fn a_hook_is_checked_and_its_address_not_shown() {
    let key = quorate_api::webhook::WebhookKey::from_seed(&[7; 32]).public_key();
    let check = |url: &str, key: &str, timeout: &str| {
        let hook = format!("[presign]\nurl = \"{url}\"\nkey = \"{key}\"\ntimeout = \"{timeout}\"\n");
        parse(&format!("{TEXT}{hook}"), &[]).unwrap().check().map_err(|error| error.to_string())
    };
    let key = key.to_string();
    assert_eq!(check("https://risk.example/ask", &key, "1s"), Ok(()));
    assert_eq!(check("http://127.0.0.1:9/ask", &key, "10s"), Ok(()));
    let cases = [
        ("http://risk.example/", key.as_str(), "1s", "plain http is for receivers on this machine"),
        ("https://user:s3cret@risk.example/", key.as_str(), "1s", "a name or password"),
        ("", key.as_str(), "1s", "presign.url"),
        ("https://risk.example/s3cret", "whpk_AA", "1s", "presign.key"),
        ("https://risk.example/s3cret", key.as_str(), "999ms", "presign.timeout must be 1s to 10s"),
        ("https://risk.example/s3cret", key.as_str(), "11s", "presign.timeout must be 1s to 10s"),
    ];
    for (url, key, timeout, words) in cases {
        let found = check(url, key, timeout).unwrap_err();
        assert!(found.contains(words) && !found.contains("s3cret"), "{found}");
    }
    let hook =
        parse(TEXT, &[("QUORATE_PRESIGN__URL", "https://risk.example/"), ("QUORATE_PRESIGN__KEY", &key)]);
    let hook = hook.unwrap().presign.unwrap();
    assert_eq!((hook.url.as_str(), hook.timeout), ("https://risk.example/", Duration::from_secs(10)));
}

#[test]
fn a_folder_may_be_opened_by_an_hsm_whose_pin_is_elsewhere() {
    const URI: &str = "pkcs11:token=t;object=o?module-path=/m.so&pin-source=file:pin";
    let with = |seal: &str| parse(&TEXT.replace("passphrase_file = \"pass\"", seal), &[]).unwrap();
    let mut config = with(&format!("pkcs11 = \"{URI}\""));
    config.check().unwrap();
    assert_eq!(config.passphrase(), None);
    config.resolve(Path::new("/etc/quorate"));
    let resolved = "pkcs11:token=t;object=o?module-path=/m.so&pin-source=file:/etc/quorate/pin";
    assert_eq!(config.seal.pkcs11.as_deref(), Some(resolved));
    assert_eq!(parse(&config.to_toml().unwrap(), &[]).unwrap(), config);
    with(&format!("passphrase_env = \"X\"\npkcs11 = \"{URI}\"")).check().unwrap();
    let inline = with("pkcs11 = \"pkcs11:token=t;object=o?module-path=/m.so&pin-value=83741\"");
    let found = inline.check().unwrap_err().to_string();
    assert!(found.contains("pin-source") && !found.contains("83741"), "{found}");
    let host = parse(TEXT, &[("QUORATE_HOST__LOCK_MEMORY", "required")]).unwrap().host;
    assert_eq!(host.lock_memory, LockMemory::Required);
    assert_eq!(with("").check().unwrap_err().to_string().matches("[seal]").count(), 1);
}

#[test]
fn proxies_are_addresses_or_ranges() {
    let with = |list: &str| parse(TEXT, &[("QUORATE_TRUSTED_PROXIES", list)]).unwrap();
    let config = with("['10.0.0.0/8', '::1']");
    config.check().unwrap();
    assert_eq!(config.trusted_proxies, ["10.0.0.0/8", "::1"]);
    let found = with("['10.0.0.1/8']").check().unwrap_err().to_string();
    assert!(found.contains("trusted_proxies `10.0.0.1/8`"), "{found}");
}

#[test]
fn a_pool_is_checked_and_can_be_turned_off() {
    let with = |rest: &str| parse(&format!("{TEXT}\n[pool]\n{rest}"), &[]).unwrap();
    assert_eq!(parse(TEXT, &[]).unwrap().pool, Pool::default());
    for good in ["high = 0", "low = 24", "high = 1024\nbatch = 24", "max_age = \"1s\"\nquiet = \"10ms\""] {
        with(good).check().unwrap();
    }
    let mut cases = 0;
    for (rest, why) in [
        ("high = 1025", "pool.high must be 0 for no presignatures"),
        ("low = 0", "pool.low must be 1 to pool.high"),
        ("low = 25", "pool.low must be 1 to pool.high"),
        ("batch = 0", "pool.batch must be 1 to 24"),
        ("batch = 25", "pool.batch must be 1 to 24"),
        ("max_keys = 65537", "pool.max_keys"),
        ("max_for_others = 65537", "pool.max_for_others"),
        ("max_age = \"0s\"", "pool.max_age"),
        ("max_age = \"31d\"", "pool.max_age"),
        ("quiet = \"9ms\"", "pool.quiet"),
    ] {
        let error = with(rest).check().unwrap_err().to_string();
        assert!(error.contains(why), "{rest}: {error}");
        cases += 1;
    }
    assert_eq!(cases, 10);
    let changed = parse(TEXT, &[("QUORATE_POOL__HIGH", "100"), ("QUORATE_POOL__MAX_AGE", "10m")]).unwrap();
    assert_eq!((changed.pool.high, changed.pool.max_age), (100, Duration::from_secs(600)));
    assert_eq!(parse(&changed.to_toml().unwrap(), &[]).unwrap(), changed);
}
