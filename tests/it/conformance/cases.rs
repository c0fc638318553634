//! One case for each sentence of the contract, named after it.
//!
//! Times are built around the real present with lifetimes of an hour and more, because stores
//! such as Redis expire keys by a clock of their own; within that, `Moment::now` is moved by hand
//! and nobody sleeps.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, join_all, poll_fn};
use futures_util::stream::FuturesUnordered;
use neptun_auth::session::{
    Clock as _, Label, Moment, SealedSession, Session, SessionId, SessionList, SessionStore,
    SystemClock, Timestamp, User,
};
use tokio::sync::Barrier;

pub(crate) const MILLISECOND: Duration = Duration::from_millis(1);
pub(crate) const MINUTE: Duration = Duration::from_mins(1);
pub(crate) const HOUR: Duration = Duration::from_hours(1);

/// How many tasks race, and for how many sessions in one round.
const RACERS: usize = 4;
const PRIZES: usize = 16;

/// `quiet` cases run alone; `racing` ones spawn tasks on a runtime of several threads and are told
/// how many rounds the backend is good for. A case that is missing here is dead code, and that
/// does not compile.
macro_rules! for_each_case {
    ($open:path) => {
        $crate::conformance::cases::list! { $open;
            quiet:
            absence_is_none_false_or_nothing,
            a_session_that_is_over_is_absent_from_the_very_millisecond_of_its_deadline,
            a_session_that_idled_out_is_absent_from_the_very_millisecond_of_its_deadline,
            a_session_made_before_the_moment_from_which_they_count_is_absent,
            stores_never_read_a_clock_but_judge_by_the_moment_of_the_call,
            nothing_is_forgotten_before_it_is_over_by_both_clocks,
            after_an_ok_the_change_holds,
            asking_again_is_always_safe,
            a_call_may_be_begun_by_one_task_and_awaited_by_another,
            a_future_that_is_dropped_leaves_the_store_whole,
            insert_keeps_a_new_session,
            find_gives_the_live_session_of_this_id_and_no_other,
            find_writes_nothing,
            touch_moves_last_seen_at_forward_to_now_and_says_whether_it_was_live,
            touch_never_brings_a_session_back,
            touch_never_moves_last_seen_at_backward,
            a_touched_session_idles_from_its_last_use,
            a_touch_does_not_outlive_the_absolute_deadline,
            delete_removes_the_session_and_hands_it_over,
            delete_hands_one_that_was_over_to_nobody,
            list_is_the_users_live_sessions_oldest_first,
            list_is_the_thousand_that_expire_last_and_says_whether_there_are_more,
            a_user_may_have_many_sessions,
            users_are_told_apart_by_every_byte_of_their_names,
            delete_all_removes_all_sessions_of_the_user_and_no_others,
            delete_all_hands_one_that_was_over_to_nobody,
            delete_all_without_seals_until_revokes_no_sealed_session,
            delete_all_with_seals_until_revokes_the_sealed_sessions_created_up_to_now,
            a_mark_is_of_one_user,
            a_mark_is_kept_until_that_moment,
            a_later_call_moves_the_mark_forward_never_back,
            a_mark_that_is_ahead_of_the_present_comes_back_to_it,
            a_mark_made_while_the_wall_clock_was_ahead_bars_no_later_login,
            a_mark_made_while_the_wall_clock_was_behind_revokes_what_there_was,
            a_mark_made_when_the_wall_clock_had_been_put_right_revokes_what_there_was,
            revoke_sealed_says_whether_that_ended_it,
            revoke_sealed_ends_none_that_was_revoked_with_its_users_others,
            revoke_sealed_ends_none_that_was_over,
            revoke_sealed_ends_one_that_is_over_by_the_wall_clock_alone,
            a_revocation_is_kept_until_the_sealed_session_expires,
            sealed_sessions_need_no_user,
            sealed_sessions_and_kept_ones_are_told_apart,
            sweep_removes_only_what_is_over,
            a_fresh_store_is_ready_and_empty,
            approximate_len_counts_sessions_and_revocations_where_it_is_known;
            racing:
            delete_hands_the_session_to_exactly_one_caller_however_many_ask_at_once,
            delete_all_hands_the_live_ones_to_exactly_one_caller,
            an_insert_that_races_with_delete_all_is_among_them_or_survives_whole,
            a_touch_that_races_with_a_delete_brings_nothing_back,
            a_sweep_that_races_with_a_delete_takes_nothing_live,
            revoke_sealed_ends_it_for_exactly_one_caller,
            a_mark_that_races_with_revoke_sealed_leaves_it_revoked,
        }
    };
}
pub(crate) use for_each_case;

macro_rules! list {
    ($open:path; quiet: $($quiet:ident),*; racing: $($racing:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $quiet() {
                let backend = $open().await;
                $crate::conformance::cases::$quiet(&*backend.store).await;
            }
        )*
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $racing() {
                let backend = $open().await;
                let store = std::sync::Arc::clone(&backend.store);
                $crate::conformance::cases::$racing(store, backend.rounds).await;
            }
        )*
    };
}
pub(crate) use list;

// What the cases are made of.

/// The present, without an idle timeout. Never twice the same call in a case: time is passed on.
pub(crate) fn present() -> Moment {
    Moment::of(SystemClock.now())
}

pub(crate) fn later(at: Moment, span: Duration) -> Moment {
    let now = at.now.plus(span);
    Moment { now, ..at }
}

fn earlier(at: Moment, span: Duration) -> Moment {
    let now = at.now.minus(span);
    Moment { now, ..at }
}

/// The same moment, seen while the wall clock is ahead of what it was by so many hours (behind, if
/// negative), and the steady clock is not.
pub(crate) fn set_ahead(at: Moment, hours: i64) -> Moment {
    let millis = hours * 60 * 60 * 1_000;
    Moment {
        now: Timestamp::from_millis(at.now.as_millis() + millis),
        ahead_by: at.ahead_by + millis,
        ..at
    }
}

fn idling_out_after(at: Moment, idle: Duration) -> Moment {
    let idle_timeout = Some(idle);
    Moment { idle_timeout, ..at }
}

pub(crate) fn user(name: &str) -> User {
    User::new(name).unwrap()
}

/// An id that no other call gives. Scattered like a digest (stores may rely on that), and the
/// same in every run.
pub(crate) fn fresh_id() -> SessionId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    scattered_id(NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn scattered_id(number: u64) -> SessionId {
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
pub(crate) fn session_of(user: &User, at: Moment) -> Session {
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
pub(crate) fn sealed_of(user: Option<&User>, at: Moment) -> SealedSession {
    SealedSession {
        id: fresh_id(),
        user: user.cloned(),
        created_at: at.now,
        expires_at: at.now.plus(HOUR),
    }
}

async fn kept(store: &dyn SessionStore, user: &User, at: Moment) -> Session {
    let session = session_of(user, at);
    store.insert(session.clone(), at).await.unwrap();
    session
}

async fn assert_absent(store: &dyn SessionStore, session: &Session, at: Moment) {
    assert_eq!(store.find(&session.id, at).await.unwrap(), None);
    let listed = store.list(&session.user, at).await.unwrap().sessions;
    assert!(listed.iter().all(|other| other.id != session.id), "listed");
}

async fn assert_present(store: &dyn SessionStore, session: &Session, at: Moment) {
    let found = store.find(&session.id, at).await.unwrap();
    assert_eq!(found.as_ref(), Some(session));
    let listed = store.list(&session.user, at).await.unwrap().sessions;
    let times = listed.iter().filter(|other| *other == session).count();
    assert_eq!(times, 1, "listed once");
}

/// More than a whole round of any store's sweep.
pub(crate) async fn sweep_all(store: &dyn SessionStore, at: Moment) {
    for _ in 0..600 {
        store.sweep(at).await.unwrap();
    }
}

fn ids(sessions: &[Session]) -> Vec<SessionId> {
    let mut ids: Vec<SessionId> = sessions.iter().map(|session| session.id).collect();
    ids.sort();
    ids
}

// Of every call.

pub(crate) async fn absence_is_none_false_or_nothing(store: &dyn SessionStore) {
    let (at, nobody) = (present(), user("nobody"));
    let unknown = fresh_id();
    assert_eq!(store.find(&unknown, at).await.unwrap(), None);
    assert!(!store.touch(&unknown, at).await.unwrap());
    assert_eq!(store.delete(&unknown, at).await.unwrap(), None);
    assert_eq!(store.list(&nobody, at).await.unwrap().sessions, []);
    assert_eq!(store.delete_all(&nobody, at, None).await.unwrap(), []);
    let sealed = sealed_of(Some(&nobody), at);
    assert!(!store.is_revoked(&sealed, at).await.unwrap());
    // Nor has asking left anything behind.
    assert_eq!(store.find(&unknown, at).await.unwrap(), None);
}

pub(crate) async fn a_session_that_is_over_is_absent_from_the_very_millisecond_of_its_deadline(
    store: &dyn SessionStore,
) {
    let (at, anna) = (present(), user("anna"));
    let session = kept(store, &anna, at).await;
    let deadline = later(at, HOUR);
    assert_present(store, &session, earlier(deadline, MILLISECOND)).await;
    assert_absent(store, &session, deadline).await;
    assert_absent(store, &session, later(deadline, HOUR)).await;
    assert!(!store.touch(&session.id, deadline).await.unwrap());
    assert_absent(store, &session, deadline).await;
}

pub(crate) async fn a_session_that_idled_out_is_absent_from_the_very_millisecond_of_its_deadline(
    store: &dyn SessionStore,
) {
    let (at, anna) = (idling_out_after(present(), 10 * MINUTE), user("anna"));
    let session = kept(store, &anna, at).await;
    let deadline = later(at, 10 * MINUTE);
    assert_present(store, &session, earlier(deadline, MILLISECOND)).await;
    assert_absent(store, &session, deadline).await;
    assert!(!store.touch(&session.id, deadline).await.unwrap());
    assert_absent(store, &session, deadline).await;
}

pub(crate) async fn a_session_made_before_the_moment_from_which_they_count_is_absent(
    store: &dyn SessionStore,
) {
    let (at, anna) = (present(), user("anna"));
    let old = kept(store, &anna, at).await;
    let at = later(at, MILLISECOND);
    let young = kept(store, &anna, at).await;
    let since_then = Moment {
        sessions_since: young.created_at,
        ..later(at, 2 * MINUTE)
    };
    assert_absent(store, &old, since_then).await;
    assert!(!store.touch(&old.id, since_then).await.unwrap());
    assert_present(store, &old, later(at, 2 * MINUTE)).await;
    let listed = store.list(&anna, since_then).await.unwrap().sessions;
    assert_eq!(listed, std::slice::from_ref(&young));
    let ended = store.delete_all(&anna, since_then, None).await.unwrap();
    assert_eq!(ended, [young]);
    let old = kept(store, &anna, at).await;
    let since_then = Moment {
        sessions_since: old.created_at.plus(MILLISECOND),
        ..at
    };
    assert_eq!(store.delete(&old.id, since_then).await.unwrap(), None);
    // What makes room for others is what is over for good.
    kept(store, &anna, at).await;
    sweep_all(store, since_then).await;
    assert!(matches!(store.approximate_len(), None | Some(0)));
}

pub(crate) async fn stores_never_read_a_clock_but_judge_by_the_moment_of_the_call(
    store: &dyn SessionStore,
) {
    let (at, anna) = (present(), user("anna"));
    let session = kept(store, &anna, at).await;
    // The same store, asked about a late and then an early moment.
    assert_absent(store, &session, later(at, 2 * HOUR)).await;
    assert_present(store, &session, at).await;
    // The idle rule too is the call's: it is not kept with the session.
    let strict = later(idling_out_after(at, MINUTE), 2 * MINUTE);
    assert_absent(store, &session, strict).await;
    assert_present(store, &session, later(at, 2 * MINUTE)).await;
}

pub(crate) async fn nothing_is_forgotten_before_it_is_over_by_both_clocks(
    store: &dyn SessionStore,
) {
    let (at, anna, berta) = (present(), user("anna"), user("berta"));
    let session = kept(store, &anna, at).await;
    let (sealed, marked) = (sealed_of(None, at), sealed_of(Some(&berta), at));
    store.revoke_sealed(&sealed, at).await.unwrap();
    let until = Some(at.now.plus(HOUR));
    store.delete_all(&berta, at, until).await.unwrap();

    let wrong = set_ahead(later(at, MINUTE), 8 * 24);
    sweep_all(store, wrong).await;
    assert_absent(store, &session, wrong).await;
    let other = kept(store, &anna, wrong).await;
    assert!(store.touch(&other.id, later(wrong, MINUTE)).await.unwrap());

    let right = later(at, 2 * MINUTE);
    assert_present(store, &session, right).await;
    assert!(store.is_revoked(&sealed, right).await.unwrap());
    assert!(store.is_revoked(&marked, right).await.unwrap());
    let ended = store.delete_all(&anna, right, None).await.unwrap();
    assert_eq!(ids(&ended).len(), 2);
    assert_absent(store, &session, right).await;
}

pub(crate) async fn after_an_ok_the_change_holds(store: &dyn SessionStore) {
    let (at, anna) = (present(), user("anna"));
    let (stays, goes) = (
        kept(store, &anna, at).await,
        kept(store, &anna, later(at, MILLISECOND)).await,
    );
    let sealed = sealed_of(Some(&anna), at);
    store.touch(&stays.id, later(at, MINUTE)).await.unwrap();
    store.delete(&goes.id, at).await.unwrap();
    store.revoke_sealed(&sealed, at).await.unwrap();
    for minutes in 1..30 {
        let at = later(at, minutes * MINUTE);
        store.sweep(at).await.unwrap();
        assert_absent(store, &goes, at).await;
        let found = store.find(&stays.id, at).await.unwrap().unwrap();
        assert_eq!(found.last_seen_at, stays.created_at.plus(MINUTE));
        assert!(store.is_revoked(&sealed, at).await.unwrap());
    }
}

pub(crate) async fn asking_again_is_always_safe(store: &dyn SessionStore) {
    let (at, anna) = (present(), user("anna"));
    let session = kept(store, &anna, at).await;
    store.insert(session.clone(), at).await.unwrap();
    assert_present(store, &session, at).await;
    let minute = later(at, MINUTE);
    assert!(store.touch(&session.id, minute).await.unwrap());
    assert!(store.touch(&session.id, minute).await.unwrap());
    let handed = store.delete(&session.id, minute).await.unwrap();
    assert_eq!(handed.map(|session| session.id), Some(session.id));
    assert_eq!(store.delete(&session.id, minute).await.unwrap(), None);
    assert_absent(store, &session, minute).await;

    let (sealed, until) = (sealed_of(Some(&anna), at), Some(at.now.plus(HOUR)));
    assert!(store.revoke_sealed(&sealed, at).await.unwrap());
    assert!(!store.revoke_sealed(&sealed, at).await.unwrap());
    kept(store, &anna, at).await;
    assert_eq!(store.delete_all(&anna, at, until).await.unwrap().len(), 1);
    assert_eq!(store.delete_all(&anna, at, until).await.unwrap(), []);
    assert!(store.is_revoked(&sealed, at).await.unwrap());
}

/// Polls `call` up to `polls` times and drops it.
async fn drop_after(polls: u32, mut call: BoxFuture<'_, ()>) {
    for _ in 0..polls {
        let done = poll_fn(|context| Poll::Ready(call.as_mut().poll(context).is_ready())).await;
        if done {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// What comes of a call that is begun with one waker and, if it is not done at once, awaited with
/// another, as by another task.
async fn handed_on<T>(call: impl Future<Output = T>) -> T {
    let mut call = Box::pin(call);
    let begun = poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await;
    match begun {
        Poll::Ready(done) => done,
        // It has a waker of its own, and does not poll unless that is used.
        Poll::Pending => FuturesUnordered::from_iter([call])
            .into_future()
            .await
            .0
            .unwrap(),
    }
}

pub(crate) async fn a_call_may_be_begun_by_one_task_and_awaited_by_another(
    store: &dyn SessionStore,
) {
    let (at, anna) = (present(), user("anna"));
    let (one, two) = (session_of(&anna, at), session_of(&anna, at));
    for session in [&one, &two] {
        let kept = handed_on(store.insert(session.clone(), at)).await;
        kept.unwrap();
    }
    let handed = handed_on(store.delete(&one.id, at)).await;
    assert_eq!(handed.unwrap(), Some(one));
    let sealed = sealed_of(Some(&anna), at);
    assert!(handed_on(store.revoke_sealed(&sealed, at)).await.unwrap());
    let until = Some(at.now.plus(HOUR));
    let handed = handed_on(store.delete_all(&anna, at, until)).await;
    assert_eq!(handed.unwrap(), [two]);
}

/// Whether the session is there, wholly or not at all. A change that was under way may land
/// between the two questions, once; so it is the answer of a quiet moment that counts.
async fn is_whole(store: &dyn SessionStore, session: &Session, at: Moment) -> bool {
    loop {
        let before = store.find(&session.id, at).await.unwrap().is_some();
        let listed = ids(&store.list(&session.user, at).await.unwrap().sessions);
        let after = store.find(&session.id, at).await.unwrap().is_some();
        if before == after {
            assert_eq!(
                listed.contains(&session.id),
                after,
                "found but not listed, or so"
            );
            return after;
        }
    }
}

pub(crate) async fn a_future_that_is_dropped_leaves_the_store_whole(store: &dyn SessionStore) {
    let at = present();
    let (minute, until) = (later(at, MINUTE), at.now.plus(2 * HOUR));
    for polls in 0..12 {
        let anna = user(&format!("anna {polls}"));
        let session = session_of(&anna, at);
        let insert = async { drop(store.insert(session.clone(), at).await) };
        drop_after(polls, Box::pin(insert)).await;
        is_whole(store, &session, at).await;

        let session = kept(store, &anna, at).await;
        let touch = async { drop(store.touch(&session.id, minute).await) };
        drop_after(polls, Box::pin(touch)).await;
        assert!(is_whole(store, &session, at).await, "a touch ended it");

        let delete = async { drop(store.delete(&session.id, at).await) };
        drop_after(polls, Box::pin(delete)).await;
        is_whole(store, &session, at).await;
        // Asked again, to the end: now it is over whatever became of the calls before.
        store.delete(&session.id, at).await.unwrap();
        assert!(!is_whole(store, &session, at).await, "it came back");

        let berta = user(&format!("berta {polls}"));
        let sealed = sealed_of(Some(&berta), at);
        for _ in 0..3 {
            kept(store, &berta, at).await;
        }
        let all = async { drop(store.delete_all(&berta, at, Some(until)).await) };
        drop_after(polls, Box::pin(all)).await;
        let left = store.list(&berta, at).await.unwrap().sessions.len();
        assert!(left == 3 || left == 0, "half of it happened: {left}");
        store.delete_all(&berta, at, Some(until)).await.unwrap();
        assert_eq!(store.list(&berta, at).await.unwrap().sessions, []);
        assert!(store.is_revoked(&sealed, at).await.unwrap());

        let sealed = sealed_of(None, at);
        let revoke = async { drop(store.revoke_sealed(&sealed, at).await) };
        drop_after(polls, Box::pin(revoke)).await;
        store.revoke_sealed(&sealed, at).await.unwrap();
        assert!(store.is_revoked(&sealed, at).await.unwrap());

        let sweep = async { drop(store.sweep(at).await) };
        drop_after(polls, Box::pin(sweep)).await;
    }
}

// insert, find, touch.

pub(crate) async fn insert_keeps_a_new_session(store: &dyn SessionStore) {
    let at = present();
    // Every field comes back as it was, to the millisecond, and for the oddest of users.
    for name in ["anna", "a b", "%:{}*\\\"'", &"x".repeat(256)] {
        let session = Session {
            last_seen_at: at.now.plus(MILLISECOND),
            expires_at: at.now.plus(36_500 * 24 * HOUR),
            ..session_of(&user(name), at)
        };
        store.insert(session.clone(), at).await.unwrap();
        assert_present(store, &session, at).await;
    }
}

pub(crate) async fn find_gives_the_live_session_of_this_id_and_no_other(store: &dyn SessionStore) {
    let (at, anna) = (present(), user("anna"));
    let session = kept(store, &anna, at).await;
    kept(store, &anna, at).await;
    assert_present(store, &session, at).await;
    // An id that differs only in its last bit.
    let mut digest = *session.id.as_bytes();
    digest[31] ^= 1;
    let neighbour = SessionId::from_bytes(digest);
    assert_eq!(store.find(&neighbour, at).await.unwrap(), None);
    assert!(!store.touch(&neighbour, at).await.unwrap());
    assert_eq!(store.delete(&neighbour, at).await.unwrap(), None);
    assert_present(store, &session, at).await;
}

pub(crate) async fn find_writes_nothing(store: &dyn SessionStore) {
    let (at, anna) = (present(), user("anna"));
    let session = kept(store, &anna, at).await;
    let len = store.approximate_len();
    // Neither a use that would be worth a touch, nor one that finds it over, leaves a trace.
    for span in [MINUTE, HOUR, 2 * HOUR] {
        store.find(&session.id, later(at, span)).await.unwrap();
    }
    assert_present(store, &session, at).await;
    assert_eq!(store.approximate_len(), len);
}

pub(crate) async fn touch_moves_last_seen_at_forward_to_now_and_says_whether_it_was_live(
    store: &dyn SessionStore,
) {
    let (at, anna) = (present(), user("anna"));
    let session = kept(store, &anna, at).await;
    let minute = later(at, MINUTE);
    assert!(store.touch(&session.id, minute).await.unwrap());
    let used = Session {
        last_seen_at: minute.now,
        ..session
    };
    assert_present(store, &used, minute).await;
    assert!(!store.touch(&used.id, later(at, HOUR)).await.unwrap());
    assert_present(store, &used, minute).await;
    // Whoever ends it is handed it as it last was.
    assert_eq!(store.delete(&used.id, minute).await.unwrap(), Some(used));
}

pub(crate) async fn touch_never_brings_a_session_back(store: &dyn SessionStore) {
    let (at, anna) = (present(), user("anna"));
    let deleted = kept(store, &anna, at).await;
    let revoked = kept(store, &anna, at).await;
    store.delete(&deleted.id, at).await.unwrap();
    store.delete_all(&anna, at, None).await.unwrap();
    for session in [&deleted, &revoked] {
        assert!(!store.touch(&session.id, at).await.unwrap());
        assert_absent(store, session, at).await;
    }
}

pub(crate) async fn touch_never_moves_last_seen_at_backward(store: &dyn SessionStore) {
    let (at, anna) = (present(), user("anna"));
    let session = kept(store, &anna, at).await;
    let (one, two) = (later(at, MINUTE), later(at, 2 * MINUTE));
    assert!(store.touch(&session.id, two).await.unwrap());
    // A replica whose clock is behind: the session is live, and its last use stays.
    assert!(store.touch(&session.id, one).await.unwrap());
    assert!(store.touch(&session.id, earlier(at, MINUTE)).await.unwrap());
    let found = store.find(&session.id, two).await.unwrap().unwrap();
    assert_eq!(found.last_seen_at, two.now);
}

pub(crate) async fn a_touched_session_idles_from_its_last_use(store: &dyn SessionStore) {
    let (at, anna) = (idling_out_after(present(), 10 * MINUTE), user("anna"));
    let session = kept(store, &anna, at).await;
    let used = later(at, 9 * MINUTE);
    assert!(store.touch(&session.id, used).await.unwrap());
    let session = Session {
        last_seen_at: used.now,
        ..session
    };
    let deadline = later(used, 10 * MINUTE);
    assert_present(store, &session, earlier(deadline, MILLISECOND)).await;
    assert_absent(store, &session, deadline).await;
    assert_eq!(store.delete(&session.id, deadline).await.unwrap(), None);
}

pub(crate) async fn a_touch_does_not_outlive_the_absolute_deadline(store: &dyn SessionStore) {
    let (at, anna) = (idling_out_after(present(), 10 * MINUTE), user("anna"));
    let session = kept(store, &anna, at).await;
    for minutes in (5..60).step_by(5) {
        assert!(
            store
                .touch(&session.id, later(at, minutes * MINUTE))
                .await
                .unwrap()
        );
    }
    let last = earlier(later(at, HOUR), MILLISECOND);
    assert!(store.touch(&session.id, last).await.unwrap());
    assert_absent(store, &session, later(at, HOUR)).await;
}

// delete, list, delete_all.

pub(crate) async fn delete_removes_the_session_and_hands_it_over(store: &dyn SessionStore) {
    let (at, anna) = (present(), user("anna"));
    let session = kept(store, &anna, at).await;
    let other = kept(store, &anna, at).await;
    let handed = store.delete(&session.id, at).await.unwrap();
    assert_eq!(handed.as_ref(), Some(&session));
    assert_absent(store, &session, at).await;
    assert_present(store, &other, at).await;
}

pub(crate) async fn delete_hands_one_that_was_over_to_nobody(store: &dyn SessionStore) {
    let (at, anna) = (present(), user("anna"));
    let (expired, idle) = (kept(store, &anna, at).await, kept(store, &anna, at).await);
    let last = earlier(later(at, HOUR), MILLISECOND);
    assert_eq!(
        store.delete(&expired.id, later(at, HOUR)).await.unwrap(),
        None
    );
    let idled_out = later(idling_out_after(at, MINUTE), MINUTE);
    assert_eq!(store.delete(&idle.id, idled_out).await.unwrap(), None);
    let third = kept(store, &anna, at).await;
    assert_eq!(store.delete(&third.id, last).await.unwrap(), Some(third));
}

pub(crate) async fn list_is_the_users_live_sessions_oldest_first(store: &dyn SessionStore) {
    let (at, anna) = (present(), user("anna"));
    kept(store, &user("berta"), at).await;
    let mut expected = Vec::new();
    for minute in [3, 1, 4, 0, 2] {
        expected.push(kept(store, &anna, later(at, minute * MINUTE)).await);
    }
    expected.sort_by_key(|session| session.created_at);
    assert_eq!(store.list(&anna, at).await.unwrap().sessions, expected);
    // The first three are over by then.
    let then = later(at, HOUR + 2 * MINUTE);
    assert_eq!(
        store.list(&anna, then).await.unwrap().sessions,
        expected[3..]
    );
    store.touch(&expected[3].id, then).await.unwrap();
    assert_eq!(
        ids(&store.list(&anna, then).await.unwrap().sessions),
        ids(&expected[3..])
    );
}

pub(crate) async fn list_is_the_thousand_that_expire_last_and_says_whether_there_are_more(
    store: &dyn SessionStore,
) {
    let (at, anna) = (present(), user("anna"));
    let mut sessions = Vec::new();
    for nth in 0..SessionList::MOST + 2 {
        // Not in the order in which they expire.
        let minutes = (nth * 7) % (SessionList::MOST + 2);
        let mut session = session_of(&anna, later(at, u32::try_from(nth).unwrap() * MILLISECOND));
        session.expires_at = session
            .expires_at
            .plus(u32::try_from(minutes).unwrap() * MINUTE);
        store.insert(session.clone(), at).await.unwrap();
        sessions.push(session);
    }
    sessions.sort_by_key(|session| session.expires_at);
    let latest = &sessions[2..];
    let list = store.list(&anna, at).await.unwrap();
    assert!(list.truncated);
    assert!(list.sessions.is_sorted_by_key(|session| session.created_at));
    assert_eq!(ids(&list.sessions), ids(latest));
    // Those that are over do not count.
    store.delete(&sessions[0].id, at).await.unwrap();
    let then = later(at, HOUR + MINUTE * 3 / 2);
    for (at, truncated) in [(at, true), (then, false)] {
        let list = store.list(&anna, at).await.unwrap();
        assert_eq!(ids(&list.sessions), ids(latest));
        assert_eq!(list.truncated, truncated);
    }
}

pub(crate) async fn a_user_may_have_many_sessions(store: &dyn SessionStore) {
    const MANY: usize = 700;
    let (at, anna) = (present(), user("anna"));
    let mut sessions = Vec::new();
    for nth in 0..MANY {
        let at = later(at, u32::try_from(nth).unwrap() * MILLISECOND);
        sessions.push(kept(store, &anna, at).await);
    }
    assert_eq!(store.list(&anna, at).await.unwrap().sessions, sessions);
    let handed = store.delete(&sessions[MANY / 2].id, at).await.unwrap();
    assert_eq!(handed.unwrap(), sessions.remove(MANY / 2));
    let ended = store.delete_all(&anna, at, None).await.unwrap();
    assert_eq!(ids(&ended), ids(&sessions));
    assert_eq!(store.list(&anna, at).await.unwrap().sessions, []);
}

pub(crate) async fn users_are_told_apart_by_every_byte_of_their_names(store: &dyn SessionStore) {
    let at = present();
    let names = ["a", "A", "aa", "a:a", "a a", "a*", "a/", "{a}", "a\\"];
    let mut sessions = Vec::new();
    for name in names {
        sessions.push(kept(store, &user(name), at).await);
    }
    for session in sessions {
        let listed = store.list(&session.user, at).await.unwrap().sessions;
        assert_eq!(listed, std::slice::from_ref(&session));
        let ended = store.delete_all(&session.user, at, None).await.unwrap();
        assert_eq!(ended, [session]);
    }
}

pub(crate) async fn delete_all_removes_all_sessions_of_the_user_and_no_others(
    store: &dyn SessionStore,
) {
    let (at, anna) = (present(), user("anna"));
    let others = kept(store, &user("berta"), at).await;
    let sessions = [kept(store, &anna, at).await, kept(store, &anna, at).await];
    let ended = store.delete_all(&anna, at, None).await.unwrap();
    assert_eq!(ids(&ended), ids(&sessions));
    for session in &sessions {
        assert_absent(store, session, at).await;
        assert_eq!(store.delete(&session.id, at).await.unwrap(), None);
    }
    assert_present(store, &others, at).await;
    // A login afterwards is a new one and lives.
    let session = kept(store, &anna, at).await;
    assert_present(store, &session, at).await;
}

pub(crate) async fn delete_all_hands_one_that_was_over_to_nobody(store: &dyn SessionStore) {
    let (at, anna) = (present(), user("anna"));
    kept(store, &anna, at).await;
    let late = kept(store, &anna, later(at, MILLISECOND)).await;
    let deadline_of_the_first = later(at, HOUR);
    let ended = store.delete_all(&anna, deadline_of_the_first, None).await;
    assert_eq!(ended.unwrap(), [late]);
    let idle = kept(store, &anna, at).await;
    let idled_out = later(idling_out_after(at, MINUTE), MINUTE);
    assert_eq!(store.delete_all(&anna, idled_out, None).await.unwrap(), []);
    assert_absent(store, &idle, idled_out).await;
}

// Marks and sealed sessions.

pub(crate) async fn delete_all_without_seals_until_revokes_no_sealed_session(
    store: &dyn SessionStore,
) {
    let (at, anna) = (present(), user("anna"));
    let sealed = sealed_of(Some(&anna), at);
    store.delete_all(&anna, at, None).await.unwrap();
    assert!(!store.is_revoked(&sealed, at).await.unwrap());
    assert!(store.revoke_sealed(&sealed, at).await.unwrap());
}

pub(crate) async fn delete_all_with_seals_until_revokes_the_sealed_sessions_created_up_to_now(
    store: &dyn SessionStore,
) {
    let (at, anna) = (present(), user("anna"));
    let session = kept(store, &anna, at).await;
    let before = sealed_of(Some(&anna), earlier(at, MINUTE));
    let just_now = sealed_of(Some(&anna), at);
    let after = sealed_of(Some(&anna), later(at, MILLISECOND));
    let until = Some(at.now.plus(2 * HOUR));
    let ended = store.delete_all(&anna, at, until).await.unwrap();
    assert_eq!(ended, [session]);
    assert!(store.is_revoked(&before, at).await.unwrap());
    assert!(store.is_revoked(&just_now, at).await.unwrap());
    assert!(!store.is_revoked(&after, at).await.unwrap());
}

pub(crate) async fn a_mark_is_of_one_user(store: &dyn SessionStore) {
    let (at, anna) = (present(), user("anna"));
    let (others, nobodys) = (sealed_of(Some(&user("berta")), at), sealed_of(None, at));
    let until = Some(at.now.plus(2 * HOUR));
    store.delete_all(&anna, at, until).await.unwrap();
    assert!(!store.is_revoked(&others, at).await.unwrap());
    assert!(!store.is_revoked(&nobodys, at).await.unwrap());
}

pub(crate) async fn a_mark_is_kept_until_that_moment(store: &dyn SessionStore) {
    let (at, anna) = (present(), user("anna"));
    let sealed = sealed_of(Some(&anna), at);
    let until = at.now.plus(HOUR);
    store.delete_all(&anna, at, Some(until)).await.unwrap();
    // Neither sweeps, nor sessions that come and go, take it away.
    let last = Moment {
        now: until.minus(MILLISECOND),
        ..at
    };
    let session = kept(store, &anna, later(at, MINUTE)).await;
    store.delete(&session.id, last).await.unwrap();
    store.delete_all(&anna, at, None).await.unwrap();
    sweep_all(store, last).await;
    assert!(store.is_revoked(&sealed, last).await.unwrap());
    assert!(!store.revoke_sealed(&sealed, last).await.unwrap());
}

pub(crate) async fn a_later_call_moves_the_mark_forward_never_back(store: &dyn SessionStore) {
    let (at, anna) = (present(), user("anna"));
    let minute = later(at, MINUTE);
    let sealed = sealed_of(Some(&anna), minute);
    let long = at.now.plus(2 * HOUR);
    store.delete_all(&anna, at, Some(long)).await.unwrap();
    assert!(!store.is_revoked(&sealed, minute).await.unwrap());
    store.delete_all(&anna, minute, Some(long)).await.unwrap();
    assert!(store.is_revoked(&sealed, minute).await.unwrap());
    // A replica whose clock is behind, and one that is told to remember for less long.
    let short = at.now.plus(MINUTE);
    store.delete_all(&anna, at, Some(short)).await.unwrap();
    assert!(store.is_revoked(&sealed, minute).await.unwrap());
    let last = earlier(later(minute, HOUR), MILLISECOND);
    sweep_all(store, last).await;
    assert!(store.is_revoked(&sealed, last).await.unwrap());
}

pub(crate) async fn a_mark_that_is_ahead_of_the_present_comes_back_to_it(store: &dyn SessionStore) {
    let (at, anna) = (present(), user("anna"));
    // Made by a clock that was ahead and did not know: the process had begun with it.
    let ahead = later(at, 3 * 24 * HOUR);
    let until = ahead.now.plus(2 * HOUR);
    store.delete_all(&anna, ahead, Some(until)).await.unwrap();
    let (before, login) = (sealed_of(Some(&anna), at), later(at, MILLISECOND));
    let after = sealed_of(Some(&anna), login);
    assert!(store.is_revoked(&after, login).await.unwrap());
    let until = at.now.plus(2 * HOUR);
    store.delete_all(&anna, at, Some(until)).await.unwrap();
    assert!(store.is_revoked(&before, login).await.unwrap());
    assert!(!store.is_revoked(&after, login).await.unwrap());
    assert!(store.revoke_sealed(&after, login).await.unwrap());
}

pub(crate) async fn a_mark_made_while_the_wall_clock_was_ahead_bars_no_later_login(
    store: &dyn SessionStore,
) {
    let (at, anna) = (present(), user("anna"));
    let wrong = set_ahead(at, 3 * 24);
    let (before, meanwhile) = (sealed_of(Some(&anna), at), sealed_of(Some(&anna), wrong));
    let until = Some(wrong.now.plus(2 * HOUR));
    store.delete_all(&anna, wrong, until).await.unwrap();
    assert!(store.is_revoked(&before, wrong).await.unwrap());
    assert!(store.is_revoked(&meanwhile, wrong).await.unwrap());

    let right = later(at, MINUTE);
    let login = sealed_of(Some(&anna), right);
    sweep_all(store, right).await;
    assert!(store.is_revoked(&before, right).await.unwrap());
    assert!(!store.is_revoked(&login, right).await.unwrap());
    // Logged out everywhere once more.
    let until = Some(right.now.plus(2 * HOUR));
    store.delete_all(&anna, right, until).await.unwrap();
    let next = later(right, MILLISECOND);
    assert!(store.is_revoked(&login, next).await.unwrap());
    let login = sealed_of(Some(&anna), next);
    assert!(!store.is_revoked(&login, next).await.unwrap());
}

pub(crate) async fn a_mark_made_while_the_wall_clock_was_behind_revokes_what_there_was(
    store: &dyn SessionStore,
) {
    let (at, anna) = (present(), user("anna"));
    let wrong = set_ahead(at, -3 * 24);
    let until = Some(at.now.plus(2 * HOUR));
    // Nor does it take away what an earlier mark has revoked.
    store.delete_all(&anna, at, until).await.unwrap();
    store.delete_all(&anna, wrong, until).await.unwrap();
    let right = later(at, MINUTE);
    let (before, login) = (sealed_of(Some(&anna), at), sealed_of(Some(&anna), right));
    sweep_all(store, right).await;
    assert!(store.is_revoked(&before, right).await.unwrap());
    assert!(!store.is_revoked(&login, right).await.unwrap());
}

pub(crate) async fn a_mark_made_when_the_wall_clock_had_been_put_right_revokes_what_there_was(
    store: &dyn SessionStore,
) {
    let (at, anna) = (present(), user("anna"));
    // The machine booted in 1970: only the steady clock still shows that.
    let ahead_by = at.now.as_millis();
    let corrected = Moment { ahead_by, ..at };
    let hour_old = sealed_of(Some(&anna), earlier(at, 59 * MINUTE));
    let until = Some(at.now.plus(2 * HOUR));
    store.delete_all(&anna, corrected, until).await.unwrap();
    for seen in [
        corrected,
        later(corrected, MINUTE / 2),
        later(at, MINUTE / 2),
    ] {
        assert!(store.is_revoked(&hour_old, seen).await.unwrap());
    }
    let login = sealed_of(Some(&anna), later(at, MILLISECOND));
    assert!(!store.is_revoked(&login, later(at, MINUTE)).await.unwrap());
}

pub(crate) async fn revoke_sealed_says_whether_that_ended_it(store: &dyn SessionStore) {
    let (at, anna) = (present(), user("anna"));
    let (sealed, other) = (sealed_of(Some(&anna), at), sealed_of(Some(&anna), at));
    assert!(!store.is_revoked(&sealed, at).await.unwrap());
    assert!(store.revoke_sealed(&sealed, at).await.unwrap());
    assert!(store.is_revoked(&sealed, at).await.unwrap());
    assert!(!store.revoke_sealed(&sealed, at).await.unwrap());
    assert!(!store.is_revoked(&other, at).await.unwrap());
}

pub(crate) async fn revoke_sealed_ends_none_that_was_revoked_with_its_users_others(
    store: &dyn SessionStore,
) {
    let (at, anna) = (present(), user("anna"));
    let covered = sealed_of(Some(&anna), at);
    let after = sealed_of(Some(&anna), later(at, MILLISECOND));
    let until = Some(at.now.plus(2 * HOUR));
    store.delete_all(&anna, at, until).await.unwrap();
    assert!(!store.revoke_sealed(&covered, at).await.unwrap());
    assert!(store.revoke_sealed(&after, at).await.unwrap());
    assert!(!store.revoke_sealed(&after, at).await.unwrap());
}

pub(crate) async fn revoke_sealed_ends_none_that_was_over(store: &dyn SessionStore) {
    let at = present();
    let (one, other) = (sealed_of(None, at), sealed_of(None, at));
    let deadline = later(at, HOUR);
    let last = earlier(deadline, MILLISECOND);
    assert!(!store.revoke_sealed(&one, deadline).await.unwrap());
    assert!(store.revoke_sealed(&other, last).await.unwrap());
}

pub(crate) async fn revoke_sealed_ends_one_that_is_over_by_the_wall_clock_alone(
    store: &dyn SessionStore,
) {
    let at = present();
    let (sealed, wrong) = (sealed_of(Some(&user("anna")), at), set_ahead(at, 8 * 24));
    assert!(store.revoke_sealed(&sealed, wrong).await.unwrap());
    assert!(!store.revoke_sealed(&sealed, wrong).await.unwrap());
    sweep_all(store, wrong).await;
    assert!(store.is_revoked(&sealed, later(at, MINUTE)).await.unwrap());
}

pub(crate) async fn a_revocation_is_kept_until_the_sealed_session_expires(
    store: &dyn SessionStore,
) {
    let at = present();
    let sealed = sealed_of(Some(&user("anna")), at);
    assert!(store.revoke_sealed(&sealed, at).await.unwrap());
    let last = earlier(later(at, HOUR), MILLISECOND);
    sweep_all(store, last).await;
    assert!(store.is_revoked(&sealed, last).await.unwrap());
    assert!(!store.revoke_sealed(&sealed, last).await.unwrap());
}

pub(crate) async fn sealed_sessions_need_no_user(store: &dyn SessionStore) {
    let at = present();
    let (sealed, other) = (sealed_of(None, at), sealed_of(None, at));
    assert!(store.revoke_sealed(&sealed, at).await.unwrap());
    assert!(!store.revoke_sealed(&sealed, at).await.unwrap());
    assert!(store.is_revoked(&sealed, at).await.unwrap());
    assert!(!store.is_revoked(&other, at).await.unwrap());
}

pub(crate) async fn sealed_sessions_and_kept_ones_are_told_apart(store: &dyn SessionStore) {
    let (at, anna) = (present(), user("anna"));
    let session = kept(store, &anna, at).await;
    let sealed = SealedSession {
        id: session.id,
        ..sealed_of(Some(&anna), at)
    };
    assert!(store.revoke_sealed(&sealed, at).await.unwrap());
    assert_present(store, &session, at).await;
    assert_eq!(store.delete(&session.id, at).await.unwrap(), Some(session));
    assert!(store.is_revoked(&sealed, at).await.unwrap());
}

// sweep, ready, approximate_len.

pub(crate) async fn sweep_removes_only_what_is_over(store: &dyn SessionStore) {
    let (at, anna) = (present(), user("anna"));
    let over = kept(store, &anna, at).await;
    let live = kept(store, &anna, later(at, MILLISECOND)).await;
    let deadline = later(at, HOUR);
    sweep_all(store, earlier(deadline, MILLISECOND)).await;
    assert_present(store, &over, earlier(deadline, MILLISECOND)).await;
    sweep_all(store, deadline).await;
    assert_absent(store, &over, deadline).await;
    assert_present(store, &live, deadline).await;
    // The idle rule holds for the sweep as well.
    sweep_all(store, idling_out_after(deadline, 2 * HOUR)).await;
    assert_present(store, &live, deadline).await;
}

pub(crate) async fn a_fresh_store_is_ready_and_empty(store: &dyn SessionStore) {
    store.ready().await.unwrap();
    store.sweep(present()).await.unwrap();
    assert!(store.approximate_len().is_none_or(|len| len == 0));
}

pub(crate) async fn approximate_len_counts_sessions_and_revocations_where_it_is_known(
    store: &dyn SessionStore,
) {
    let (at, anna) = (present(), user("anna"));
    let until = Some(at.now.plus(HOUR));
    let expect = |len| {
        let known = store.approximate_len();
        assert!(
            known.is_none_or(|known| known == len),
            "{known:?}, not {len}"
        );
    };
    let session = kept(store, &anna, at).await;
    kept(store, &anna, at).await;
    store.insert(session.clone(), at).await.unwrap();
    expect(2);
    let sealed = sealed_of(None, at);
    for _ in 0..2 {
        store.revoke_sealed(&sealed, at).await.unwrap();
        expect(3);
    }
    store.delete(&session.id, at).await.unwrap();
    expect(2);
    for _ in 0..2 {
        // One session less, one mark more.
        store.delete_all(&anna, at, until).await.unwrap();
        expect(2);
    }
    sweep_all(store, later(at, HOUR)).await;
    expect(0);
}

// Races, on several threads.

/// Starts one task for each of `contenders`, all at once, and waits for them.
async fn race<T: Send + 'static>(contenders: Vec<BoxFuture<'static, T>>) -> Vec<T> {
    let start = Arc::new(Barrier::new(contenders.len()));
    let started = contenders.into_iter().map(|contender| {
        let start = Arc::clone(&start);
        tokio::spawn(async move {
            start.wait().await;
            contender.await
        })
    });
    let finished = join_all(started.collect::<Vec<_>>()).await;
    finished.into_iter().map(Result::unwrap).collect()
}

fn times_handed(handed: &[Vec<Session>]) -> HashMap<SessionId, usize> {
    let mut times = HashMap::new();
    for session in handed.iter().flatten() {
        *times.entry(session.id).or_default() += 1;
    }
    times
}

pub(crate) async fn delete_hands_the_session_to_exactly_one_caller_however_many_ask_at_once(
    store: Arc<dyn SessionStore>,
    rounds: u32,
) {
    let (at, anna) = (present(), user("anna"));
    for _ in 0..rounds {
        let mut sessions = Vec::new();
        for _ in 0..PRIZES {
            sessions.push(kept(&*store, &anna, at).await);
        }
        let contenders = (0..RACERS).map(|_| -> BoxFuture<'static, Vec<Session>> {
            let (store, sessions) = (Arc::clone(&store), sessions.clone());
            Box::pin(async move {
                let mut handed = Vec::new();
                for session in &sessions {
                    handed.extend(store.delete(&session.id, at).await.unwrap());
                }
                handed
            })
        });
        let times = times_handed(&race(contenders.collect()).await);
        assert!(
            sessions
                .iter()
                .all(|session| times.get(&session.id) == Some(&1))
        );
        assert_eq!(store.list(&anna, at).await.unwrap().sessions, []);
    }
}

pub(crate) async fn delete_all_hands_the_live_ones_to_exactly_one_caller(
    store: Arc<dyn SessionStore>,
    rounds: u32,
) {
    let (at, anna) = (present(), user("anna"));
    for _ in 0..rounds {
        let mut sessions = Vec::new();
        for _ in 0..PRIZES {
            sessions.push(kept(&*store, &anna, at).await);
        }
        let contenders = (0..RACERS).map(|racer| -> BoxFuture<'static, Vec<Session>> {
            let (store, anna, sessions) = (Arc::clone(&store), anna.clone(), sessions.clone());
            Box::pin(async move {
                // One of them ends the sessions one by one.
                let mut handed = Vec::new();
                if racer == 0 {
                    for session in &sessions {
                        handed.extend(store.delete(&session.id, at).await.unwrap());
                    }
                } else {
                    handed = store.delete_all(&anna, at, None).await.unwrap();
                    // Whoever is told "done" finds it done, by himself or another.
                    assert_eq!(store.list(&anna, at).await.unwrap().sessions, []);
                    assert_eq!(store.find(&sessions[0].id, at).await.unwrap(), None);
                }
                handed
            })
        });
        let times = times_handed(&race(contenders.collect()).await);
        assert!(
            sessions
                .iter()
                .all(|session| times.get(&session.id) == Some(&1))
        );
    }
}

pub(crate) async fn an_insert_that_races_with_delete_all_is_among_them_or_survives_whole(
    store: Arc<dyn SessionStore>,
    rounds: u32,
) {
    let (at, anna) = (present(), user("anna"));
    for _ in 0..rounds {
        let sessions: Vec<_> = (0..PRIZES).map(|_| session_of(&anna, at)).collect();
        let contenders = (0..RACERS).map(|racer| -> BoxFuture<'static, Vec<Session>> {
            let (store, anna, sessions) = (Arc::clone(&store), anna.clone(), sessions.clone());
            Box::pin(async move {
                let mut handed = Vec::new();
                // Half of them log in, a share each, while the others log out everywhere.
                for session in sessions.into_iter().skip(racer / 2).step_by(2) {
                    if racer % 2 == 0 {
                        store.insert(session, at).await.unwrap();
                    } else {
                        handed.extend(store.delete_all(&anna, at, None).await.unwrap());
                    }
                }
                handed
            })
        });
        let times = times_handed(&race(contenders.collect()).await);
        let listed = ids(&store.list(&anna, at).await.unwrap().sessions);
        for session in &sessions {
            let counted = times.get(&session.id).copied().unwrap_or_default();
            let found = store.find(&session.id, at).await.unwrap().is_some();
            assert_eq!(found, listed.contains(&session.id), "survived by half");
            assert_eq!(
                counted,
                usize::from(!found),
                "counted or alive, not both nor neither"
            );
        }
        let rest = store.delete_all(&anna, at, None).await.unwrap();
        assert_eq!(ids(&rest), listed);
    }
}

pub(crate) async fn a_touch_that_races_with_a_delete_brings_nothing_back(
    store: Arc<dyn SessionStore>,
    rounds: u32,
) {
    let (at, anna) = (idling_out_after(present(), 10 * MINUTE), user("anna"));
    for _ in 0..rounds {
        let mut sessions = Vec::new();
        for _ in 0..PRIZES {
            sessions.push(kept(&*store, &anna, at).await);
        }
        let contenders = (0..RACERS).map(|racer| -> BoxFuture<'static, Vec<Session>> {
            let (store, sessions) = (Arc::clone(&store), sessions.clone());
            let used = later(at, MINUTE);
            Box::pin(async move {
                let mut handed = Vec::new();
                for session in &sessions {
                    if racer == 0 {
                        handed.extend(store.delete(&session.id, at).await.unwrap());
                        // At once, while the others are still touching it.
                        assert_absent(&*store, session, used).await;
                    } else {
                        store.touch(&session.id, used).await.unwrap();
                    }
                }
                handed
            })
        });
        let handed = race(contenders.collect()).await;
        assert_eq!(times_handed(&handed).len(), PRIZES);
        for session in &sessions {
            assert_absent(&*store, session, at).await;
        }
    }
}

pub(crate) async fn a_sweep_that_races_with_a_delete_takes_nothing_live(
    store: Arc<dyn SessionStore>,
    rounds: u32,
) {
    let (at, anna) = (present(), user("anna"));
    let minute = later(at, MINUTE);
    for _ in 0..rounds {
        let mut live = Vec::new();
        let mut over = Vec::new();
        for _ in 0..PRIZES {
            live.push(kept(&*store, &anna, at).await);
            let session = Session {
                expires_at: minute.now,
                ..session_of(&anna, at)
            };
            store.insert(session.clone(), at).await.unwrap();
            over.push(session);
        }
        let contenders = (0..RACERS).map(|racer| -> BoxFuture<'static, Vec<Session>> {
            let (store, live, over) = (Arc::clone(&store), live.clone(), over.clone());
            Box::pin(async move {
                let mut handed = Vec::new();
                for session in live.iter().chain(&over) {
                    if racer % 2 == 0 {
                        store.sweep(minute).await.unwrap();
                    } else {
                        handed.extend(store.delete(&session.id, minute).await.unwrap());
                    }
                }
                handed
            })
        });
        let times = times_handed(&race(contenders.collect()).await);
        assert!(
            live.iter()
                .all(|session| times.get(&session.id) == Some(&1))
        );
        assert!(over.iter().all(|session| !times.contains_key(&session.id)));
    }
    let len = store.approximate_len();
    assert!(len.is_none_or(|len| len == 0), "{len:?} counted, none kept");
}

pub(crate) async fn revoke_sealed_ends_it_for_exactly_one_caller(
    store: Arc<dyn SessionStore>,
    rounds: u32,
) {
    let (at, anna) = (present(), user("anna"));
    for round in 0..rounds {
        let user = (round % 2 == 0).then_some(&anna);
        let seals: Vec<_> = (0..PRIZES).map(|_| sealed_of(user, at)).collect();
        let contenders = (0..RACERS).map(|_| -> BoxFuture<'static, Vec<bool>> {
            let (store, seals) = (Arc::clone(&store), seals.clone());
            Box::pin(async move {
                let mut ended = Vec::new();
                for sealed in &seals {
                    ended.push(store.revoke_sealed(sealed, at).await.unwrap());
                    assert!(store.is_revoked(sealed, at).await.unwrap());
                }
                ended
            })
        });
        let ended = race(contenders.collect()).await;
        for nth in 0..PRIZES {
            assert_eq!(ended.iter().filter(|ended| ended[nth]).count(), 1);
        }
    }
}

pub(crate) async fn a_mark_that_races_with_revoke_sealed_leaves_it_revoked(
    store: Arc<dyn SessionStore>,
    rounds: u32,
) {
    let at = present();
    let until: Option<Timestamp> = Some(at.now.plus(2 * HOUR));
    for round in 0..rounds {
        let user = user(&format!("anna {round}"));
        let sealed = sealed_of(Some(&user), at);
        let contenders = (0..RACERS).map(|racer| -> BoxFuture<'static, bool> {
            let (store, user, sealed) = (Arc::clone(&store), user.clone(), sealed.clone());
            Box::pin(async move {
                if racer == 0 {
                    store.delete_all(&user, at, until).await.unwrap();
                    assert!(!store.revoke_sealed(&sealed, at).await.unwrap());
                    return false;
                }
                store.revoke_sealed(&sealed, at).await.unwrap()
            })
        });
        let ended = race(contenders.collect()).await;
        assert!(ended.iter().filter(|ended| **ended).count() <= 1);
        assert!(store.is_revoked(&sealed, at).await.unwrap());
    }
}
