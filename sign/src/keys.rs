//! Keys as text: 64 hexadecimal digits.

use std::fs;
use std::path::Path;

use ed25519_dalek::{SigningKey, VerifyingKey};

/// Two digits a byte.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let text = text.trim();
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut key = [0; 32];
    for (place, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * place..2 * place + 2)?, 16).ok()?;
    }
    Some(key)
}

/// Makes a key pair: the secret key goes to a new file that only its owner may read.
///
/// # Errors
/// When there is such a file already, or it cannot be written.
pub fn generate(path: &Path) -> Result<VerifyingKey, String> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| format!("no randomness: {error}"))?;
    let key = SigningKey::from_bytes(&secret);
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| {
        std::io::Write::write_all(&mut file, format!("{}\n", to_hex(&secret)).as_bytes())
    });
    written.map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(key.verifying_key())
}

/// Reads a secret key.
///
/// # Errors
/// When the file cannot be read or holds something else.
pub fn read_secret(path: &Path) -> Result<SigningKey, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let secret = from_hex(&text)
        .ok_or_else(|| format!("{}: not a secret key: 64 hexadecimal digits are needed", path.display()))?;
    Ok(SigningKey::from_bytes(&secret))
}

/// Reads a public key given on the command line.
///
/// # Errors
/// When the text is something else.
pub fn read_public(text: &str) -> Result<VerifyingKey, String> {
    let bytes = from_hex(text).and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok());
    bytes.ok_or_else(|| format!("--public-key {text:?}: an Ed25519 key of 64 hexadecimal digits is needed"))
}
