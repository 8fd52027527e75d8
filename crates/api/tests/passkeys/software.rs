//! A software authenticator and browser that share no code with us.

use passkey::authenticator::{Authenticator, UiHint, UserCheck, UserValidationMethod};
use passkey::client::{Client, DefaultClientData};
use passkey::crypto::rust_crypto::RustCryptoBackend;
use passkey::types::Passkey;
use passkey::types::ctap2::{Aaguid, Ctap2Error};
use serde_json::{Value, json};
use url::Url;

/// A person who is there, and proves who they are when they are asked to.
pub(crate) struct Person;

#[async_trait::async_trait]
impl UserValidationMethod for Person {
    type PasskeyItem = Passkey;

    async fn check_user<'a>(
        &self,
        _: UiHint<'a, Passkey>,
        presence: bool,
        verification: bool,
    ) -> Result<UserCheck, Ctap2Error> {
        Ok(UserCheck { presence, verification })
    }

    fn is_presence_enabled(&self) -> bool {
        true
    }

    fn is_verification_enabled(&self) -> Option<bool> {
        Some(true)
    }
}

/// One browser with one authenticator that holds one passkey.
pub(crate) struct Software(
    pub(crate) Client<Option<Passkey>, Person, RustCryptoBackend, public_suffix::PublicSuffixList, ()>,
);

fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

impl Software {
    pub(crate) fn new() -> Self {
        let authenticator = Authenticator::new(Aaguid::new_empty(), None, Person, RustCryptoBackend);
        Self(Client::new(authenticator).allows_insecure_localhost(true))
    }

    /// `navigator.credentials.create` on a page of `origin`; the result as `toJSON()` gives it.
    pub(crate) fn create(&mut self, origin: &str, options: Value) -> String {
        let request = serde_json::from_value(json!({ "publicKey": options })).unwrap();
        let url = Url::parse(origin).unwrap();
        serde_json::to_string(&run(self.0.register(url, request, DefaultClientData)).unwrap()).unwrap()
    }

    /// `navigator.credentials.get` on a page of `origin`.
    pub(crate) fn get(&mut self, origin: &str, options: Value) -> Result<String, String> {
        let request = serde_json::from_value(json!({ "publicKey": options })).unwrap();
        let url = Url::parse(origin).unwrap();
        let credential = run(self.0.authenticate(url, request, DefaultClientData))
            .map_err(|error| format!("{error:?}"))?;
        Ok(serde_json::to_string(&credential).unwrap())
    }
}
