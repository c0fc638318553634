//! What a presented value is worth before any store is asked: it may name a session of ours, or
//! be a sealed session, or neither.

use std::time::Duration;

use super::sealed::{Content, Opener, SEAL_PREFIX, SealError};
use super::{CLOCK_SKEW, Moment, SealedSession, SessionId, SessionToken, Timestamp};
use crate::rate_limit::RateLimit;

/// How sealed sessions are opened and read.
pub struct Seals {
    opener: Opener,
    subject_pointer: String,
    not_ours: RateLimit,
}

/// What one presented value is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Credential {
    /// It may be the token of a session in the store.
    Issued(SessionId),
    /// A seal whose session is within its lifetime; the store knows whether it was revoked.
    Sealed(SealedSession),
    /// A seal that opens, dated further ahead than clocks differ, or over by only one of our two
    /// clocks: no session now, but one that can be revoked before it begins, or lives again.
    NotYetValid(SealedSession),
    /// A seal that opens, for a session that is over, or for none that could be looked up or
    /// revoked. The web app, which asks little more than that it opens, may take it.
    Rejected,
    /// What has the shape of neither a token nor a seal, a seal that does not open, or one in which
    /// nobody is logged in.
    Unrecognized,
}

impl Credential {
    /// The name of the session, if it names one.
    pub(super) const fn id(&self) -> Option<SessionId> {
        match self {
            Self::Issued(id) => Some(*id),
            Self::Sealed(sealed) | Self::NotYetValid(sealed) => Some(sealed.id),
            Self::Rejected | Self::Unrecognized => None,
        }
    }

    /// What `token` is at this moment; sealed sessions live for `ttl`.
    pub(super) fn of(
        token: &SessionToken,
        seals: Option<&Seals>,
        at: Moment,
        ttl: Duration,
    ) -> Self {
        match seals.filter(|_| token.expose().starts_with(SEAL_PREFIX)) {
            Some(seals) => seals.judge(token.expose(), at, ttl),
            None if token.is_one_of_ours() => Self::Issued(SessionId::of(token)),
            None => Self::Unrecognized,
        }
    }
}

impl Seals {
    /// Seals that `opener` opens; `subject_pointer` says where the payload names the user: a JSON
    /// pointer (RFC 6901).
    #[must_use]
    pub fn new(opener: Opener, subject_pointer: String) -> Self {
        Self {
            opener,
            subject_pointer,
            not_ours: RateLimit::default(),
        }
    }

    fn judge(&self, seal: &str, at: Moment, ttl: Duration) -> Credential {
        let open = |now: Timestamp| self.opener.open(seal, now.as_millis());
        let payload = match open(at.earliest()) {
            Ok(payload) => payload,
            Err(error) => {
                self.warn_of(error);
                return Credential::Unrecognized;
            }
        };
        let claims = match payload.session(&self.subject_pointer) {
            Content::Session(claims) => claims,
            Content::Anonymous => return Credential::Unrecognized,
            Content::Malformed => return Credential::Rejected,
        };
        let created_at = Timestamp::from_millis(claims.created_at_ms);
        let expires_at = created_at.plus(ttl);
        let session = SealedSession {
            id: SessionId::of_seal(&claims.id),
            user: claims.user,
            created_at,
            expires_at,
        };
        if at.is_past(expires_at) || at.is_too_old(created_at) {
            Credential::Rejected
        } else if created_at > at.now.plus(CLOCK_SKEW)
            || expires_at <= at.now
            || (at.ahead_by > 0 && open(at.now).is_err())
        {
            Credential::NotYetValid(session)
        } else {
            Credential::Sealed(session)
        }
    }

    /// One forged seal is nothing to report, but that the passwords of two services differ is seen
    /// nowhere else: to clients it looks like sessions that were over already.
    fn warn_of(&self, error: SealError) {
        if error != SealError::NotOurs {
            return;
        }
        self.not_ours.note(|| {
            |times| {
                tracing::warn!(
                    times,
                    "a sealed cookie came that no sealed password opens: compare the password with \
                     the web app's, quotes around it too; seals of h3 2 are not supported"
                );
            }
        });
    }
}
