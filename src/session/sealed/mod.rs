//! Sealed cookies: what h3 (`useSession`, nuxt-auth-utils) puts into the session cookie when the
//! session lives in the cookie itself.
//!
//! Tells a seal made with one of our passwords from everything else. A seal is iron's `Fe26.2`
//! format, eight parts in one string:
//!
//! `Fe26.2*ID*ENCSALT*IV*CIPHERTEXT*EXPIRATION*MACSALT*MAC`
//!
//! What is sealed is read in `json` and `payload`, what a cookie's bytes mean to h3 in `text`. The
//! manager applies the lifetimes with its own clock and remembers revocations in the store.
//!
//! # How a seal is read
//!
//! As h3 reads it: `%2A` for `*`, quotes around the value, and on logout, the app's sign-out and
//! check also the header `x-neptun-session-session`, which h3 prefers to the cookie; a seal there
//! needs no cookie beside it. What is sealed is read as `JSON.parse` reads it, however deep it is
//! nested. One past its own expiration is live for the minute that h3 grants. Seals of h3 2 are not
//! supported.
//!
//! # Which seals are sessions
//!
//! | the seal | at check | at logout |
//! |---|---|---|
//! | names its user: `--sealed-user` finds a string or whole number fit for a header | identifies the user | is revoked |
//! | has a user that it does not name so: what `--sealed-user` finds is truthy, or `data.user` is | rejects the request | is revoked |
//! | has neither: a visitor's | is ignored | `false` |
//! | opens, but is dated further ahead than clocks differ | rejects the request | is revoked before it begins |
//! | opens, but is over or revoked | rejects the request, whatever else it presents | `false` |
//! | opens, but is malformed | rejects the request | `false`; a live session beside it still ends |
//! | opens with no password | is ignored | `false` |
//!
//! Malformed is what cannot be told apart from others or has no beginning: its `id` is no string or
//! empty, its `createdAt` is no number, or it cannot be decrypted or is no JSON. What the web app
//! might still take for a session rejects the request; what it would not take is ignored.
//!
//! # Never
//!
//! It seals, reads a clock, touches a store, keeps a password, or says what of a seal is wrong (a
//! forger learns nothing from a [`SealError`]).

mod json;
mod payload;
mod text;

use std::fmt;

use aes::Aes256;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use cbc::cipher::{BlockModeDecrypt, KeyIvInit, block_padding::Pkcs7};
use ring::hmac::{self, HMAC_SHA1_FOR_LEGACY_USE_ONLY, HMAC_SHA256};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

pub use payload::{Content, DEFAULT_SUBJECT_POINTER, Payload, SealClaims};
pub use text::{as_h3_reads, latin1, trimmed_as_h3_does};

/// No request's head holds more, so nothing longer is worth hashing. Browsers keep no cookie of
/// more than 4096 bytes, but h3 also reads seals from a header.
const MAX_SEAL_BYTES: usize = 16 * 1024;

/// What every seal begins with.
pub const SEAL_PREFIX: &str = "Fe26.2*";

/// iron's default for the clocks of sealer and opener; h3 does not change it.
const CLOCK_SKEW_MS: i64 = 60_000;

/// iron's minimum, counted the way JavaScript counts: in UTF-16 code units.
const MIN_PASSWORD_UNITS: usize = 32;

/// What [`Opener::new`] refuses. Names a position, never a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeakPassword {
    /// No password was given.
    None,
    /// The password at this position (from 0) has fewer than 32 UTF-16 code units.
    TooShort(usize),
}

impl fmt::Display for WeakPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("no password given"),
            Self::TooShort(position) => write!(
                f,
                "password {} has fewer than {MIN_PASSWORD_UNITS} characters",
                position + 1
            ),
        }
    }
}

impl std::error::Error for WeakPassword {}

/// Why a seal was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealError {
    /// It says so itself; whether it is genuine was not asked.
    Expired,
    /// None of the passwords made it, or it is no seal.
    NotOurs,
}

/// Opens seals made with one of several passwords, so that a password can be rotated.
#[derive(Clone)]
pub struct Opener {
    passwords: Vec<KeyedPassword>,
}

impl Opener {
    /// Passwords newest first: the first is tried first, any opens.
    ///
    /// # Errors
    /// When there is no password, or one that iron itself would refuse to seal with.
    pub fn new(passwords: &[SecretString]) -> Result<Self, WeakPassword> {
        if passwords.is_empty() {
            return Err(WeakPassword::None);
        }
        let keyed = |(position, password): (usize, &SecretString)| {
            let password = password.expose_secret();
            if password.encode_utf16().count() < MIN_PASSWORD_UNITS {
                return Err(WeakPassword::TooShort(position));
            }
            Ok(KeyedPassword::new(password))
        };
        let passwords = passwords.iter().enumerate().map(keyed);
        Ok(Self {
            passwords: passwords.collect::<Result<_, _>>()?,
        })
    }

    /// The payload of a genuine, unexpired seal. One that cannot be decrypted or is no JSON is a
    /// payload too: what a holder of a password signed is not to be passed over.
    pub fn open(&self, seal: &str, now_ms: i64) -> Result<Payload, SealError> {
        if seal.len() > MAX_SEAL_BYTES {
            return Err(SealError::NotOurs);
        }
        let parts = SealParts::split(seal).ok_or(SealError::NotOurs)?;
        if !is_live(parts.expiration, now_ms) {
            return Err(SealError::Expired);
        }
        // The MAC comes before any decoding: base64, AES, padding and JSON see only what a holder
        // of a password wrote.
        let mut passwords = self.passwords.iter();
        let password = passwords.find(|password| parts.is_signed_by(password));
        let password = password.ok_or(SealError::NotOurs)?;
        Ok(Payload::of(parts.decrypt(password)))
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").finish_non_exhaustive()
    }
}

/// A password as HMAC-SHA-1's inner and outer state: all that deriving keys takes, so the password
/// itself need not be kept and its padding is hashed once, not with every seal.
#[derive(Clone)]
struct KeyedPassword(hmac::Key);

impl KeyedPassword {
    fn new(password: &str) -> Self {
        let sha1 = HMAC_SHA1_FOR_LEGACY_USE_ONLY;
        Self(hmac::Key::new(sha1, password.as_bytes()))
    }

    /// PBKDF2 with one iteration: block `i` is HMAC(password, salt ‖ i), here two blocks of 20
    /// bytes cut to 32. One iteration is iron's choice; it is why a password must be long.
    /// The salt is the text as it stands in the seal: iron never decodes its hex.
    fn derive(&self, salt: &str) -> [u8; 32] {
        let mut salted = hmac::Context::with_key(&self.0);
        salted.update(salt.as_bytes());
        let block = |i: u32| {
            let mut block = salted.clone();
            block.update(&i.to_be_bytes());
            block.sign()
        };
        let mut key = [0; 32];
        key[..20].copy_from_slice(block(1).as_ref());
        key[20..].copy_from_slice(&block(2).as_ref()[..12]);
        key
    }
}

/// A seal taken apart; nothing in it is trusted yet.
struct SealParts<'a> {
    /// The text of the first six parts, which the MAC covers.
    signed: &'a str,
    enc_salt: &'a str,
    iv: &'a str,
    ciphertext: &'a str,
    expiration: &'a str,
    mac_salt: &'a str,
    mac: &'a str,
}

impl<'a> SealParts<'a> {
    fn split(seal: &'a str) -> Option<Self> {
        let mut from_end = seal.rsplitn(3, '*');
        let (mac, mac_salt) = (from_end.next()?, from_end.next()?);
        let signed = from_end.next()?;

        let mut fields = signed.split('*');
        // The id picks one of several passwords where iron is given a table of them. h3 gives it a
        // single one, and then iron ignores the id.
        let [
            Some("Fe26.2"),
            Some(_id),
            Some(enc_salt),
            Some(iv),
            Some(ciphertext),
            Some(expiration),
            None,
        ] = std::array::from_fn(|_| fields.next())
        else {
            return None;
        };

        // iron takes an empty salt for "draw a random one", with which no MAC matches.
        if mac_salt.is_empty() {
            return None;
        }
        Some(Self {
            signed,
            enc_salt,
            iv,
            ciphertext,
            expiration,
            mac_salt,
            mac,
        })
    }

    /// Compares the MACs' base64 text, as iron does: decoding first would let several spellings of
    /// one MAC pass (the last character has two unused bits).
    fn is_signed_by(&self, password: &KeyedPassword) -> bool {
        let key = hmac::Key::new(HMAC_SHA256, &password.derive(self.mac_salt));
        let mac = hmac::sign(&key, self.signed.as_bytes());
        let expected = BASE64_URL_SAFE_NO_PAD.encode(mac);
        expected.as_bytes().ct_eq(self.mac.as_bytes()).into()
    }

    fn decrypt(&self, password: &KeyedPassword) -> Option<Vec<u8>> {
        // Here too a random salt, so iron itself would decrypt it to noise.
        if self.enc_salt.is_empty() {
            return None;
        }
        let iv = BASE64_URL_SAFE_NO_PAD.decode(self.iv).ok()?;
        let ciphertext = BASE64_URL_SAFE_NO_PAD.decode(self.ciphertext).ok()?;
        let key = password.derive(self.enc_salt);
        cbc::Decryptor::<Aes256>::new_from_slices(&key, &iv)
            .ok()?
            .decrypt_padded_vec::<Pkcs7>(&ciphertext)
            .ok()
    }
}

/// Empty means never; anything else must be digits alone, so "0" is a moment long past and "-1",
/// "9e99" or "0xff" are no seal.
fn is_live(expiration: &str, now_ms: i64) -> bool {
    if expiration.is_empty() {
        return true;
    }
    if !expiration.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    // Of digits only, parsing fails for one reason: they exceed an i64, and with it every clock.
    let expires_ms: i64 = expiration.parse().unwrap_or(i64::MAX);
    expires_ms > now_ms.saturating_sub(CLOCK_SKEW_MS)
}
