//! How a session ends without a result: which check failed, who is to blame, and what must follow.

use alloc::vec::Vec;
use core::fmt;

use crate::party::PartyIndex;

macro_rules! checks {
    ($($(#[$doc:meta])* $variant:ident => $code:literal, $text:literal;)+) => {
        /// Every rule that a peer can break, one variant each. The table of checks in `spec/` says who is blamed and what follows.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Check {
            $($(#[$doc])* $variant,)+
        }
        impl Check {
            /// All checks.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// Stable name for metrics, logs and the API.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }
            /// What failed, in words.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

checks! {
    /// A body does not decode, or has a length that the session does not allow.
    Malformed => "malformed", "a message does not decode";
    /// The signature of a broadcast is not the sender's.
    BroadcastSignature => "broadcast_signature", "a broadcast is not signed by its sender";
    /// A party signed two different broadcasts for one round.
    Equivocation => "equivocation", "a party sent different broadcasts to different parties";
    /// A party echoed a broadcast that its sender never signed.
    FalseEcho => "false_echo", "a party reported a broadcast that was never signed";
    /// A peer ended the session.
    PeerAborted => "peer_aborted", "a peer ended the session";
    /// A commitment does not open to the value sent.
    CommitmentOpening => "commitment_opening", "a commitment does not open";
    /// A polynomial commitment has not exactly `k` coefficients.
    PolynomialDegree => "polynomial_degree", "a polynomial has the wrong degree";
    /// A proof of knowledge does not verify.
    ProofOfKnowledge => "proof_of_knowledge", "a proof of knowledge does not verify";
    /// A share does not lie on the polynomial that its dealer committed to.
    ShareConsistency => "share_consistency", "a share does not match its dealer's commitment";
    /// A party announces another plan for moving a key.
    Plan => "plan", "parties have different plans for moving the key";
    /// A dealer shares another value than its part of the key.
    DealerConstant => "dealer_constant", "a dealer does not share its part of the key";
    /// The joint public key, or a public share, is the identity.
    DegenerateKey => "degenerate_key", "the joint key is degenerate";
    /// The confirmations of a key generation differ.
    Confirmation => "confirmation", "parties confirm different results";
    /// An acknowledgement is not signed by its sender over the common hash.
    Acknowledgement => "acknowledgement", "an acknowledgement is not valid";
    /// A base OT message is not acceptable.
    BaseOt => "base_ot", "a base OT message is not acceptable";
    /// The consistency proof of the punctured PRF fails.
    Pprf => "pprf", "the proof of the punctured PRF does not verify";
    /// The two sides of an OT set-up confirm different transcripts.
    OtConfirmation => "ot_confirmation", "the two sides of an OT set-up saw different messages";
    /// The peer multiplies with another OT set-up of this pair than we hold.
    InstanceMismatch => "instance_mismatch", "the two sides hold different OT set-ups";
    /// The consistency check of the OT extension fails.
    OtExtension => "ot_extension", "the OT extension is inconsistent";
    /// The consistency check of the multiplication fails.
    VoleConsistency => "vole_consistency", "the multiplication is inconsistent";
    /// The sender's multiplication inputs are not those of its public points.
    VoleInput => "vole_input", "a multiplication input does not match its public point";
    /// Point-to-point values are not those that the broadcast binds.
    Binding => "binding", "private values do not match the broadcast that binds them";
    /// The key shares in use do not add up to the public key.
    PublicKeySum => "public_key_sum", "the additive key shares do not add up to the public key";
    /// The joint nonce or a signature component is degenerate.
    DegenerateNonce => "degenerate_nonce", "the joint nonce is degenerate";
    /// A party's part of a presignature is not what its messages make of it.
    Presignature => "presignature", "a part of a presignature is wrong";
    /// A partial signature does not verify.
    PartialSignature => "partial_signature", "a partial signature does not verify";
    /// The joint signature does not verify under the public key.
    FinalSignature => "final_signature", "the joint signature does not verify";
    /// An OT instance that was burned is asked for again.
    BurnedInstance => "burned_instance", "the pair's OT instance is burned";
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// Who broke the rule, as far as this party can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// This party, publicly or to anyone who trusts the authenticated channel.
    Party(PartyIndex),
    /// Between us and this party; a third party cannot tell which side lied.
    Edge(PartyIndex),
    /// This party ended the session and gave no reason.
    Reported(PartyIndex),
    /// The protocol cannot tell; the text says why.
    Nobody(&'static str),
}

impl Blame {
    /// The party named, if one is.
    pub const fn party(self) -> Option<PartyIndex> {
        match self {
            Self::Party(p) | Self::Edge(p) | Self::Reported(p) => Some(p),
            Self::Nobody(_) => None,
        }
    }
}

impl fmt::Display for Blame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Party(p) => write!(f, "party {p} is to blame"),
            Self::Edge(p) => write!(f, "this party or party {p} is to blame"),
            Self::Reported(p) => write!(f, "party {p} ended it without a reason"),
            Self::Nobody(why) => write!(f, "nobody can be named: {why}"),
        }
    }
}

/// What must follow a failed check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// The session is dead; another attempt with fresh randomness is safe.
    Retry,
    /// The OT instances with this peer must never be used again; durable before anything leaves this process.
    Burn(PartyIndex),
}

/// Why a session ended without a result. Reaches the log and the operator unchanged; peers see only that the session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abort {
    /// The rule that was broken.
    pub check: Check,
    /// By whom.
    pub blame: Blame,
    /// What must follow.
    pub consequence: Consequence,
    /// Bytes that prove it to others, if there are any: for an equivocation, what [`proves_equivocation`](crate::session::proves_equivocation)
    /// takes; for a wrong partial signature, what the protocol says that made it.
    pub evidence: Vec<u8>,
    /// Which item of a batch it is about, counted from 0; `None` if it is about the session, or about a single item.
    pub item: Option<u16>,
}

impl Abort {
    /// A failed check that burns nothing.
    pub const fn new(check: Check, blame: Blame) -> Self {
        Self { check, blame, consequence: Consequence::Retry, evidence: Vec::new(), item: None }
    }
    /// A failed check that only `party` can have caused.
    pub const fn by(party: PartyIndex, check: Check) -> Self {
        Self::new(check, Blame::Party(party))
    }
    /// A failed check between us and `peer` after which the pair's OT instances are burned.
    pub const fn burning(peer: PartyIndex, check: Check) -> Self {
        let (blame, consequence) = (Blame::Edge(peer), Consequence::Burn(peer));
        Self { check, blame, consequence, evidence: Vec::new(), item: None }
    }
    /// The same about one item of a batch, counted from 0.
    #[must_use]
    pub fn of_item(self, at: usize) -> Self {
        Self { item: u16::try_from(at).ok(), ..self }
    }
}

impl fmt::Display for Abort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.check)?;
        if let Some(item) = self.item {
            write!(f, " for item {item}")?;
        }
        write!(f, "; {}", self.blame)
    }
}
impl core::error::Error for Abort {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString as _;

    #[test]
    fn an_abort_says_which_item_it_is_about() {
        let abort = Abort::new(Check::Malformed, Blame::Nobody("a test"));
        assert_eq!((abort.item, abort.clone().of_item(7).item), (None, Some(7)));
        assert!(abort.clone().of_item(7).to_string().contains(" for item 7; nobody can be named: a test"));
        assert_eq!(abort.of_item(usize::MAX).item, None);
    }
}
