//! What a seal holds: JSON, read as JavaScript would read it, and the session in it.

use std::fmt;

use super::json::{Json, Value};
use crate::session::User;

/// Where h3's payload names the user, unless configured otherwise: a JSON pointer (RFC 6901).
pub const DEFAULT_SUBJECT_POINTER: &str = "/data/user/id";

/// What a genuine seal holds: any JSON, not necessarily a session, or bytes that are none. It may
/// carry personal data, so it prints as nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload(Option<Json>);

/// What a payload says of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Somebody is logged in.
    Session(SealClaims),
    /// Nobody is: h3 seals an anonymous session for every visitor, and other seals may be made
    /// with the same password.
    Anonymous,
    /// Somebody may be, as far as the web app can tell, in a session that cannot be told apart from
    /// others or has no beginning.
    Malformed,
}

impl Payload {
    /// What was decrypted; `None` for what could not be.
    pub(super) fn of(plaintext: Option<Vec<u8>>) -> Self {
        let text = plaintext.and_then(|bytes| String::from_utf8(bytes).ok());
        Self(text.and_then(Json::parse))
    }

    /// The JSON as it was sealed, if it is JSON.
    #[must_use]
    pub fn json(&self) -> Option<&str> {
        self.0.as_ref().map(Json::text)
    }

    /// The session in this payload.
    ///
    /// Somebody is logged in if `subject_pointer` finds a user, see [`DEFAULT_SUBJECT_POINTER`], or
    /// if `data.user` is truthy: nuxt-auth-utils asks no more.
    #[must_use]
    pub fn session(&self, subject_pointer: &str) -> Content {
        let Some(payload) = self.0.as_ref().map(Json::root) else {
            return Content::Malformed;
        };
        let named = payload.pointer(subject_pointer);
        let user = named.and_then(subject);
        let data_user = payload.member("data").and_then(|data| data.member("user"));
        if user.is_none() && ![named, data_user].into_iter().flatten().any(is_truthy) {
            return Content::Anonymous;
        }
        let id = payload.member("id").and_then(Value::string);
        let created_at_ms = payload.member("createdAt").and_then(whole);
        match (id, created_at_ms) {
            (Some(id), Some(created_at_ms)) if !id.is_empty() => Content::Session(SealClaims {
                id: id.into_owned(),
                created_at_ms,
                user,
            }),
            _ => Content::Malformed,
        }
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
fn whole(value: Value<'_>) -> Option<i64> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "cutting the fraction and saturating are what is wanted"
    )]
    let from_float = |float: f64| float as i64;
    value.number().map(from_float)
}

/// JavaScript's `!!value`.
fn is_truthy(value: Value<'_>) -> bool {
    !matches!(value.text(), "null" | "false" | "\"\"") && value.number() != Some(0.0)
}

/// The user's name, if a user can be named so: a whole number in the payload is a name too.
fn subject(value: Value<'_>) -> Option<User> {
    let name = value.string().or_else(|| {
        let digits = value.text().trim_start_matches('-');
        let is_whole = digits.bytes().all(|byte| byte.is_ascii_digit());
        (is_whole && value.text() != "-0").then(|| value.text().into())
    })?;
    User::new(&name).ok()
}
