//! What the suite is made of: moments, users, sessions.
//!
//! Times are built around the real present with lifetimes of an hour and more, because stores
//! such as Redis expire keys by a clock of their own; within that, `Moment::now` is moved by hand
//! and nobody sleeps.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use neptun_auth::session::{
    Clock as _, Label, Moment, SealedSession, Session, SessionId, SessionStore, SystemClock,
    Timestamp, User,
};

pub(super) const MILLISECOND: Duration = Duration::from_millis(1);
pub(super) const MINUTE: Duration = Duration::from_mins(1);
pub(super) const HOUR: Duration = Duration::from_hours(1);

/// The present, without a rule. Never twice the same call in a case: time is passed on.
pub(super) fn present() -> Moment {
    Moment::of(SystemClock.now())
}

pub(super) fn later(at: Moment, span: Duration) -> Moment {
    let now = at.now.plus(span);
    Moment { now, ..at }
}

pub(super) fn earlier(at: Moment, span: Duration) -> Moment {
    let now = at.now.minus(span);
    Moment { now, ..at }
}

/// The same moment, seen while the wall clock is ahead of what it was by so many hours (behind, if
/// negative), and the steady clock is not.
pub(super) fn set_ahead(at: Moment, hours: i64) -> Moment {
    let millis = hours * 60 * 60 * 1_000;
    Moment {
        now: Timestamp::from_millis(at.now.as_millis() + millis),
        ahead_by: at.ahead_by + millis,
        ..at
    }
}

pub(super) fn user(name: &str) -> User {
    User::new(name).unwrap()
}

/// An id that no other call gives. Scattered like a digest (stores may rely on that), and the
/// same in every run.
pub(super) fn fresh_id() -> SessionId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut digest = [0; 32];
    for (chunk, lane) in digest.chunks_exact_mut(8).zip(1_u64..) {
        // The finaliser of SplitMix64, a bijection: ids differ wherever numbers do.
        let mut mixed = number.wrapping_mul(4).wrapping_add(lane);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        chunk.copy_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes());
    }
    SessionId::from_bytes(digest)
}

/// A session of `user` that begins at `at` and lives for an hour; every other has a label.
pub(super) fn session_of(user: &User, at: Moment) -> Session {
    let id = fresh_id();
    let label = Label::new(&format!("\u{1f98a} {user}")).ok();
    Session {
        id,
        user: user.clone(),
        created_at: at.now,
        last_seen_at: at.now,
        expires_at: at.now.plus(HOUR),
        label: label.filter(|_| id.as_bytes()[0].is_multiple_of(2)),
    }
}

/// A sealed session that began at `at` and lives for an hour.
pub(super) fn sealed_of(user: Option<&User>, at: Moment) -> SealedSession {
    SealedSession {
        id: fresh_id(),
        user: user.cloned(),
        created_at: at.now,
        expires_at: at.now.plus(HOUR),
    }
}

pub(super) async fn kept(store: &dyn SessionStore, user: &User, at: Moment) -> Session {
    let session = session_of(user, at);
    store.insert(session.clone(), at).await.unwrap();
    session
}

pub(super) async fn list(store: &dyn SessionStore, user: &User, at: Moment) -> Vec<Session> {
    store.list(user, at).await.unwrap().sessions
}

/// More than a whole round of any store's sweep.
pub(super) async fn sweep_all(store: &dyn SessionStore, at: Moment) {
    for _ in 0..260 {
        store.sweep(at).await.unwrap();
    }
}

pub(super) fn ids(sessions: &[Session]) -> Vec<SessionId> {
    let mut ids: Vec<SessionId> = sessions.iter().map(|session| session.id).collect();
    ids.sort();
    ids
}
