//! What a seal holds: JSON, read as JavaScript would read it, and the session in it.

use std::fmt;

use serde_json::{Number, Value};

use crate::session::User;

/// Where h3's payload names the user, unless configured otherwise: a JSON pointer (RFC 6901).
pub const DEFAULT_SUBJECT_POINTER: &str = "/data/user/id";

/// What a genuine seal holds: any JSON, not necessarily a session. It may carry personal data, so
/// it prints as nothing.
#[derive(Clone, PartialEq)]
pub struct Payload(Value);

impl Payload {
    /// The JSON in these bytes, if that is what they are.
    pub(super) fn parse(json: &[u8]) -> Option<Self> {
        parse_as_javascript(json).map(Self)
    }

    /// The JSON as it was sealed.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.0
    }

    /// The logged-in session in this payload, or `None` if it is something else: h3 seals an
    /// anonymous session for every visitor, and other seals may be made with the same password.
    ///
    /// `subject_pointer` says where the user's name is found, see [`DEFAULT_SUBJECT_POINTER`].
    #[must_use]
    pub fn session(&self, subject_pointer: &str) -> Option<SealClaims> {
        let id = self.0.get("id")?.as_str()?;
        let created_at_ms = self.0.get("createdAt")?.as_number().map(whole)?;
        let user = self.0.get("data")?.get("user")?;
        if id.is_empty() || !is_truthy(user) {
            return None;
        }
        Some(SealClaims {
            id: id.to_owned(),
            created_at_ms,
            user: self.0.pointer(subject_pointer).and_then(subject),
        })
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Payload(..)")
    }
}

/// A logged-in session that lives in its cookie. Whether it is too old, from the future or revoked
/// is the caller's to judge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealClaims {
    /// h3's id of the session. It stays the same when h3 seals the session anew.
    pub id: String,
    /// When h3 began the session, in milliseconds since the epoch, unchecked.
    pub created_at_ms: i64,
    /// Whose session it is; `None` if the payload names nobody whom a header could carry.
    pub user: Option<User>,
}

/// A JSON number as whole milliseconds; one beyond an i64 becomes the nearest i64.
fn whole(number: &Number) -> i64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "cutting the fraction and saturating are what is wanted"
    )]
    let from_float = |float: f64| float as i64;
    number
        .as_i64()
        .unwrap_or_else(|| number.as_f64().map_or(i64::MAX, from_float))
}

/// JavaScript's `!!value`: nuxt-auth-utils asks no more of `data.user`.
fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
    }
}

/// The user's name, if a user can be named so: a number in the payload is a name too.
fn subject(value: &Value) -> Option<User> {
    match value {
        Value::String(text) => User::new(text).ok(),
        Value::Number(number) if number.is_i64() || number.is_u64() => {
            User::new(&number.to_string()).ok()
        }
        _ => None,
    }
}

/// `JSON.parse`, which takes one thing that `serde_json` does not: half a surrogate pair, written
/// `"\ud83d"`. `JSON.stringify` makes that of a text cut in the middle of an emoji. A session with
/// such a user name is alive for h3, so it must be for us.
fn parse_as_javascript(json: &[u8]) -> Option<Value> {
    serde_json::from_slice(json).ok().or_else(|| {
        let mended = mend_lone_surrogates(std::str::from_utf8(json).ok()?);
        serde_json::from_str(&mended).ok()
    })
}

/// Replaces every escaped half of a surrogate pair by U+FFFD, and changes nothing else.
fn mend_lone_surrogates(json: &str) -> String {
    let mut mended = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        mended.push_str(&rest[..at]);
        let escape = &rest[at..];
        let next = escape.get(6..).and_then(escaped_unit);
        let (written, read) = match (escaped_unit(escape), next) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => (&escape[..12], 12),
            (Some(0xD800..=0xDFFF), _) => (r"\ufffd", 6),
            // An escaped backslash is read whole, lest its second half begin an escape.
            _ if escape.starts_with(r"\\") => (r"\\", 2),
            _ => (r"\", 1),
        };
        mended.push_str(written);
        rest = &escape[read..];
    }
    mended.push_str(rest);
    mended
}

/// The UTF-16 code unit that a text beginning with `\uXXXX` begins with.
fn escaped_unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix(r"\u")?.get(..4)?;
    u16::from_str_radix(digits, 16).ok()
}
