//! Seals and opens opaque bytes under a context.
//!
//! A folder has one **header**: public bytes that hold its random **data key**, wrapped, and the data key seals every blob. What wraps
//! it is a passphrase, stretched with Argon2id, or a key that never leaves a hardware security module ([`Hsm`]). It is asked once,
//! when the process starts. So opening a blob is cheap, and [`Sealer::rewrap_under`] moves a folder from one to the other, or
//! changes the passphrase, without touching a blob.
//!
//! ```text
//! key in the HSM ──AES-256-GCM, in the token──────────────────────────────────► data key ──► blobs
//! passphrase ──Argon2id(salt)──► root ──BLAKE3──► wrapping key ──XChaCha20-Poly1305──► data key ──► blobs
//!                                     └─BLAKE3──► check value (a wrong passphrase is told from a changed header)
//! ```
//!
//! Every blob is bound to a [`Context`]: the node, the kind of data, the key, its epoch and the format. A blob moved
//! to another place does not open. What a context cannot show is age: an older blob of the *same* context opens, so
//! whoever must notice a restored snapshot puts a counter elsewhere.
//!
//! | module | holds |
//! |---|---|
//! | `passphrase` | [`Passphrase`], [`PassphraseSource`]: file, descriptor, environment |
//! | `hsm` | [`Hsm`]: a key in a token, over PKCS#11; its errors and its URI |
//! | `protector` | [`Protector`]: one of the two |
//! | `params` | [`Params`]: the cost of one guess, with a floor and a ceiling |
//! | `header` | the bytes of the header |
//! | `context` | [`Context`] and its unambiguous encoding |
//! | `party` | [`SealingKey`], [`SealingPublicKey`], [`Label`]: sealing to somebody else |
//! | `sealer` | [`Sealer`] and the bytes of a blob |

mod context;
mod error;
mod header;
mod hsm;
mod params;
mod party;
mod passphrase;
mod protector;
mod sealer;

pub use context::{Context, MAX_KEY_ID_LEN, MAX_KIND_LEN};
pub use error::{PassphraseError, SealError};
pub use header::HEADER_LEN;
pub use hsm::{Hsm, HsmError, HsmKey, HsmUri, HsmUriError, MAX_HSM_URI_LEN};
pub use params::Params;
pub use party::{
    Label, MAX_LABEL_KEY_LEN, MAX_PARTY_PLAINTEXT, PARTY_OVERHEAD, PartySealError, SealingKey,
    SealingPublicKey,
};
pub use passphrase::{MAX_PASSPHRASE_LEN, Passphrase, PassphraseSource};
pub use protector::{Protection, Protector};
pub use sealer::{MAX_PLAINTEXT_LEN, SEAL_OVERHEAD, Sealer};
