//! The process that holds a whole private key for a moment. `quorate key export` starts it, and nothing else.
//!
//! It closes itself to others (`isolate`), draws a one-time key and says the public half, reads sealed shares, puts the key together, uses it
//! once, says what came of it, and ends. Neither the one-time key nor the private key leaves it.

use super::isolate::isolate;
use super::recipient::Recipients;
use super::wire::{Done, Job, Product, Ready, Said, Use, hear, say};
use crate::failure::{Usage, usage};
use crate::output::chain;
use anyhow::Context as _;
use quorate_api::intent::Scheme;
use quorate_api::{ExportResult, Hex};
use quorate_keys::export::{CombineError, combine};
use quorate_keys::share::PublicPackage;
use quorate_keys::sharing::Rows;
use quorate_material::{CurveId, Format, Material, SignAs, check_written};
use quorate_protocol::curve::{Curve, Ed25519, P256, Scalar, Secp256k1, SecretScalar};
use quorate_protocol::party::PartyIndex;
use quorate_seal::{Label, SealingKey};
use std::io::{BufRead, BufReader, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use zeroize::Zeroizing;

/// Runs the hidden command.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut from = BufReader::new(std::io::stdin().lock());
    let mut to = std::io::stdout().lock();
    let job: Option<Job> = hear(&mut from)?;
    let job = job.ok_or_else(|| usage("`quorate key export` starts this, and nobody else"))?;
    let said = match work(&job, &mut from, &mut to) {
        Ok(done) => Said::Fine(done),
        Err(error) => Said::Refused { detail: chain(&error), usage: error.is::<Usage>() },
    };
    say(&mut to, &said)
}

/// What can be said about a job before anything is asked of anybody.
enum Prepared {
    Seal { recipients: Recipients, format: Format, test_network: bool },
    Sign { how: SignAs, to_sign: Vec<u8> },
}

/// The curve of a scheme.
pub(super) const fn curve(scheme: Scheme) -> CurveId {
    match scheme {
        Scheme::EcdsaSecp256k1 | Scheme::Bip340 => CurveId::Secp256k1,
        Scheme::EcdsaP256 => CurveId::P256,
        Scheme::Ed25519 => CurveId::Ed25519,
    }
}

fn prepare(job: &Job) -> anyhow::Result<Prepared> {
    match &job.once {
        Use::Seal { recipients, format, test_network } => {
            let format: Format = format.parse().map_err(usage)?;
            check_written(format, curve(job.scheme)).map_err(usage)?;
            if recipients.is_empty() {
                return Err(usage("a file that nobody can open is of no use: name a recipient with `--to`"));
            }
            let recipients = Recipients::parse(recipients)?;
            Ok(Prepared::Seal { recipients, format, test_network: *test_network })
        }
        Use::Sign(to_sign) => {
            let how = match job.scheme {
                Scheme::EcdsaSecp256k1 | Scheme::EcdsaP256 => SignAs::Ecdsa,
                Scheme::Bip340 => SignAs::Bip340,
                Scheme::Ed25519 => SignAs::Ed25519,
            };
            if how != SignAs::Ed25519 && to_sign.0.len() != 32 {
                return Err(usage(format!("a digest has 32 bytes, this one has {}", to_sign.0.len())));
            }
            Ok(Prepared::Sign { how, to_sign: to_sign.0.clone() })
        }
    }
}

/// How long until the end of the job; none where it is over.
fn left(job: &Job) -> anyhow::Result<Duration> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    let left = Duration::from_secs(job.expires).checked_sub(now).filter(|left| !left.is_zero());
    left.context("the time of this export is over: ask anew, with a longer `--expires`")
}

fn work(job: &Job, from: &mut impl BufRead, to: &mut impl Write) -> anyhow::Result<Done> {
    let prepared = prepare(job)?;
    let (deadline, unlocked) = isolate(left(job)?, job.allow_swap)?;
    let one_time = SealingKey::one_time()?;
    say(to, &Said::Fine(Ready { recipient: Hex(one_time.public().to_bytes()), unlocked }))?;
    let shares: Option<ExportResult> = hear(from)?;
    let shares = shares.context("no shares came")?;
    deadline.shorten()?;
    left(job)?;
    let same = shares.key.as_str() == job.key
        && shares.scheme == job.scheme
        && shares.public_key == job.public_key
        && shares.expires == job.expires;
    if !same {
        anyhow::bail!(
            "the shares are of another key or request than was asked for: nothing was put together"
        );
    }
    let (material, used, wrong) = match job.scheme {
        Scheme::EcdsaSecp256k1 | Scheme::Bip340 => put_together::<Secp256k1>(&one_time, &shares),
        Scheme::EcdsaP256 => put_together::<P256>(&one_time, &shares),
        Scheme::Ed25519 => put_together::<Ed25519>(&one_time, &shares),
    }?;
    drop(one_time);
    Ok(Done { used, wrong, product: use_once(material, &prepared)? })
}

/// EXP.8: the one use. The key is overwritten at its end.
fn use_once(material: Material, prepared: &Prepared) -> anyhow::Result<Product> {
    match prepared {
        Prepared::Seal { recipients, format, test_network } => {
            let text = material.write(*format, *test_network)?;
            drop(material);
            Ok(Product::File(recipients.seal(&text)?))
        }
        Prepared::Sign { how, to_sign } => {
            let mut random = Zeroizing::new([0; 32]);
            getrandom::fill(&mut *random)
                .map_err(|error| anyhow::anyhow!("no randomness from the system: {error}"))?;
            Ok(Product::Signature(Hex(material.sign(*how, to_sign, &random)?.to_vec())))
        }
    }
}

/// The key, and the names of those whose shares were used and of those whose were wrong.
type Whole = (Material, Vec<String>, Vec<String>);

/// EXP.6: opens what opens, and puts the key together from the shares that are right.
fn put_together<C: Curve>(one_time: &SealingKey, shares: &ExportResult) -> anyhow::Result<Whole> {
    let package = PublicPackage::<C>::from_bytes(&shares.package.0);
    let package = package.context("the public package of the key cannot be read")?;
    if package.public_key().to_bytes() != shares.public_key.0 || package.epoch != shares.epoch {
        anyhow::bail!(
            "the public package is of another key or epoch than the shares: nothing was put together"
        );
    }
    let binding = <[u8; 32]>::try_from(shares.request.0.as_slice());
    let binding = binding.ok().context("the hash of the request has another length")?;
    let (mut rows, mut unopened) = (Vec::new(), Vec::new());
    for share in &shares.shares {
        // Who a share is from stands in the package, and not in what came with it.
        let party = PartyIndex::new(share.index).and_then(|index| package.committee.get(index));
        let opened = party.and_then(|party| {
            let label = Label {
                purpose: "export",
                binding,
                key: shares.key.as_str(),
                epoch: shares.epoch,
                party: party.identity.to_bytes(),
                expires: shares.expires,
            };
            let plain = one_time.open(&label, &share.sealed.0).ok()?;
            Some((party.index, read::<C>(&plain)?))
        });
        match opened {
            Some(opened) => rows.push(opened),
            None => unopened.push(share.party.clone()),
        }
    }
    let name = |index: &PartyIndex| {
        let of = shares.shares.iter().find(|share| share.index == index.get());
        of.map_or_else(|| index.to_string(), |share| share.party.clone())
    };
    let names = |parties: &[PartyIndex]| parties.iter().map(name).collect::<Vec<_>>();
    let combined = match combine(&package, &rows) {
        Ok(combined) => combined,
        Err(CombineError::NotQualified { right, wrong }) => {
            unopened.extend(names(&wrong));
            anyhow::bail!(
                "too few right shares to put the key together: right from {}; wrong from {}; look at the nodes that gave wrong ones, and ask anew when others are there",
                or_nobody(&names(&right)),
                or_nobody(&unopened)
            );
        }
        Err(error) => return Err(error.into()),
    };
    unopened.extend(names(&combined.wrong));
    let scalar = Zeroizing::new(combined.key.expose().to_bytes());
    let material = Material::from_scalar(C::ID, &scalar, Format::Quorate)?;
    let material = material.with_chain_code(Some(package.chain_code));
    if material.public_key() != shares.public_key.0 {
        anyhow::bail!("what was put together is another key: it is used for nothing");
    }
    Ok((material, names(&combined.used), unopened))
}

fn or_nobody(names: &[String]) -> String {
    if names.is_empty() { "nobody".to_owned() } else { names.join(", ") }
}

fn read<C: Curve>(plain: &[u8]) -> Option<Rows<C>> {
    let (rows, rest) = plain.as_chunks::<32>();
    let rows: Option<Vec<SecretScalar<C>>> =
        rows.iter().map(|row| Scalar::from_bytes(row).map(SecretScalar::new)).collect();
    rows.filter(|_| rest.is_empty()).map(Rows::new)
}
