//! An authenticator and a browser that do as they are told: assertions with a good signature over whatever shall be
//! wrong with them. Also compiled into the acceptance tests, where another verifier judges the same cases.

use quorate_api::{Assertion, PasskeyError};
use sha2::{Digest as _, Sha256};

/// The relying party of the cases.
pub(crate) const RP_ID: &str = "quorate.example";
/// The origins that are enrolled.
pub(crate) const ORIGINS: [&str; 2] = ["https://quorate.example", "https://approve.quorate.example:8443"];

/// The flags of an assertion (Web Authentication Level 3, 6.1).
pub(crate) const UP: u8 = 1;
pub(crate) const UV: u8 = 4;
const BE: u8 = 8;
const BS: u8 = 16;
const AT: u8 = 64;
const ED: u8 = 128;

/// Who signs as an authenticator does.
pub(crate) trait Sign {
    fn sign(&self, bytes: &[u8]) -> Vec<u8>;
}

impl Sign for p256::ecdsa::SigningKey {
    fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        let signature: p256::ecdsa::Signature = p256::ecdsa::signature::Signer::sign(self, bytes);
        signature.to_der().as_bytes().to_vec()
    }
}

/// What an assertion says, before it is signed.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) credential_id: Vec<u8>,
    pub(crate) client_data: String,
    pub(crate) rp_id: String,
    pub(crate) flags: u8,
    pub(crate) counter: u32,
    /// After the counter.
    pub(crate) tail: Vec<u8>,
    /// The length of the authenticator data that is signed.
    pub(crate) cut: Option<usize>,
    /// A bit of the authenticator data that is changed before it is signed.
    pub(crate) bit: Option<usize>,
    /// What becomes of a good signature.
    pub(crate) signature: fn(Vec<u8>) -> Vec<u8>,
    /// What becomes of the authenticator data after it is signed.
    pub(crate) late_flags: u8,
}

pub(crate) fn base64url(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// The client data that Chromium writes.
pub(crate) fn client_data(kind: &str, challenge: &[u8], origin: &str, rest: &str) -> String {
    let challenge = base64url(challenge);
    format!(r#"{{"type":"{kind}","challenge":"{challenge}","origin":"{origin}"{rest}}}"#)
}

impl Draft {
    /// What a good authenticator says.
    pub(crate) fn new(credential_id: &[u8], challenge: &[u8; 32]) -> Self {
        Self {
            credential_id: credential_id.to_vec(),
            client_data: client_data("webauthn.get", challenge, ORIGINS[0], r#","crossOrigin":false"#),
            rp_id: RP_ID.to_owned(),
            flags: UP | UV,
            counter: 0,
            tail: Vec::new(),
            cut: None,
            bit: None,
            signature: |good| good,
            late_flags: 0,
        }
    }

    pub(crate) fn sign(self, key: &impl Sign) -> Assertion {
        let mut data = Sha256::digest(&self.rp_id).to_vec();
        data.push(self.flags);
        data.extend_from_slice(&self.counter.to_be_bytes());
        data.extend_from_slice(&self.tail);
        data.truncate(self.cut.unwrap_or(data.len()));
        if let Some(bit) = self.bit {
            data[bit / 8] ^= 1 << (bit % 8);
        }
        let mut signed = data.clone();
        signed.extend_from_slice(&Sha256::digest(&self.client_data));
        let signature = key.sign(&signed);
        if let Some(flags) = data.get_mut(32) {
            *flags ^= self.late_flags;
        }
        Assertion::new(self.credential_id, data, self.client_data, (self.signature)(signature)).unwrap()
    }
}

/// The other signature over the same bytes, by who has no key: `n − s`.
pub(crate) fn other_s(der: &[u8]) -> Vec<u8> {
    let signature = p256::ecdsa::Signature::from_der(der).unwrap();
    let (r, s) = (signature.r(), -*signature.s());
    p256::ecdsa::Signature::from_scalars(r.to_bytes(), s.to_bytes()).unwrap().to_der().as_bytes().to_vec()
}

/// A change of a good draft; `challenge` is the right one.
pub(crate) type Change = fn(&mut Draft, challenge: &[u8; 32]);

/// What an honest browser or authenticator may do: all of it is accepted.
pub(crate) const GOOD: &[(&str, Change)] = &[
    ("plain", |_, _| {}),
    ("a counter", |draft, _| draft.counter = 7),
    ("may be synchronised", |draft, _| draft.flags |= BE),
    ("is synchronised", |draft, _| draft.flags |= BE | BS),
    ("extension data", |draft, _| {
        draft.flags |= ED;
        draft.tail = b"\xa1\x6bhmac-secret\x42\x01\x02".to_vec();
    }),
    ("no extension in an extension map", |draft, _| {
        draft.flags |= ED;
        draft.tail = vec![0xa0];
    }),
    ("the second origin", |draft, challenge| {
        draft.client_data = client_data("webauthn.get", challenge, ORIGINS[1], r#","crossOrigin":false"#);
    }),
    ("no word of frames", |draft, challenge| {
        draft.client_data = client_data("webauthn.get", challenge, ORIGINS[0], "");
    }),
    ("a member of a later standard", |draft, challenge| {
        let rest = r#","crossOrigin":false,"other_keys_can_be_added_here":"do not compare clientDataJSON against a template""#;
        draft.client_data = client_data("webauthn.get", challenge, ORIGINS[0], rest);
    }),
    ("other order, spaces and escapes", |draft, challenge| {
        draft.client_data = format!(
            "{{ \"origin\":\"\\u0068ttps://quorate.example\",\n\"crossOrigin\" : false, \"challenge\":\"{}\", \"type\":\"webauthn.get\" }}",
            base64url(challenge)
        );
    }),
    ("the other s", |draft, _| draft.signature = |good| other_s(&good)),
];

/// What breaks exactly one rule, over a good signature wherever that is possible.
pub(crate) const BAD: &[(&str, Change, PasskeyError)] = &[
    ("other credential", |draft, _| draft.credential_id[0] ^= 1, PasskeyError::Credential),
    ("longer credential id", |draft, _| draft.credential_id.push(0), PasskeyError::Credential),
    ("not JSON", |draft, _| draft.client_data.push('}'), PasskeyError::ClientData),
    ("byte order mark", |draft, _| draft.client_data.insert(0, '\u{feff}'), PasskeyError::ClientData),
    (
        "a list in place of an object",
        |draft, challenge| {
            let challenge = base64url(challenge);
            draft.client_data = format!(r#"["webauthn.get","{challenge}","{}",false]"#, ORIGINS[0]);
        },
        PasskeyError::ClientData,
    ),
    (
        "two origins",
        |draft, challenge| {
            let rest = r#","origin":"https://quorate.example""#;
            draft.client_data = client_data("webauthn.get", challenge, "https://evil.example", rest);
        },
        PasskeyError::ClientData,
    ),
    (
        "two challenges",
        |draft, challenge| {
            let rest = format!(r#","challenge":"{}""#, base64url(challenge));
            draft.client_data = client_data("webauthn.get", &[0; 32], ORIGINS[0], &rest);
        },
        PasskeyError::ClientData,
    ),
    (
        "two words of frames",
        |draft, challenge| {
            let rest = r#","crossOrigin":true,"crossOrigin":false"#;
            draft.client_data = client_data("webauthn.get", challenge, ORIGINS[0], rest);
        },
        PasskeyError::ClientData,
    ),
    (
        "no challenge",
        |draft, _| {
            draft.client_data = format!(r#"{{"type":"webauthn.get","origin":"{}"}}"#, ORIGINS[0]);
        },
        PasskeyError::ClientData,
    ),
    (
        "a frame that is neither",
        |draft, challenge| {
            draft.client_data = client_data("webauthn.get", challenge, ORIGINS[0], r#","crossOrigin":null"#);
        },
        PasskeyError::ClientData,
    ),
    (
        "a registration",
        |draft, challenge| {
            draft.client_data = client_data("webauthn.create", challenge, ORIGINS[0], "");
        },
        PasskeyError::Type,
    ),
    (
        "a payment",
        |draft, challenge| draft.client_data = client_data("payment.get", challenge, ORIGINS[0], ""),
        PasskeyError::Type,
    ),
    (
        "challenge of another request",
        |draft, challenge| {
            let mut other = *challenge;
            other[31] ^= 1;
            draft.client_data = client_data("webauthn.get", &other, ORIGINS[0], "");
        },
        PasskeyError::Challenge,
    ),
    (
        "half a challenge",
        |draft, challenge| {
            draft.client_data = client_data("webauthn.get", &challenge[..16], ORIGINS[0], "");
        },
        PasskeyError::Challenge,
    ),
    (
        "padded challenge",
        |draft, challenge| {
            let challenge = base64url(challenge);
            draft.client_data =
                format!(r#"{{"type":"webauthn.get","challenge":"{challenge}=","origin":"{}"}}"#, ORIGINS[0]);
        },
        PasskeyError::Challenge,
    ),
    (
        "other origin",
        |draft, challenge| origin(draft, challenge, "https://evil.example"),
        PasskeyError::Origin,
    ),
    (
        "origin below",
        |draft, challenge| origin(draft, challenge, "https://evil.quorate.example"),
        PasskeyError::Origin,
    ),
    (
        "origin that begins alike",
        |draft, challenge| origin(draft, challenge, "https://quorate.example.evil.example"),
        PasskeyError::Origin,
    ),
    (
        "origin in clear",
        |draft, challenge| origin(draft, challenge, "http://quorate.example"),
        PasskeyError::Origin,
    ),
    (
        "other port",
        |draft, challenge| origin(draft, challenge, "https://quorate.example:8443"),
        PasskeyError::Origin,
    ),
    (
        "upper case",
        |draft, challenge| origin(draft, challenge, "https://Quorate.example"),
        PasskeyError::Origin,
    ),
    (
        "trailing slash",
        |draft, challenge| origin(draft, challenge, "https://quorate.example/"),
        PasskeyError::Origin,
    ),
    ("no origin", |draft, challenge| origin(draft, challenge, "null"), PasskeyError::Origin),
    (
        "frame of another origin",
        |draft, challenge| {
            draft.client_data = client_data("webauthn.get", challenge, ORIGINS[0], r#","crossOrigin":true"#);
        },
        PasskeyError::CrossOrigin,
    ),
    (
        "frame of another origin, named",
        |draft, challenge| {
            let rest = r#","crossOrigin":true,"topOrigin":"https://evil.example""#;
            draft.client_data = client_data("webauthn.get", challenge, ORIGINS[0], rest);
        },
        PasskeyError::CrossOrigin,
    ),
    (
        "top origin alone",
        |draft, challenge| {
            let rest = r#","crossOrigin":false,"topOrigin":"https://evil.example""#;
            draft.client_data = client_data("webauthn.get", challenge, ORIGINS[0], rest);
        },
        PasskeyError::TopOrigin,
    ),
    (
        "top origin of nothing",
        |draft, challenge| {
            draft.client_data = client_data("webauthn.get", challenge, ORIGINS[0], r#","topOrigin":null"#);
        },
        PasskeyError::TopOrigin,
    ),
    ("36 bytes", |draft, _| draft.cut = Some(36), PasskeyError::AuthenticatorData),
    ("no flags", |draft, _| draft.cut = Some(32), PasskeyError::AuthenticatorData),
    ("one byte", |draft, _| draft.cut = Some(1), PasskeyError::AuthenticatorData),
    ("bytes without a flag", |draft, _| draft.tail = vec![0xa0], PasskeyError::AuthenticatorData),
    ("other relying party", |draft, _| draft.rp_id = "evil.example".to_owned(), PasskeyError::RelyingParty),
    (
        "relying party below",
        |draft, _| draft.rp_id = "approve.quorate.example".to_owned(),
        PasskeyError::RelyingParty,
    ),
    ("nobody there", |draft, _| draft.flags = UV, PasskeyError::UserPresence),
    ("somebody there", |draft, _| draft.flags = UP, PasskeyError::UserVerification),
    ("backed up, cannot be", |draft, _| draft.flags |= BS, PasskeyError::BackupState),
    (
        "credential data",
        |draft, _| {
            draft.flags |= AT;
            draft.tail = [&[0; 16][..], &[0, 1, 9], &[0xa0]].concat();
        },
        PasskeyError::CredentialData,
    ),
    ("extensions without data", |draft, _| draft.flags |= ED, PasskeyError::Extensions),
    (
        "a list of extensions",
        |draft, _| {
            draft.flags |= ED;
            draft.tail = vec![0x80];
        },
        PasskeyError::Extensions,
    ),
    (
        "bytes after the extensions",
        |draft, _| {
            draft.flags |= ED;
            draft.tail = vec![0xa0, 0];
        },
        PasskeyError::Extensions,
    ),
    (
        "extensions without end",
        |draft, _| {
            draft.flags |= ED;
            draft.tail = vec![0xbf, 0xff];
        },
        PasskeyError::Extensions,
    ),
    ("flags changed after signing", |draft, _| draft.late_flags = BE, PasskeyError::Signature),
    (
        "verification added after signing",
        |draft, _| {
            draft.flags = UP;
            draft.late_flags = UV;
        },
        PasskeyError::Signature,
    ),
    (
        "broken signature",
        |draft, _| draft.signature = |good| [&good[..good.len() - 1], &[good[good.len() - 1] ^ 1]].concat(),
        PasskeyError::Signature,
    ),
    (
        "longer signature",
        |draft, _| draft.signature = |good| [&good[..], &[0]].concat(),
        PasskeyError::Signature,
    ),
    ("zeros", |draft, _| draft.signature = |_| vec![0x30, 6, 2, 1, 0, 2, 1, 0], PasskeyError::Signature),
    ("64 bytes", |draft, _| draft.signature = |_| vec![1; 64], PasskeyError::Signature),
];

fn origin(draft: &mut Draft, challenge: &[u8; 32], origin: &str) {
    draft.client_data = client_data("webauthn.get", challenge, origin, r#","crossOrigin":false"#);
}
