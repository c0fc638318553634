//! What a presented value is worth before any store is asked: it may name a session of ours, or
//! be a sealed session, or be nothing.

use std::time::Duration;

use super::sealed::{Opener, SEAL_PREFIX};
use super::{Moment, SealedSession, SessionId, SessionToken, Timestamp};

/// How far ahead of ours the clock of the sealing web app may be.
const SEAL_CLOCK_SKEW: Duration = Duration::from_mins(1);

/// How sealed sessions are opened and read.
pub struct Seals {
    /// Holds the passwords.
    pub opener: Opener,
    /// Where the payload names the user: a JSON pointer (RFC 6901).
    pub subject_pointer: String,
}

/// What one presented value is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Credential {
    /// It may be the token of a session in the store.
    Issued(SessionId),
    /// A seal whose session is within its lifetime; the store knows whether it was revoked.
    Sealed(SealedSession),
    /// A seal that opens, dated further ahead than clocks differ: not a session yet, but one that
    /// can be revoked before it begins.
    Early(SealedSession),
    /// A seal that opens, for a session that is over. The web app, which asks no more than that
    /// it opens, would take it.
    Over,
    /// A seal that does not open, or holds no session.
    Nothing,
}

impl Credential {
    /// What `token` is at this moment; sealed sessions live for `ttl`.
    pub(super) fn of(
        token: &SessionToken,
        seals: Option<&Seals>,
        at: Moment,
        ttl: Duration,
    ) -> Self {
        match seals.filter(|_| token.expose().starts_with(SEAL_PREFIX)) {
            Some(seals) => seals.judge(token.expose(), at.now, ttl),
            None => Self::Issued(SessionId::of(token)),
        }
    }
}

impl Seals {
    fn judge(&self, seal: &str, now: Timestamp, ttl: Duration) -> Credential {
        let payload = self.opener.open(seal, now.as_millis());
        let claims = payload.and_then(|payload| payload.session(&self.subject_pointer));
        let Some(claims) = claims else {
            return Credential::Nothing;
        };
        let created_at = Timestamp::from_millis(claims.created_at_ms);
        let expires_at = created_at.plus(ttl);
        let session = SealedSession {
            id: SessionId::of_seal(&claims.id),
            user: claims.user,
            created_at,
            expires_at,
        };
        if created_at > now.plus(SEAL_CLOCK_SKEW) {
            Credential::Early(session)
        } else if expires_at <= now {
            Credential::Over
        } else {
            Credential::Sealed(session)
        }
    }
}
