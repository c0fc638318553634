//! Mints seals for tests. The service itself never seals anything.
//!
//! Written from iron's description and the `pbkdf2` crate, sharing no code with the opener, so that
//! the two check each other.

use aes::Aes256;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use cbc::cipher::{BlockModeEncrypt, KeyIvInit, block_padding::Pkcs7};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::Sha256;

/// A seal as h3 makes it, with fresh salts; `None` never expires.
pub fn seal(password: &str, payload_json: &str, exp_ms: Option<i64>) -> String {
    let expiration = exp_ms.map(|ms| ms.to_string()).unwrap_or_default();
    seal_with(
        password,
        payload_json,
        &expiration,
        &Salts {
            enc: &hex(&random::<32>()),
            iv: random(),
            mac: &hex(&random::<32>()),
        },
    )
}

/// What is random in a seal.
pub struct Salts<'a> {
    /// Salt of the encryption key.
    pub enc: &'a str,
    /// First block of the CBC chain.
    pub iv: [u8; 16],
    /// Salt of the MAC key.
    pub mac: &'a str,
}

/// A seal with nothing left to chance, its expiration any text.
pub fn seal_with(password: &str, plaintext: &str, expiration: &str, salts: &Salts<'_>) -> String {
    seal_bytes(password, plaintext.as_bytes(), expiration, salts)
}

/// The same of bytes that may be no text.
pub fn seal_bytes(password: &str, plaintext: &[u8], expiration: &str, salts: &Salts<'_>) -> String {
    let key = derive(password, salts.enc);
    let ciphertext = cbc::Encryptor::<Aes256>::new(&key.into(), &salts.iv.into())
        .encrypt_padded_vec::<Pkcs7>(plaintext);
    let six = format!(
        "Fe26.2**{}*{}*{}*{expiration}",
        salts.enc,
        base64url(&salts.iv),
        base64url(&ciphertext),
    );
    sign(password, &six, salts.mac)
}

/// Adds a MAC salt and a good MAC to any text: the way past the MAC, to what lies behind it.
pub fn sign(password: &str, six_parts: &str, mac_salt: &str) -> String {
    let mac = Hmac::<Sha256>::new(&hmac_key(&derive(password, mac_salt)))
        .chain_update(six_parts)
        .finalize()
        .into_bytes();
    format!("{six_parts}*{mac_salt}*{}", base64url(&mac))
}

/// A key of a seal.
pub fn derive(password: &str, salt: &str) -> [u8; 32] {
    pbkdf2::pbkdf2_hmac_array::<Sha1, 32>(password.as_bytes(), salt.as_bytes(), 1)
}

/// Bytes in a seal.
pub fn base64url(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// Lower-case hexadecimal, as in iron's salts.
pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)]))
        .collect()
}

fn hmac_key(key: &[u8; 32]) -> hmac::digest::Key<Hmac<Sha256>> {
    let mut block = [0; 64];
    block[..32].copy_from_slice(key);
    block.into()
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    bytes
}
