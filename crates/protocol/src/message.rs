//! Messages: what a round sends, with the limits and the channel it needs; and the one codec they all use.

use alloc::vec::Vec;
use borsh::{BorshDeserialize, BorshSerialize};
use zeroize::Zeroizing;

/// Who may see a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// The same to all, signed by its sender and echoed in the next round.
    Broadcast,
    /// For one receiver only: carries secrets, leaves the process only inside an encrypted, authenticated channel.
    Private,
    /// For one receiver, no secret inside.
    Direct,
}

/// One kind of message of one protocol.
pub trait Message: BorshSerialize + BorshDeserialize + Send + 'static {
    /// Label of the step that sends it, as in `spec/`.
    const STEP: &'static str;
    /// Registered number of the kind; unique in the workspace.
    const TAG: u16;
    /// Who may see it.
    const CHANNEL: Channel;
    /// Most bytes of its encoding, for any parameters.
    const MAX_LEN: usize;
    /// Bytes of the encoding of this value, or more: what is allocated for it.
    fn len_hint(&self) -> usize {
        Self::MAX_LEN
    }
}

/// The absence of a message, for rounds that need only a broadcast or only private messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Nothing;

impl Message for Nothing {
    const STEP: &'static str = "";
    const TAG: u16 = 0;
    const CHANNEL: Channel = Channel::Direct;
    const MAX_LEN: usize = 0;
}

/// Canonical bytes of a value.
pub fn encode<T: BorshSerialize>(value: &T) -> Vec<u8> {
    // Writing into a vector fails only for a value without an encoding (the identity point), which the rounds refuse before they send;
    // an empty body then fails to decode at the receiver, and nothing secret leaves.
    borsh::to_vec(value).unwrap_or_default()
}

/// Canonical bytes of a message. The buffer never grows, so no copy of a secret stays in freed memory. As for [`encode`], a
/// value without an encoding gives an empty body.
pub(crate) fn encode_secret<M: Message>(message: &M) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(message.len_hint()));
    if message.serialize(&mut *out).is_err() {
        out.clear();
    }
    out
}

/// Decodes a message; refuses trailing bytes, non-canonical forms and more than [`Message::MAX_LEN`] bytes.
pub fn decode<M: Message>(bytes: &[u8]) -> Option<M> {
    if bytes.len() > M::MAX_LEN {
        return None;
    }
    borsh::from_slice(bytes).ok()
}

/// Implements the codec for a struct that is generic over a curve: its fields in order. (The derive of `borsh` would ask the curve
/// itself to be serialisable.)
#[macro_export]
macro_rules! wire_struct {
    ($type:ident<$curve:ident> { $($field:ident),+ $(,)? }) => {
        $crate::wire_struct!($type<$curve: $crate::curve::Curve> { $($field),+ });
    };
    ($type:ident<$curve:ident: $bound:path> { $($field:ident),+ $(,)? }) => {
        impl<$curve: $bound> $crate::borsh::BorshSerialize for $type<$curve> {
            fn serialize<W: $crate::borsh::io::Write>(&self, writer: &mut W) -> $crate::borsh::io::Result<()> {
                $($crate::borsh::BorshSerialize::serialize(&self.$field, writer)?;)+
                Ok(())
            }
        }
        impl<$curve: $bound> $crate::borsh::BorshDeserialize for $type<$curve> {
            fn deserialize_reader<R: $crate::borsh::io::Read>(reader: &mut R) -> $crate::borsh::io::Result<Self> {
                Ok(Self { $($field: $crate::borsh::BorshDeserialize::deserialize_reader(reader)?),+ })
            }
        }
    };
}
