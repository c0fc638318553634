//! What lies in Redis: the keys, the form of a record, and how long each is kept.
//!
//! All under one prefix (`neptun-auth:` by default); `<id>` is the session's public id, the
//! SHA-256 of its token in 64 hex digits. Tokens are nowhere.
//!
//! | key | type | value | expires |
//! |---|---|---|---|
//! | `s:<id>` | string | a session: `<created> <last seen> <expires> <user>`, and if it has a label, that on a second line | at the session's deadline |
//! | `u:<user>` | sorted set | the ids of the user's sessions, by the moment they expire | with the last of them |
//! | `r:<id>` | string | this sealed session is revoked (empty) | when the seal does |
//! | `m:<user>` | string | the user's sealed sessions created up to `<moment>` are revoked (two moments, `<wall> <steady>`, if the clocks disagreed) | when the last of them does |
//! | `w:<n>` | string | empty; written before each `WAIT`, see `conn` | a day after its last use |
//!
//! Moments are milliseconds since the epoch. `redis-cli GET neptun-auth:s:<id>` shows one session,
//! `ZRANGE neptun-auth:u:<user> 0 -1` those of a user.
//!
//! **Expiry only tidies up.** Whether a session is over is judged from its record and the caller's
//! moment. A key is given the time that is left plus [`GRACE`], as a span and not as a date, so
//! that neither a clock of ours nor the server's that is off can end a session early. A clock of
//! ours that was set while the process lives makes the span longer, never shorter: see [`keep`].
//!
//! **Every command touches one key**, so the same commands serve a cluster. An operation on two
//! keys is split so that a crash between the steps is harmless:
//!
//! - *Issue* writes the record, then the index. In between, the session is not listed, but nobody
//!   has been told its token either; it expires.
//! - *End* takes the record (`GETDEL`: exactly one caller gets it), then cleans the index. In
//!   between, the index names a session that is gone. Whoever reads the index looks each id up, so
//!   nobody believes it; readers remove such ids, and the id's own score does in the end.
//! - *End all of a user* reads the index page by page, takes each record, then removes from the
//!   index exactly the ids it has read. A login that races with it has either entered the index
//!   before the last read, and is counted, or after, and survives whole: its id is not among those
//!   removed. After a crash in the middle the index still names what is left.
//! - *Trim* does the same, but looks the records up first if it is to spare the last ones. No script
//!   could: a cluster has a user's sessions on many servers. None is needed either: a session is
//!   taken only when as many later ones have been seen live, so of logins at once none ends the
//!   last. See [`Trim`](crate::session::Trim).
//! - *Use* renews the record, then enters the session in the index again, should it have been lost
//!   there (a failover can lose one key's last writes and keep another's).

use std::time::Duration;

use crate::session::{Label, Moment, NotBefore, Session, SessionId, Timestamp, User};

/// How much longer than needed a key is kept. More than clocks are apart, so that a session which
/// one replica holds to be live is not gone because another's clock is ahead.
pub(super) const GRACE: Duration = Duration::from_mins(1);

/// No key is kept for longer, in milliseconds: about 3000 years, far from the server's limit.
const LONGEST: i64 = 100_000_000_000_000;

/// The names of the keys.
pub(super) struct Layout {
    prefix: String,
}

impl Layout {
    pub(super) const fn new(prefix: String) -> Self {
        Self { prefix }
    }

    pub(super) fn session(&self, id: &SessionId) -> String {
        format!("{}s:{id}", self.prefix)
    }

    pub(super) fn index(&self, user: &User) -> String {
        format!("{}u:{user}", self.prefix)
    }

    pub(super) fn revocation(&self, id: &SessionId) -> String {
        format!("{}r:{id}", self.prefix)
    }

    pub(super) fn mark(&self, user: &User) -> String {
        format!("{}m:{user}", self.prefix)
    }

    pub(super) fn fence(&self, number: u16) -> String {
        format!("{}w:{number}", self.prefix)
    }

    /// A key that never is.
    pub(super) fn no_key(&self) -> String {
        format!("{}w:", self.prefix)
    }
}

/// For how many milliseconds from now a key is kept that is needed until `until`, for what lives no
/// longer than `lifetime`: what is left by the wall clock, or by the steady one if that is more.
/// That clock may be far behind, but what exists by now has no more left than its whole lifetime.
pub(super) fn keep(at: Moment, until: Timestamp, lifetime: Duration) -> i64 {
    let steady = left(at.steady(), until).min(millis(lifetime));
    with_grace(left(at.now, until).max(steady))
}

/// The same for a user's mark, which is needed for as long after now as sealed sessions live.
pub(super) fn keep_mark(at: Moment, until: Timestamp) -> i64 {
    with_grace(left(at.latest(), until))
}

fn left(now: Timestamp, until: Timestamp) -> i64 {
    until.as_millis().saturating_sub(now.as_millis()).max(0)
}

fn with_grace(left: i64) -> i64 {
    left.saturating_add(millis(GRACE)).min(LONGEST)
}

/// Reads a mark back; `None` if it is not one.
pub(super) fn read_mark(mark: &str) -> Option<NotBefore> {
    let (wall, steady) = mark.split_once(' ').unwrap_or((mark, mark));
    let moment = |text: &str| text.parse().ok().map(Timestamp::from_millis);
    Some(NotBefore {
        wall: moment(wall)?,
        steady: moment(steady)?,
    })
}

/// A span in whole milliseconds.
pub(super) fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// A session as it is written under its key.
pub(super) fn record(session: &Session) -> String {
    let mut record = format!(
        "{} {} {} {}",
        session.created_at.as_millis(),
        session.last_seen_at.as_millis(),
        session.expires_at.as_millis(),
        session.user
    );
    if let Some(label) = &session.label {
        record.push('\n');
        record.push_str(label.as_str());
    }
    record
}

/// Reads a record back; `None` if it is not one.
pub(super) fn read_record(id: SessionId, record: &str) -> Option<Session> {
    let mut fields = record.splitn(4, ' ');
    let mut moment = || fields.next()?.parse().ok().map(Timestamp::from_millis);
    let (created_at, last_seen_at, expires_at) = (moment()?, moment()?, moment()?);
    // Neither a user nor a label has a line break.
    let user = fields.next()?;
    let (user, label) = match user.split_once('\n') {
        Some((user, label)) => (user, Some(Label::new(label).ok()?)),
        None => (user, None),
    };
    Some(Session {
        id,
        user: User::new(user).ok()?,
        created_at,
        last_seen_at,
        expires_at,
        label,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_and_nothing_else_is_one() {
        let session = Session {
            id: SessionId::from_bytes([7; 32]),
            user: User::new("a user {with} spaces").unwrap(),
            created_at: Timestamp::from_millis(-1),
            last_seen_at: Timestamp::from_millis(2),
            expires_at: Timestamp::from_millis(i64::MAX),
            label: None,
        };
        let written = record(&session);
        assert_eq!(written, format!("-1 2 {} a user {{with}} spaces", i64::MAX));
        assert_eq!(read_record(session.id, &written).unwrap(), session);
        let label = Label::new(" a label ").ok();
        let labelled = Session { label, ..session };
        let second_line = record(&labelled);
        assert_eq!(second_line, format!("{written}\n a label "));
        assert_eq!(read_record(labelled.id, &second_line).unwrap(), labelled);
        for bad in [
            "",
            "1 2 3",
            "1 2 3 ",
            "a 2 3 u",
            "1 2 3  u",
            "1 2 3 u\n",
            "1 2 3 u\na\nb",
            "1 2 3 \na",
        ] {
            assert!(read_record(session.id, bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn a_key_outlives_its_need_by_the_grace_and_never_overflows() {
        let at = |millis, ahead_by| Moment {
            ahead_by,
            ..Moment::of(Timestamp::from_millis(millis))
        };
        let until = Timestamp::from_millis;
        let (short, long) = (Duration::from_secs(7), Duration::MAX);
        assert_eq!(keep(at(1000, 0), until(3000), long), 62_000);
        assert_eq!(keep(at(1000, 0), until(0), long), 60_000);
        assert_eq!(keep(at(i64::MIN, 0), until(i64::MAX), long), LONGEST);
        // The wall clock is ahead, or has just been put right, or is behind.
        assert_eq!(keep(at(9000, 8000), until(6000), short), 65_000);
        assert_eq!(keep(at(9000, 9000), until(10_000), short), 67_000);
        assert_eq!(keep(at(1000, -8000), until(10_000), short), 69_000);
        for ahead_by in [8000, 0, -8000] {
            let at = at(9000, ahead_by);
            assert_eq!(keep_mark(at, at.latest().plus(short)), 67_000);
        }
    }

    #[test]
    fn a_mark_is_one_moment_or_two_and_nothing_else_is_one() {
        let read = |text| {
            let NotBefore { wall, steady } = read_mark(text)?;
            Some((wall.as_millis(), steady.as_millis()))
        };
        assert_eq!(read("5"), Some((5, 5)));
        assert_eq!(read("5 -3"), Some((5, -3)));
        for bad in ["", " ", "5 ", " 5", "5 3 1", "a", "5 a", "5  3"] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }
}
