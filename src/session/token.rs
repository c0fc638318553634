//! The secret in the cookie and the public name made from it.
//!
//! A [`SessionToken`] is worth a login, so it is never stored, logged or compared: everything
//! below the HTTP edge knows a session by its [`SessionId`], the SHA-256 of the token. Tokens
//! carry 256 bits from the operating system, which is why a plain digest is enough: there is
//! nothing to guess, so nothing a slow hash or a secret key would protect.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{Context, Digest, SHA256, digest};

/// Longest cookie value that is looked at, in bytes.
pub const MAX_TOKEN_BYTES: usize = 4096;

/// Length of a token: 256 bits, six to a character.
const TOKEN_CHARACTERS: usize = 43;

/// The secret a client presents in the cookie. Its `Debug` prints nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionToken(Box<str>);

impl SessionToken {
    /// A fresh token: 256 bits from the operating system, base64url without padding (43
    /// characters, none of which a cookie, a URL or an ini file needs to escape).
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)?;
        Ok(Self(URL_SAFE_NO_PAD.encode(secret).into_boxed_str()))
    }

    /// Takes a cookie's value as it came; `None` if it is not legal: empty, longer than
    /// [`MAX_TOKEN_BYTES`], or with a byte outside RFC 6265's `cookie-octet`.
    #[must_use]
    pub fn from_cookie_value(value: &[u8]) -> Option<Self> {
        // Each byte is looked at, so that several can be at a time.
        let octets = value
            .iter()
            .fold(true, |all, byte| all & is_cookie_octet(*byte));
        let legal = octets && !value.is_empty() && value.len() <= MAX_TOKEN_BYTES;
        let text = legal.then(|| std::str::from_utf8(value).ok()).flatten()?;
        Some(Self(text.into()))
    }

    /// Takes a seal, which may be longer: it can come in a header too.
    #[must_use]
    pub fn from_seal(text: &str) -> Self {
        Self(text.into())
    }

    /// Whether [`generate`](Self::generate) can have made it. What names a session is the digest
    /// of the text, so another spelling of the same bits names none.
    pub(super) fn is_one_of_ours(&self) -> bool {
        let Ok(text) = <&[u8; TOKEN_CHARACTERS]>::try_from(self.0.as_bytes()) else {
            return false;
        };
        // Two of the last character's six bits stand for nothing.
        let ends_well = b"AEIMQUYcgkosw048".contains(&text[TOKEN_CHARACTERS - 1]);
        let is_digit =
            |byte: u8| matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
        // Each byte is looked at, so that several can be at a time.
        ends_well && text.iter().fold(true, |all, byte| all & is_digit(*byte))
    }

    /// The secret itself, for the one answer that may show it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionToken(redacted)")
    }
}

/// RFC 6265, section 4.1.1: printable US-ASCII without space, `"`, `,`, `;` and `\`.
const fn is_cookie_octet(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x2B | 0x2D..=0x3A | 0x3C..=0x5B | 0x5D..=0x7E)
}

/// The public name of a session: the SHA-256 of its token, written as 64 lower-case hex digits.
/// Safe to log, to list and to store.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId([u8; 32]);

impl SessionId {
    /// The id of the session that `token` belongs to, should there be one.
    #[must_use]
    pub fn of(token: &SessionToken) -> Self {
        Self::from_digest(&digest(&SHA256, token.0.as_bytes()))
    }

    /// The id of the sealed session that calls itself `id`. Of another kind than a token's, so
    /// that no token can be chosen to collide with it.
    #[must_use]
    pub fn of_seal(id: &str) -> Self {
        let mut digest = Context::new(&SHA256);
        digest.update(b"seal:");
        digest.update(id.as_bytes());
        Self::from_digest(&digest.finish())
    }

    fn from_digest(digest: &Digest) -> Self {
        let mut id = Self([0; 32]);
        // SHA-256 has as many bytes.
        id.0.copy_from_slice(digest.as_ref());
        id
    }

    /// The id with this digest; for stores that read it back.
    #[must_use]
    pub const fn from_bytes(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The digest.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// As it is written, in this space.
    pub fn hex<'a>(&self, digits: &'a mut [u8; 64]) -> &'a str {
        // There is room for it.
        base16ct::lower::encode_str(&self.0, digits).unwrap_or_default()
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.hex(&mut [0; 64]))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}

/// The text was not 64 lower-case hex digits.
#[derive(Debug, thiserror::Error)]
#[error("not a session id: 64 lower-case hex digits expected")]
pub struct InvalidSessionId;

impl FromStr for SessionId {
    type Err = InvalidSessionId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut digest = [0; 32];
        match base16ct::lower::decode(text, &mut digest) {
            Ok(decoded) if decoded.len() == 32 => Ok(Self(digest)),
            _ => Err(InvalidSessionId),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_of_a_token_prints_nothing_of_it() {
        let token = SessionToken::generate().unwrap();
        let printed = format!("{token:?} {token:#?}");
        assert!(!printed.contains(token.expose()));
        assert!(!printed.contains(&token.expose()[..6]));
    }

    #[test]
    fn tokens_are_43_base64url_characters_and_differ() {
        let (one, other) = (
            SessionToken::generate().unwrap(),
            SessionToken::generate().unwrap(),
        );
        assert_ne!(one, other);
        assert_eq!(URL_SAFE_NO_PAD.decode(one.expose()).unwrap().len(), 32);
        assert_eq!(one.expose().len(), TOKEN_CHARACTERS);
    }

    #[test]
    fn one_of_ours_is_what_generate_can_make_and_nothing_else() {
        let token = |text: &str| SessionToken::from_cookie_value(text.as_bytes()).unwrap();
        for _ in 0..100 {
            assert!(SessionToken::generate().unwrap().is_one_of_ours());
        }
        let bits = "-_0123456789abcdefghijklmnopqrstuvwxyzABCD";
        for last in "AEIMQUYcgkosw048".chars() {
            assert!(token(&format!("{bits}{last}")).is_one_of_ours());
        }
        for last in ["B", "_", "=", "+", "%", "", "AA", "A=", "AAAA"] {
            assert!(!token(&format!("{bits}{last}")).is_one_of_ours(), "{last}");
        }
        assert!(!token(&format!("{}+A", &bits[1..])).is_one_of_ours());
        assert!(!token(&"A".repeat(MAX_TOKEN_BYTES)).is_one_of_ours());
    }

    #[test]
    fn exactly_the_cookie_octets_are_legal() {
        for byte in 0..=u8::MAX {
            let legal = SessionToken::from_cookie_value(&[b'a', byte]).is_some();
            let expected = byte.is_ascii_graphic() && !b"\",;\\".contains(&byte);
            assert_eq!(legal, expected, "byte {byte:#04x}");
        }
        assert!(SessionToken::from_cookie_value(b"").is_none());
        assert!(SessionToken::from_cookie_value(&[b'a'; MAX_TOKEN_BYTES]).is_some());
        assert!(SessionToken::from_cookie_value(&[b'a'; MAX_TOKEN_BYTES + 1]).is_none());
    }

    #[test]
    fn an_id_is_the_sha256_in_hex_and_reads_back() {
        let token = SessionToken::from_cookie_value(b"abc").unwrap();
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(SessionId::of(&token).to_string(), hex);
        assert_eq!(hex.parse::<SessionId>().unwrap(), SessionId::of(&token));
        assert!(hex.to_uppercase().parse::<SessionId>().is_err());
        for bad in [&hex[1..], &hex[2..], &format!("{hex}00"), ""] {
            assert!(bad.parse::<SessionId>().is_err(), "{bad}");
        }
    }
}
