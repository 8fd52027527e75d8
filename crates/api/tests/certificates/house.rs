//! Authorities and certificates as they should be, and each rule broken. Shared with the tests of the node.

use quorate_api::{
    CertificateError, CertificateIdentity, CertificateSignature, ClientAlgorithm, ClientCertificate,
    ClientKey, Request, RequestSignature, SignedRequest,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, GeneralSubtree,
    IsCa, Issuer, KeyPair, NameConstraints, SanType, SignatureAlgorithm, date_time_ymd,
};
use std::time::Duration;

pub(crate) const SPIFFE: &str = "spiffe://example.org/payments";
pub(crate) const DNS: &str = "payments.example.org";
const DAY: u64 = 24 * 3600;

pub(crate) type Authority = CertifiedIssuer<'static, KeyPair>;
pub(crate) type Change<'a> = &'a dyn Fn(&mut CertificateParams);

/// Valid from a day before `around` to a day after it, in unix seconds.
fn params(name: &str, around: u64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    valid(&mut params, around - DAY, around + DAY);
    params
}

pub(crate) fn valid(params: &mut CertificateParams, from: u64, until: u64) {
    let begin = date_time_ymd(1970, 1, 1);
    params.not_before = begin + Duration::from_secs(from);
    params.not_after = begin + Duration::from_secs(until);
}

fn authority_params(name: &str, around: u64, change: Change<'_>) -> CertificateParams {
    let mut params = params(name, around);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    change(&mut params);
    params
}

fn pair(algorithm: &'static SignatureAlgorithm) -> KeyPair {
    KeyPair::generate_for(algorithm).unwrap()
}

/// A root.
pub(crate) fn root(name: &str, around: u64, change: Change<'_>) -> Authority {
    root_with(&rcgen::PKCS_ECDSA_P256_SHA256, name, around, change)
}

fn root_with(
    algorithm: &'static SignatureAlgorithm,
    name: &str,
    around: u64,
    change: Change<'_>,
) -> Authority {
    CertifiedIssuer::self_signed(authority_params(name, around, change), pair(algorithm)).unwrap()
}

/// An authority below another one.
fn below(above: &Authority, name: &str, around: u64, change: Change<'_>) -> Authority {
    let key = pair(&rcgen::PKCS_ECDSA_P256_SHA256);
    CertifiedIssuer::signed_by(authority_params(name, around, change), key, above).unwrap()
}

pub(crate) fn client_key(seed: u8) -> ClientKey {
    ClientKey::from_entropy(ClientAlgorithm::P256, &[seed; 32]).unwrap()
}

pub(crate) fn uri(name: &str) -> SanType {
    SanType::URI(name.try_into().unwrap())
}

pub(crate) fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

/// A client's certificate in DER.
pub(crate) fn leaf(
    by: &Issuer<'_, KeyPair>,
    key: &ClientKey,
    names: Vec<SanType>,
    around: u64,
    change: Change<'_>,
) -> Vec<u8> {
    let mut params = params("a client", around);
    params.subject_alt_names = names;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    change(&mut params);
    let key = KeyPair::from_pem(&key.to_pem().unwrap()).unwrap();
    params.signed_by(&key, by).unwrap().der().to_vec()
}

fn der(authority: &Authority) -> Vec<u8> {
    authority.der().to_vec()
}

pub(crate) fn identity(authority: &Authority, name: &str) -> CertificateIdentity {
    CertificateIdentity::new(der(authority), name).unwrap()
}

/// Signs with whatever chain, also one that is not the key's.
pub(crate) fn sign(request: Request, chain: Vec<Vec<u8>>, key: &ClientKey) -> SignedRequest {
    let bytes = request.certificate_signing_bytes(chain.first().unwrap());
    let signature = raw(key, &bytes);
    request.with_signature(CertificateSignature::new(chain, signature).unwrap())
}

/// 64 bytes by a client's key over any bytes.
fn raw(key: &ClientKey, bytes: &[u8]) -> [u8; 64] {
    let pem = key.to_pem().unwrap();
    match key.algorithm() {
        ClientAlgorithm::Ed25519 => {
            use ed25519_dalek::Signer as _;
            use ed25519_dalek::pkcs8::DecodePrivateKey as _;
            ed25519_dalek::SigningKey::from_pkcs8_pem(&pem).unwrap().sign(bytes).to_bytes()
        }
        ClientAlgorithm::P256 => {
            use p256::ecdsa::signature::Signer as _;
            use p256::pkcs8::DecodePrivateKey as _;
            let signature: p256::ecdsa::Signature =
                p256::ecdsa::SigningKey::from_pkcs8_pem(&pem).unwrap().sign(bytes);
            signature.normalize_s().to_bytes().into()
        }
    }
}

/// The authorities of a test, all valid around one moment.
pub(crate) struct House {
    pub(crate) around: u64,
    pub(crate) root: Authority,
    pub(crate) middle: Authority,
    /// May certify names below `example.org` and no others.
    pub(crate) narrow: Authority,
    /// Ended before the moment.
    pub(crate) old: Authority,
    pub(crate) edwards: Authority,
}

/// A request with a signature, by a client of one of [`House::identities`].
pub(crate) type Case = (&'static str, SignedRequest);

impl House {
    pub(crate) fn new(around: u64) -> Self {
        let root = root("root", around, &|_| {});
        let middle = below(&root, "middle", around, &|_| {});
        let narrow = self::root("narrow", around, &|params| {
            let permitted_subtrees = vec![GeneralSubtree::DnsName("example.org".to_owned())];
            params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: vec![] });
        });
        let old = self::root("old", around, &|params| valid(params, around - 2 * DAY, around - 1));
        let edwards = root_with(&rcgen::PKCS_ED25519, "edwards", around, &|_| {});
        Self { around, root, middle, narrow, old, edwards }
    }

    /// What is enrolled, by the client's name.
    pub(crate) fn identities(&self) -> Vec<(&'static str, CertificateIdentity)> {
        vec![
            ("payments", identity(&self.root, SPIFFE)),
            ("web", identity(&self.root, DNS)),
            ("narrow", identity(&self.narrow, DNS)),
            ("outside", identity(&self.narrow, "payments.example.net")),
            ("old", identity(&self.old, SPIFFE)),
            ("edwards", identity(&self.edwards, SPIFFE)),
        ]
    }

    fn leaf(&self, by: &Authority, key: &ClientKey, change: Change<'_>) -> Vec<u8> {
        leaf(by, key, vec![uri(SPIFFE)], self.around, change)
    }

    /// A certificate that may sign as `payments`, with its key.
    pub(crate) fn payments(&self) -> ClientCertificate {
        ClientCertificate::new(
            vec![self.leaf(&self.middle, &client_key(7), &|_| {}), der(&self.middle)],
            client_key(7),
        )
        .unwrap()
    }

    /// What must be accepted. `ask` makes a request by the client that it is given, which expires at the moment.
    pub(crate) fn good(&self, ask: &dyn Fn(&str) -> Request) -> Vec<Case> {
        let (key, around) = (client_key(7), self.around);
        let ed = ClientKey::from_entropy(ClientAlgorithm::Ed25519, &[7; 32]).unwrap();
        let by = |client: &str, chain: Vec<Vec<u8>>| sign(ask(client), chain, &key);
        let one = |change: Change<'_>| by("payments", vec![self.leaf(&self.root, &key, change)]);
        let named = |client: &str, authority: &Authority, names| {
            by(client, vec![leaf(authority, &key, names, around, &|_| {})])
        };
        vec![
            ("by the library", ask("payments").sign_with_certificate(&self.payments())),
            (
                "below an intermediate",
                by("payments", vec![self.leaf(&self.middle, &key, &|_| {}), der(&self.middle)]),
            ),
            ("directly below", one(&|_| {})),
            ("an Ed25519 key", sign(ask("payments"), vec![self.leaf(&self.root, &ed, &|_| {})], &ed)),
            ("an Ed25519 authority", by("edwards", vec![self.leaf(&self.edwards, &key, &|_| {})])),
            ("for any use", one(&|params| params.extended_key_usages.clear())),
            (
                "for servers too",
                one(&|params| params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth)),
            ),
            ("ends with the request", one(&|params| valid(params, around - DAY, around))),
            ("begins with the request's end", one(&|params| valid(params, around, around + DAY))),
            (
                "another key, as after a renewal",
                sign(ask("payments"), vec![self.leaf(&self.root, &client_key(8), &|_| {})], &client_key(8)),
            ),
            (
                "the root is sent too",
                by(
                    "payments",
                    vec![self.leaf(&self.middle, &key, &|_| {}), der(&self.middle), der(&self.root)],
                ),
            ),
            ("a DNS name", named("web", &self.root, vec![dns(DNS)])),
            (
                "several DNS names",
                named("web", &self.root, vec![dns("other.example.org"), dns(DNS), uri(SPIFFE)]),
            ),
            ("a DNS name beside the SPIFFE name", named("payments", &self.root, vec![uri(SPIFFE), dns(DNS)])),
            ("within the constraint", named("narrow", &self.narrow, vec![dns(DNS)])),
        ]
    }

    /// What must be refused, and why.
    pub(crate) fn bad(&self, ask: &dyn Fn(&str) -> Request) -> Vec<(Case, CertificateError)> {
        use CertificateError as E;
        let (key, around) = (client_key(7), self.around);
        let by = |client: &str, chain: Vec<Vec<u8>>| sign(ask(client), chain, &key);
        let one = |change: Change<'_>| by("payments", vec![self.leaf(&self.root, &key, change)]);
        let named = |client: &str, authority: &Authority, names| {
            by(client, vec![leaf(authority, &key, names, around, &|_| {})])
        };
        let impostor = root("root", around, &|_| {});
        let stranger = root("stranger", around, &|_| {});
        let ended = |params: &mut CertificateParams| valid(params, around - DAY, around - 1);
        let later = |params: &mut CertificateParams| valid(params, around + 1, around + DAY);
        let old_middle = below(&self.root, "middle", around, &ended);
        let short = below(&self.root, "short", around, &|params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        });
        let long = below(&short, "long", around, &|_| {});
        let servers = below(&self.root, "servers", around, &|params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        });
        let nist384 = root_with(&rcgen::PKCS_ECDSA_P384_SHA384, "nist384", around, &|_| {});
        let odd = CertifiedIssuer::signed_by(
            authority_params("odd", around, &|_| {}),
            pair(&rcgen::PKCS_ECDSA_P384_SHA384),
            &self.root,
        )
        .unwrap();
        let mut wide = params("wide", around);
        wide.subject_alt_names = vec![uri(SPIFFE)];
        let wide = wide.signed_by(nist384.key(), &self.root).unwrap().der().to_vec();
        // A client's certificate that issues another one.
        let mut no_authority = params("no authority", around);
        no_authority.subject_alt_names = vec![uri(SPIFFE)];
        let no_authority =
            CertifiedIssuer::signed_by(no_authority, pair(&rcgen::PKCS_ECDSA_P256_SHA256), &self.root)
                .unwrap();
        let own = self.leaf(&self.root, &key, &|_| {});
        let renewed = self.leaf(&self.root, &key, &|params| valid(params, around - DAY, around + 2 * DAY));
        let moved = signature(&by("payments", vec![renewed]));
        let good =
            p256::ecdsa::Signature::from_slice(&signature(&by("payments", vec![own.clone()]))).unwrap();
        let high = p256::ecdsa::Signature::from_scalars(*good.r(), -*good.s()).unwrap();
        let with = |client: &str, chain: Vec<Vec<u8>>, signature: [u8; 64]| {
            ask(client).with_signature(CertificateSignature::new(chain, signature).unwrap())
        };
        let plain = raw(&key, &ask("payments").signing_bytes());
        vec![
            (
                (
                    "another authority of the same name",
                    by("payments", vec![self.leaf(&impostor, &key, &|_| {})]),
                ),
                E::Issuer,
            ),
            (
                (
                    "another authority of the same name, sent too",
                    by("payments", vec![self.leaf(&impostor, &key, &|_| {}), der(&impostor)]),
                ),
                E::Issuer,
            ),
            (
                (
                    "an unknown authority",
                    by("payments", vec![self.leaf(&stranger, &key, &|_| {}), der(&stranger)]),
                ),
                E::Authority,
            ),
            (("self-signed", by("payments", vec![self_signed(&key, around)])), E::Authority),
            (
                ("without the intermediate", by("payments", vec![self.leaf(&self.middle, &key, &|_| {})])),
                E::Authority,
            ),
            (
                ("a name below", named("payments", &self.root, vec![uri("spiffe://example.org/payments/x")])),
                E::Name,
            ),
            (
                (
                    "another trust domain",
                    named("payments", &self.root, vec![uri("spiffe://example.com/payments")]),
                ),
                E::Name,
            ),
            (
                ("another case", named("payments", &self.root, vec![uri("spiffe://example.org/Payments")])),
                E::Name,
            ),
            (("no name", named("payments", &self.root, vec![])), E::Name),
            (("the name as a DNS name", named("web", &self.root, vec![uri(SPIFFE)])), E::Name),
            (("a wildcard", named("web", &self.root, vec![dns("*.example.org")])), E::Name),
            (
                (
                    "the common name alone",
                    one(&|params| {
                        params.subject_alt_names.clear();
                        params.distinguished_name.push(DnType::CommonName, SPIFFE);
                    }),
                ),
                E::Name,
            ),
            (
                (
                    "two workloads in one",
                    named("payments", &self.root, vec![uri(SPIFFE), uri("spiffe://example.org/other")]),
                ),
                E::Ambiguous,
            ),
            (("ended before", one(&ended)), E::Expired),
            (
                (
                    "ended before, the intermediate",
                    by("payments", vec![self.leaf(&old_middle, &key, &|_| {}), der(&old_middle)]),
                ),
                E::Expired,
            ),
            (("not yet valid", one(&later)), E::NotYetValid),
            (
                ("ended before, the authority", by("old", vec![self.leaf(&self.old, &key, &|_| {})])),
                E::AuthorityExpired,
            ),
            (
                (
                    "for servers",
                    one(&|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]),
                ),
                E::Usage,
            ),
            (
                (
                    "for servers, the intermediate",
                    by("payments", vec![self.leaf(&servers, &key, &|_| {}), der(&servers)]),
                ),
                E::Usage,
            ),
            (
                (
                    "an authority's as a client's",
                    one(&|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
                ),
                E::AuthorityAsClient,
            ),
            (
                (
                    "a client's as an authority's",
                    by(
                        "payments",
                        vec![self.leaf(&no_authority, &key, &|_| {}), no_authority.der().to_vec()],
                    ),
                ),
                E::ClientAsAuthority,
            ),
            (
                (
                    "more authorities than allowed",
                    by("payments", vec![self.leaf(&long, &key, &|_| {}), der(&long), der(&short)]),
                ),
                E::PathLength,
            ),
            (
                (
                    "outside of the constraint",
                    named("outside", &self.narrow, vec![dns("payments.example.net")]),
                ),
                E::NameConstraint,
            ),
            (
                ("beside the constraint", named("narrow", &self.narrow, vec![dns(DNS), dns("example.net")])),
                E::NameConstraint,
            ),
            (
                ("signed with P-384", by("payments", vec![self.leaf(&odd, &key, &|_| {}), der(&odd)])),
                E::Algorithm,
            ),
            (("a P-384 key", by("payments", vec![wide])), E::Key),
            (("no certificate", by("payments", vec![vec![0x30, 0x00]])), E::Malformed),
            (("another key", sign(ask("payments"), vec![own.clone()], &client_key(8))), E::Signature),
            (
                ("another certificate of the same key", with("payments", vec![own.clone()], moved)),
                E::Signature,
            ),
            (("the request alone, as a key would", with("payments", vec![own.clone()], plain)), E::Signature),
            (("the other s", with("payments", vec![own.clone()], high.to_bytes().into())), E::Signature),
            (("nothing", with("payments", vec![own], [0; 64])), E::Signature),
        ]
    }
}

fn signature(request: &SignedRequest) -> [u8; 64] {
    match request.signature() {
        RequestSignature::Certificate(by) => Some(*by.signature()),
        _ => None,
    }
    .unwrap()
}

/// A certificate that its own key signed, with the name.
pub(crate) fn self_signed(key: &ClientKey, around: u64) -> Vec<u8> {
    let mut params = params("alone", around);
    params.subject_alt_names = vec![uri(SPIFFE)];
    let key = KeyPair::from_pem(&key.to_pem().unwrap()).unwrap();
    params.self_signed(&key).unwrap().der().to_vec()
}
