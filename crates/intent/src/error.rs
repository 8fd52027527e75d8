//! The one error type of the crate. Whoever sent the request is at fault in every case.

use crate::{Purpose, Scheme};
use core::fmt;

/// Why a request cannot be prepared or finished.
///
/// The text says what is wrong and what to do; [`IntentError::code`] is stable and meant for programs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IntentError {
    /// An input is larger than this crate accepts.
    #[error("{what} is larger than {limit} {unit}: make it smaller")]
    TooLarge {
        /// Which input.
        what: &'static str,
        /// The largest accepted size.
        limit: usize,
        /// What the limit counts.
        unit: &'static str,
    },
    /// Hex or base64 that does not decode.
    #[error("{what} is not valid {encoding}: {reason}")]
    Encoding {
        /// Which input.
        what: &'static str,
        /// The expected encoding.
        encoding: &'static str,
        /// What the decoder says.
        reason: String,
    },
    /// Bytes or JSON that are not what the intent's kind announces, in its one accepted form.
    #[error("{what} cannot be accepted: {reason}")]
    Malformed {
        /// Which input.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The transaction carries a signature where ours should go.
    #[error("{what} is already signed: send it unsigned")]
    AlreadySigned {
        /// Which input.
        what: String,
    },
    /// A kind of transaction that is understood and not handled.
    #[error("{what} is not supported: {hint}")]
    Unsupported {
        /// The thing found.
        what: String,
        /// What to send instead.
        hint: &'static str,
    },
    /// The key's scheme cannot make this kind of signature.
    #[error("`{intent}` cannot be signed by a key of scheme `{scheme}`: use {needs}")]
    WrongScheme {
        /// Kind of the intent.
        intent: &'static str,
        /// Scheme of the key.
        scheme: Scheme,
        /// Schemes that can.
        needs: &'static str,
    },
    /// The transaction asks nothing of this key.
    #[error("{what} asks for no signature of this key: {hint}")]
    NotOurs {
        /// Which input.
        what: &'static str,
        /// What would have made it ours.
        hint: String,
    },
    /// One input of a PSBT is unacceptable.
    #[error("input {index} of the psbt: {reason}")]
    PsbtInput {
        /// Index of the input, from 0.
        index: usize,
        /// What is wrong and what to do.
        reason: String,
    },
    /// Bytes that are no public key of the scheme.
    #[error("not a public key for {scheme}: {reason}")]
    PublicKey {
        /// The scheme asked for.
        scheme: Scheme,
        /// What is wrong.
        reason: &'static str,
    },
    /// A purpose that the scheme cannot serve.
    #[error("purpose `{purpose}` does not fit a key of scheme `{scheme}`: it can serve {fits}")]
    PurposeUnfit {
        /// The purpose asked for.
        purpose: Purpose,
        /// The key's scheme.
        scheme: Scheme,
        /// What the scheme can serve.
        fits: String,
    },
    /// `message` or `raw` beside another purpose.
    #[error(
        "purpose `{purpose}` must be the only purpose of a key: {because}, so one signature could be read as the other; create a second key for it"
    )]
    PurposeNotAlone {
        /// The purpose that must stand alone.
        purpose: Purpose,
        /// The attack that mixing would open.
        because: &'static str,
    },
    /// An empty set of purposes.
    #[error("a key needs at least one purpose: name one of {fits}")]
    PurposeMissing {
        /// What the scheme can serve.
        fits: String,
    },
    /// A name that is no value of its type.
    #[error("`{name}` is not a {what}: use one of {known}")]
    UnknownName {
        /// What was to be named.
        what: &'static str,
        /// What was given, cut to a printable length.
        name: String,
        /// The accepted names.
        known: &'static str,
    },
    /// Signatures that do not fit what was prepared.
    #[error("signature {index} does not fit: {reason}")]
    Signature {
        /// Index of the signature, from 0.
        index: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// Another number of signatures than inputs to sign.
    #[error("{given} signatures were given and {needed} are needed: one for each input, in order")]
    SignatureCount {
        /// How many were given.
        given: usize,
        /// How many are needed.
        needed: usize,
    },
}

impl IntentError {
    /// Stable name of the error, for programs. Never changes once released.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "intent_too_large",
            Self::Encoding { .. } => "intent_encoding",
            Self::Malformed { .. } => "intent_malformed",
            Self::AlreadySigned { .. } => "intent_already_signed",
            Self::Unsupported { .. } => "intent_unsupported",
            Self::WrongScheme { .. } => "intent_wrong_scheme",
            Self::NotOurs { .. } => "intent_not_ours",
            Self::PsbtInput { .. } => "intent_psbt_input",
            Self::PublicKey { .. } => "public_key_invalid",
            Self::PurposeUnfit { .. } => "purpose_unfit",
            Self::PurposeNotAlone { .. } => "purpose_not_alone",
            Self::PurposeMissing { .. } => "purpose_missing",
            Self::UnknownName { .. } => "unknown_name",
            Self::Signature { .. } => "signature_unfit",
            Self::SignatureCount { .. } => "signature_count",
        }
    }

    /// `Malformed` with a reason that may quote the sender's bytes: printable and cut.
    pub(crate) fn malformed(what: &'static str, reason: impl fmt::Display) -> Self {
        Self::Malformed { what, reason: crate::summary::clip(&reason.to_string(), 240) }
    }
}
