//! What a store keeps of a session, and the rule that says whether it is live.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use smol_str::SmolStr;

use super::{SessionId, Timestamp};

/// The subject of a session: 1 to 256 bytes of printable ASCII without leading or trailing
/// space, because it travels in a response header. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct User(SmolStr);

/// The text cannot be a [`User`].
#[derive(Debug, thiserror::Error)]
#[error("a user is 1 to 256 bytes of printable ASCII without leading or trailing space")]
pub struct InvalidUser;

impl User {
    /// Checks and takes a user's name.
    pub fn new(name: &str) -> Result<Self, InvalidUser> {
        let printable = name.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let legal = (1..=256).contains(&name.len()) && printable && name.trim() == name;
        legal.then(|| Self(name.into())).ok_or(InvalidUser)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What tells a user's sessions apart for that user, such as "Firefox on Linux, Vienna": 1 to 128
/// bytes of UTF-8 without control characters, which nobody here reads. It is personal, so it is
/// shown in lists alone, and its `Debug` prints nothing of it. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Label(Arc<str>);

/// The text cannot be a [`Label`].
#[derive(Debug, thiserror::Error)]
#[error("a label is 1 to 128 bytes of UTF-8 without control characters")]
pub struct InvalidLabel;

impl Label {
    /// The most that there is room for in a record, in bytes.
    pub const MAX_BYTES: usize = 128;

    /// Checks and takes a label.
    pub fn new(text: &str) -> Result<Self, InvalidLabel> {
        let legal = (1..=Self::MAX_BYTES).contains(&text.len()) && !text.contains(char::is_control);
        legal.then(|| Self(text.into())).ok_or(InvalidLabel)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Label(redacted)")
    }
}

/// A session as the stores keep it. There is no token in it: only the digest, as its id.
///
/// `U` and `L` are `()` where the user, who has others, and the label, which hardly any has, lie
/// apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session<U = User, L = Option<Label>> {
    /// The public name of the session.
    pub id: SessionId,
    /// Whose session it is.
    pub user: U,
    /// When it was issued.
    pub created_at: Timestamp,
    /// When it was last used, to within [`Moment::touch_interval`].
    pub last_seen_at: Timestamp,
    /// The end of its absolute lifetime.
    pub expires_at: Timestamp,
    /// What its user knows it by.
    pub label: L,
}

impl<U, L> Session<U, L> {
    /// The absolute lifetime it was issued with.
    #[must_use]
    pub fn lifetime(&self) -> Duration {
        self.expires_at.since(self.created_at)
    }

    /// The same session with this user and label, and those it had.
    pub fn exchange<V, M>(self, user: V, label: M) -> (Session<V, M>, U, L) {
        let session = Session {
            id: self.id,
            user,
            created_at: self.created_at,
            last_seen_at: self.last_seen_at,
            expires_at: self.expires_at,
            label,
        };
        (session, self.user, self.label)
    }
}

/// A session that lives in a sealed cookie and not in a store: all a store can keep of it is
/// that it was revoked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SealedSession {
    /// The public name: a digest of the seal's own id.
    pub id: SessionId,
    /// Whose session it is, where the seal names a user that can be one.
    pub user: Option<User>,
    /// When the seal's session began.
    pub created_at: Timestamp,
    /// The end of its absolute lifetime, and so of the need to remember a revocation.
    pub expires_at: Timestamp,
}

impl SealedSession {
    /// The absolute lifetime of sealed sessions.
    #[must_use]
    pub fn lifetime(&self) -> Duration {
        self.expires_at.since(self.created_at)
    }
}

/// A point in time together with the rules in force: all that decides whether a session is live.
/// They are applied at use and not kept in the record, so that a changed `--idle-timeout` or
/// `--sessions-since` holds for the sessions that exist already.
///
/// What is live is judged by the wall clock, which can be set wrong and right again. So nothing is
/// forgotten that is over by the wall clock alone: see [`is_past`](Self::is_past).
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The current time.
    pub now: Timestamp,
    /// By how many milliseconds it is ahead of a clock that nobody sets: 0 unless the wall clock
    /// was set within the last hour.
    pub ahead_by: i64,
    /// How long a session may go unused; `None` for as long as it lives.
    pub idle_timeout: Option<Duration>,
    /// What was made before this is over; [`Timestamp::MIN`] for none.
    pub sessions_since: Timestamp,
}

impl Moment {
    /// This point in time, of a clock that nobody has set, without a rule.
    #[must_use]
    pub const fn of(now: Timestamp) -> Self {
        Self {
            now,
            ahead_by: 0,
            idle_timeout: None,
            sessions_since: Timestamp::MIN,
        }
    }

    /// The current time by the clock that nobody sets.
    #[must_use]
    pub fn steady(&self) -> Timestamp {
        Timestamp::from_millis(self.now.as_millis().saturating_sub(self.ahead_by))
    }

    /// The current time by the clock that is further on: what is made to last from then on lasts
    /// by either.
    #[must_use]
    pub fn latest(&self) -> Timestamp {
        self.now.max(self.steady())
    }

    /// The current time by the clock that is less far on.
    #[must_use]
    pub fn earliest(&self) -> Timestamp {
        self.now.min(self.steady())
    }

    /// Whether `until` is past by both clocks: what is needed until then may be forgotten.
    #[must_use]
    pub fn is_past(&self, until: Timestamp) -> bool {
        until <= self.earliest()
    }

    /// Whether `session` is over by both clocks, and may be forgotten.
    #[must_use]
    pub fn is_over_for_good<U, L>(&self, session: &Session<U, L>) -> bool {
        self.is_past(self.deadline(session))
    }

    /// The first moment at which `session` is over unless it is used before.
    #[must_use]
    pub fn deadline<U, L>(&self, session: &Session<U, L>) -> Timestamp {
        if self.is_too_old(session.created_at) {
            return Timestamp::MIN;
        }
        self.idle_timeout.map_or(session.expires_at, |idle| {
            session.expires_at.min(session.last_seen_at.plus(idle))
        })
    }

    /// Whether `session` is live: its deadline is still to come.
    #[must_use]
    pub fn is_live<U, L>(&self, session: &Session<U, L>) -> bool {
        self.now < self.deadline(session)
    }

    /// Whether a session or seal that was made then is over whatever its lifetime.
    #[must_use]
    pub fn is_too_old(&self, created_at: Timestamp) -> bool {
        created_at < self.sessions_since
    }

    /// How stale `last_seen_at` may be: 1/20 of the idle timeout, or a minute without one. Uses
    /// within that span write nothing.
    #[must_use]
    pub fn touch_interval(&self) -> Duration {
        self.idle_timeout
            .map_or(Duration::from_mins(1), |idle| idle / 20)
    }

    /// Whether a use of `session` at this moment is worth a write.
    #[must_use]
    pub fn touch_is_due<U, L>(&self, session: &Session<U, L>) -> bool {
        self.now >= session.last_seen_at.plus(self.touch_interval())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_what_fits_a_header_and_nothing_else() {
        for good in ["42", "a", "a b", "user@example.com", &"x".repeat(256)] {
            assert_eq!(User::new(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            " a",
            "a ",
            "a\0",
            "a\r\nb",
            "ä",
            "a\tb",
            &"x".repeat(257),
        ] {
            assert!(User::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_label_is_any_text_of_128_bytes_without_control_characters() {
        for good in [
            "a",
            " a ",
            "Firefox on Linux, Vienna",
            "\u{1f98a}",
            &"\u{e9}".repeat(64),
            &"x".repeat(128),
        ] {
            let label = Label::new(good).unwrap();
            assert_eq!(label.as_str(), good);
            assert_eq!(format!("{label:?}"), "Label(redacted)");
        }
        for bad in [
            "",
            "a\nb",
            "\0",
            "\u{7f}",
            "\u{85}",
            &"x".repeat(129),
            &"\u{e9}".repeat(65),
        ] {
            assert!(Label::new(bad).is_err(), "{bad:?}");
        }
    }
}
