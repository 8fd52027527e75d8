//! Sealing to the holders of age keys.

use crate::failure::usage;
use age::armor::{ArmoredWriter, Format};
use std::io::Write as _;

/// Those who can open a file.
pub(super) struct Recipients(Vec<age::x25519::Recipient>);

impl Recipients {
    /// Reads them, and sees that one file can be for all of them.
    pub(super) fn parse(texts: &[String]) -> anyhow::Result<Self> {
        let mut all = Vec::with_capacity(texts.len());
        for text in texts {
            all.push(recipient(text)?);
        }
        let all = Self(all);
        all.encryptor()?;
        Ok(all)
    }

    fn encryptor(&self) -> anyhow::Result<age::Encryptor> {
        age::Encryptor::with_recipients(self.0.iter().map(|one| -> &dyn age::Recipient { one }))
            .map_err(|error| usage(format!("these age recipients cannot share a file: {error}")))
    }

    /// The sealed text, armoured.
    pub(super) fn seal(&self, text: &str) -> anyhow::Result<String> {
        let armour = ArmoredWriter::wrap_output(Vec::new(), Format::AsciiArmor)?;
        let mut writer = self.encryptor()?.wrap_output(armour)?;
        writer.write_all(text.as_bytes())?;
        Ok(String::from_utf8(writer.finish()?.finish()?)?)
    }
}

fn recipient(text: &str) -> anyhow::Result<age::x25519::Recipient> {
    if text.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") {
        // Not repeated: it is a secret.
        return Err(usage(
            "an age identity was given where a recipient belongs, and now stands in the history of this shell: make another one with `age-keygen`",
        ));
    }
    text.parse().map_err(|why: &str| {
        usage(format!(
            "`{text}` is no age recipient ({why}): give what `age-keygen` prints as public key, age1…"
        ))
    })
}
