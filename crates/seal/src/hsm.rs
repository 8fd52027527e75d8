//! A key in a hardware security module, reached over PKCS#11.
//!
//! The key never leaves the token: it encrypts a folder's data key there, under AES-256-GCM, and decrypts it again. The folder keeps the
//! ciphertext, so without the token it does not open, and the token sees nothing of what the data key seals.
//!
//! A session can end at any time: the token is pulled, the connection to a network HSM breaks, an administrator closes all. Every
//! use opens a session anew if the one from before is gone, once; the PIN is read again from its place and is in memory only then.

mod error;
mod module;
mod uri;

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cryptoki::context::{Function, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::AuthPin;
use zeroize::Zeroizing;

pub use error::HsmError;
pub use uri::{HsmUri, HsmUriError, MAX_HSM_URI_LEN};

use crate::{PassphraseSource, SealError};

/// Length of the nonce that AES-GCM is asked with. A token may take one of its own in its place.
const IV_LEN: usize = 12;
const TAG_BITS: u64 = 128;
/// Length of the identifier of a key that is made here.
const ID_LEN: usize = 16;
const KEY_BYTES: u64 = 32;

/// A key in a token. Nothing is opened before it is used.
pub struct Hsm {
    uri: HsmUri,
    state: Mutex<State>,
}

impl fmt::Debug for Hsm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hsm({})", self.uri)
    }
}

#[derive(Default)]
struct State {
    open: Option<Open>,
    /// The token refused the PIN: it is not tried again.
    refused: bool,
}

struct Open {
    session: Session,
    key: ObjectHandle,
    id: Vec<u8>,
}

/// What is known about a key that was found or made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HsmKey {
    /// Label of the token.
    pub token: String,
    /// Label of the key, or its identifier in hexadecimal digits.
    pub key: String,
    /// Whether it was made just now.
    pub made: bool,
    /// Whether the token says that the key was never outside of it. A key that was imported was.
    pub never_outside: bool,
}

/// A ciphertext of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrapped {
    pub(crate) id: Vec<u8>,
    pub(crate) iv: Vec<u8>,
    pub(crate) bytes: Vec<u8>,
}

impl Hsm {
    /// The key that this URI names.
    #[must_use]
    pub fn new(uri: HsmUri) -> Self {
        Self { uri, state: Mutex::default() }
    }

    /// The URI.
    #[must_use]
    pub fn uri(&self) -> &HsmUri {
        &self.uri
    }

    /// Finds the key, or makes it in the token if there is none: AES-256, sensitive, not extractable. Blocks for as long as the HSM takes.
    ///
    /// # Errors
    /// [`HsmError`]; [`HsmError::UnfitKey`] for a key that could leave the token.
    pub fn find_or_make(&self) -> Result<HsmKey, HsmError> {
        match self.find() {
            Err(HsmError::NoKey { .. }) => {}
            found => return found,
        }
        let module = module::load(&self.uri.module)?;
        let lib = module.lock();
        self.state().open = None;
        let (session, slot) = self.session(&lib, true)?;
        self.make(&session, slot, &lib)?;
        drop(session);
        drop(lib);
        Ok(HsmKey { made: true, ..self.find()? })
    }

    /// Finds the key and looks at it.
    ///
    /// # Errors
    /// [`HsmError`].
    pub fn find(&self) -> Result<HsmKey, HsmError> {
        let (token, key) = (self.uri.token_name(), self.uri.key_name());
        self.with_key("look at the key", |session, open| {
            let never_outside =
                session.get_attributes(open.key, &[AttributeType::NeverExtractable]).unwrap_or_default();
            let never_outside = never_outside.contains(&Attribute::NeverExtractable(true));
            Ok(HsmKey { token: token.clone(), key: key.clone(), made: false, never_outside })
        })
    }

    /// Whether the token answers, and encrypts and decrypts with the key.
    ///
    /// # Errors
    /// [`HsmError`].
    pub fn check(&self) -> Result<(), HsmError> {
        self.with_key("use the key", |session, open| {
            if works(session, open) {
                Ok(())
            } else {
                Err(Error::Pkcs11(RvError::FunctionFailed, Function::Decrypt))
            }
        })
    }

    /// Forgets that a PIN was refused, after somebody said that it was corrected.
    pub fn forget_refusal(&self) {
        self.state().refused = false;
    }

    /// Encrypts the data key in the token.
    pub(crate) fn wrap(&self, context: &[u8], data_key: &[u8; 32]) -> Result<Wrapped, SealError> {
        let mut fresh = [0; IV_LEN];
        getrandom::fill(&mut fresh).map_err(|_| SealError::NoRandomness)?;
        // SEAL.5
        let wrapped = self.with_key("encrypt the data key", |session, open| {
            let mut iv = fresh;
            let bytes = {
                let params = GcmParams::new(&mut iv, context, TAG_BITS.into())?;
                session.encrypt(&Mechanism::AesGcm(params), open.key, data_key)?
            };
            // Some tokens do not let others choose it, and write theirs here.
            Ok(Wrapped { id: open.id.clone(), iv: iv.to_vec(), bytes })
        });
        Ok(wrapped?)
    }

    /// Decrypts a data key in the token.
    pub(crate) fn unwrap(&self, context: &[u8], wrapped: &Wrapped) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (token, key) = (self.uri.token_name(), self.uri.key_name());
        let opened = self.with_key("decrypt the data key", |session, open| {
            if !wrapped.id.is_empty() && wrapped.id != open.id {
                return Ok(Err(HsmError::OtherKey { key: key.clone(), token: token.clone() }));
            }
            let mut iv = wrapped.iv.clone();
            let params = GcmParams::new(&mut iv, context, TAG_BITS.into())?;
            match session.decrypt(&Mechanism::AesGcm(params), open.key, &wrapped.bytes) {
                Ok(plain) => Ok(Ok(Zeroizing::new(plain))),
                // Some tokens say this of a tag that does not fit, as they say it of everything.
                Err(error) if is_refused(&error) || (is_vague(&error) && works(session, open)) => {
                    Ok(Err(HsmError::NotOpened { key: key.clone(), token: token.clone() }))
                }
                Err(error) => Err(error),
            }
        });
        Ok(opened??)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the key; once more in a new session if the one from before is gone.
    fn with_key<T>(
        &self,
        what: &'static str,
        work: impl Fn(&Session, &Open) -> Result<T, Error>,
    ) -> Result<T, HsmError> {
        let module = module::load(&self.uri.module)?;
        let mut lib = module.lock();
        let mut state = self.state();
        if state.refused {
            return Err(HsmError::PinRefusedBefore { token: self.uri.token_name() });
        }
        let mut last = None;
        // SEAL.8 With what is open, in a new session, and with a module that was started anew.
        for attempt in 0..3 {
            if attempt == 2 {
                state.open = None;
                module::restart(&mut lib, &self.uri.module)?;
            }
            if state.open.is_none() {
                match self.open(&lib, &mut state) {
                    Ok(()) => {}
                    Err(error) if error.may_pass() && attempt < 2 => {
                        last = Some(error);
                        continue;
                    }
                    Err(error) => return Err(error),
                }
            }
            let Some(open) = &state.open else { continue };
            match work(&open.session, open) {
                Ok(done) => return Ok(done),
                Err(error) => {
                    let lost = is_lost(&error);
                    last = Some(self.failed(what, &error));
                    if !lost {
                        break;
                    }
                    state.open = None;
                }
            }
        }
        Err(last.unwrap_or_else(|| self.failed(what, &Error::InvalidValue)))
    }

    fn open(&self, lib: &Pkcs11, state: &mut State) -> Result<(), HsmError> {
        let (session, _) = match self.session(lib, false) {
            Ok(opened) => opened,
            Err(error) => {
                state.refused = matches!(error, HsmError::PinWrong { .. });
                return Err(error);
            }
        };
        let (key, id) = self.find_key(&session)?;
        state.open = Some(Open { session, key, id });
        Ok(())
    }

    /// A session in which the user is logged in.
    fn session(&self, lib: &Pkcs11, writes: bool) -> Result<(Session, Slot), HsmError> {
        let slot = self.slot(lib)?;
        let open = if writes { lib.open_rw_session(slot) } else { lib.open_ro_session(slot) };
        let session = open.map_err(|error| self.failed("open a session", &error))?;
        let info = self.token(lib, slot)?;
        if info.login_required() {
            self.login(lib, slot, &session, &info)?;
        }
        Ok((session, slot))
    }

    fn token(&self, lib: &Pkcs11, slot: Slot) -> Result<TokenInfo, HsmError> {
        lib.get_token_info(slot).map_err(|error| self.failed("describe its token", &error))
    }

    fn slot(&self, lib: &Pkcs11) -> Result<Slot, HsmError> {
        let slots = lib.get_slots_with_token().map_err(|error| self.failed("list its tokens", &error))?;
        // A slot that does not describe its token is not the one.
        let tokens: Vec<(Slot, TokenInfo)> =
            slots.into_iter().filter_map(|slot| Some((slot, lib.get_token_info(slot).ok()?))).collect();
        let fits = |wanted: &Option<String>, found: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted.trim_end() == found.trim_end())
        };
        let fitting: Vec<Slot> = tokens
            .iter()
            .filter(|(slot, info)| {
                fits(&self.uri.token, info.label())
                    && fits(&self.uri.serial, info.serial_number())
                    && fits(&self.uri.manufacturer, info.manufacturer_id())
                    && fits(&self.uri.model, info.model())
                    && self.uri.slot.is_none_or(|wanted| wanted == slot.id())
            })
            .map(|(slot, _)| *slot)
            .collect();
        match fitting.as_slice() {
            [slot] => Ok(*slot),
            [] => Err(HsmError::NoToken {
                token: self.uri.token_name(),
                there: tokens
                    .iter()
                    .filter(|(_, info)| info.token_initialized())
                    .map(|(_, info)| info.label().to_owned())
                    .collect(),
            }),
            more => Err(HsmError::TokenAmbiguous { token: self.uri.token_name(), count: more.len() }),
        }
    }

    fn login(&self, lib: &Pkcs11, slot: Slot, session: &Session, info: &TokenInfo) -> Result<(), HsmError> {
        let token = || self.uri.token_name();
        // SEAL.7 Never the last try.
        if info.user_pin_locked() {
            return Err(HsmError::PinLocked { token: token() });
        }
        if info.user_pin_final_try() {
            return Err(HsmError::PinLastTry { token: token() });
        }
        let pin = match &self.uri.pin {
            Some(source) => Some(read_pin(source)?),
            None if info.protected_authentication_path() => None,
            None => return Err(HsmError::NoPin { token: token() }),
        };
        let mut done = session.login(UserType::User, pin.as_ref());
        if matches!(done, Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _))) {
            // Another session of this process did it, maybe with another PIN. This one shall not rest on that: after a restart there
            // would be nothing to rest on. The other one logs in again when it needs to.
            session.logout().map_err(|error| self.failed("log in", &error))?;
            done = session.login(UserType::User, pin.as_ref());
        }
        match done {
            Ok(()) => Ok(()),
            Err(Error::Pkcs11(RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange, _)) => {
                let few_left = lib.get_token_info(slot).is_ok_and(|info| {
                    info.user_pin_count_low() || info.user_pin_final_try() || info.user_pin_locked()
                });
                let origin = self.uri.pin.as_ref().map_or_else(|| "its pad".to_owned(), ToString::to_string);
                Err(HsmError::PinWrong { token: token(), origin, few_left })
            }
            Err(Error::Pkcs11(RvError::PinLocked, _)) => Err(HsmError::PinLocked { token: token() }),
            Err(Error::Pkcs11(RvError::UserPinNotInitialized | RvError::PinExpired, _)) => {
                Err(HsmError::PinUnset { token: token() })
            }
            Err(error) => Err(self.failed("log in", &error)),
        }
    }

    /// The one key that fits, after a look at what it may be used for.
    fn find_key(&self, session: &Session) -> Result<(ObjectHandle, Vec<u8>), HsmError> {
        let (key, token) = (self.uri.key_name(), self.uri.token_name());
        let mut wanted = vec![Attribute::Class(ObjectClass::SECRET_KEY), Attribute::KeyType(KeyType::AES)];
        wanted.extend(self.uri.object.as_ref().map(|label| Attribute::Label(label.as_bytes().to_vec())));
        wanted.extend(self.uri.id.clone().map(Attribute::Id));
        let failed = |error: Error| self.failed("look for the key", &error);
        let found = session.find_objects(&wanted).map_err(failed)?;
        let handle = match found.as_slice() {
            [handle] => *handle,
            [] => return Err(HsmError::NoKey { key, token }),
            more => return Err(HsmError::KeyAmbiguous { key, token, count: more.len() }),
        };
        let asked = [
            AttributeType::Sensitive,
            AttributeType::Extractable,
            AttributeType::ValueLen,
            AttributeType::Id,
        ];
        let attributes = session.get_attributes(handle, &asked).map_err(failed)?;
        let unfit = |why| HsmError::UnfitKey { key: key.clone(), token: token.clone(), why };
        let mut id = Vec::new();
        let (mut sensitive, mut kept, mut long) = (false, false, false);
        for attribute in attributes {
            match attribute {
                Attribute::Sensitive(yes) => sensitive = yes,
                Attribute::Extractable(yes) => kept = !yes,
                Attribute::ValueLen(len) => long = u64::from(len) == KEY_BYTES,
                Attribute::Id(bytes) => id = bytes,
                _ => {}
            }
        }
        if !sensitive || !kept {
            return Err(unfit("can be read out of it (it is not sensitive, or extractable)"));
        }
        if !long {
            return Err(unfit("has not 256 bits"));
        }
        Ok((handle, id))
    }

    fn make(&self, session: &Session, slot: Slot, lib: &Pkcs11) -> Result<(), HsmError> {
        let mut id = vec![0; ID_LEN];
        getrandom::fill(&mut id)
            .map_err(|error| HsmError::Call { what: "be given random bytes", reason: error.to_string() })?;
        let id = self.uri.id.clone().unwrap_or(id);
        let label = self.uri.key_name();
        // SEAL.4
        let template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::ValueLen(KEY_BYTES.into()),
            Attribute::Label(label.into_bytes()),
            Attribute::Id(id),
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Encrypt(true),
            Attribute::Decrypt(true),
            Attribute::Wrap(false),
            Attribute::Unwrap(false),
            Attribute::Sign(false),
            Attribute::Verify(false),
            Attribute::Derive(false),
        ];
        if lib.get_token_info(slot).is_ok_and(|info| info.write_protected()) {
            return Err(HsmError::Call {
                what: "make a key",
                reason: "the token is write-protected".to_owned(),
            });
        }
        let made = session.generate_key(&Mechanism::AesKeyGen, &template);
        made.map(|_| ()).map_err(|error| self.failed("make a key", &error))
    }

    fn failed(&self, what: &'static str, error: &Error) -> HsmError {
        let token = self.uri.token_name();
        let reason = match error {
            Error::Pkcs11(rv, function) => format!("{function:?} says {rv:?}"),
            error => error.to_string(),
        };
        match error {
            Error::Pkcs11(
                RvError::MechanismInvalid
                | RvError::MechanismParamInvalid
                | RvError::KeyFunctionNotPermitted
                | RvError::KeyTypeInconsistent,
                _,
            ) => HsmError::Mechanism { token, reason },
            error if is_lost(error) => HsmError::Gone { token, reason },
            _ => HsmError::Call { what, reason },
        }
    }
}

/// The session, the token or the way to it is gone.
fn is_lost(error: &Error) -> bool {
    matches!(
        error,
        Error::Pkcs11(
            RvError::SessionHandleInvalid
                | RvError::SessionClosed
                | RvError::DeviceRemoved
                | RvError::DeviceError
                | RvError::DeviceMemory
                | RvError::TokenNotPresent
                | RvError::TokenNotRecognized
                | RvError::SlotIdInvalid
                | RvError::UserNotLoggedIn
                | RvError::KeyHandleInvalid
                | RvError::ObjectHandleInvalid
                | RvError::CryptokiNotInitialized
                | RvError::OperationActive
                | RvError::GeneralError
                | RvError::FunctionFailed
                | RvError::VendorDefined(_)
                | RvError::UnknownErrorCode(_),
            _,
        )
    )
}

/// The ciphertext, its context or the key is not what it was.
fn is_refused(error: &Error) -> bool {
    matches!(
        error,
        Error::Pkcs11(
            RvError::EncryptedDataInvalid
                | RvError::EncryptedDataLenRange
                | RvError::DataInvalid
                | RvError::DataLenRange
                | RvError::ArgumentsBad
                | RvError::SignatureInvalid,
            _
        )
    )
}

fn is_vague(error: &Error) -> bool {
    matches!(error, Error::Pkcs11(RvError::GeneralError | RvError::FunctionFailed, _))
}

/// Whether the token does with this key what it is there for.
fn works(session: &Session, open: &Open) -> bool {
    let probe = || {
        let (mut iv, zeros) = ([0; IV_LEN], [0; 32]);
        getrandom::fill(&mut iv).ok()?;
        let params = GcmParams::new(&mut iv, b"quorate probe", TAG_BITS.into()).ok()?;
        let bytes = session.encrypt(&Mechanism::AesGcm(params), open.key, &zeros).ok()?;
        let params = GcmParams::new(&mut iv, b"quorate probe", TAG_BITS.into()).ok()?;
        session.decrypt(&Mechanism::AesGcm(params), open.key, &bytes).ok()
    };
    probe().is_some_and(|plain| plain == [0; 32])
}

/// The PIN, in one buffer of its own length, so that none is left behind when it is wiped.
fn read_pin(source: &PassphraseSource) -> Result<AuthPin, HsmError> {
    let bytes = source.read_as("PIN")?;
    let text = std::str::from_utf8(bytes.as_bytes()).map_err(|_| HsmError::Call {
        what: "be given this PIN",
        reason: format!("what is in {source} is no text"),
    })?;
    let mut pin = String::with_capacity(text.len());
    pin.push_str(text);
    Ok(pin.into())
}
