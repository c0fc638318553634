//! Sentences of the contract, a case each: those that are worth reading as an example, and those
//! that no history of the model shows.

use std::task::Poll;

use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, poll_fn};
use futures_util::stream::FuturesUnordered;
use neptun_auth::session::{Moment, Session, SessionList, SessionStore, Spared};

use super::fixtures::{
    HOUR, MILLISECOND, MINUTE, earlier, fresh_id, ids, kept, later, list, present, sealed_of,
    session_of, set_ahead, sweep_all, user,
};

async fn assert_absent(store: &dyn SessionStore, session: &Session, at: Moment) {
    assert_eq!(store.find(&session.id, at).await.unwrap(), None);
    let listed = ids(&list(store, &session.user, at).await);
    assert!(!listed.contains(&session.id), "listed");
}

async fn assert_present(store: &dyn SessionStore, session: &Session, at: Moment) {
    let found = store.find(&session.id, at).await.unwrap();
    assert_eq!(found.as_ref(), Some(session));
    let listed = list(store, &session.user, at).await;
    let times = listed.iter().filter(|other| *other == session).count();
    assert_eq!(times, 1, "listed once");
}

// What every call promises, and what marks do: the model decides it too, these say it.

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

// What histories are too short for, or wait too well.

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

pub(crate) async fn trim_goes_through_all_sessions_of_the_user(store: &dyn SessionStore) {
    const MANY: usize = 2_500;
    let (at, anna) = (present(), user("anna"));
    let mut sessions = Vec::new();
    for nth in 0..MANY {
        // The last to come expire neither first nor last.
        let minutes = u32::try_from((nth * 7) % MANY).unwrap();
        let mut session = session_of(&anna, later(at, u32::try_from(nth).unwrap() * MILLISECOND));
        session.expires_at = session.expires_at.plus(minutes * MINUTE);
        store.insert(session.clone(), at).await.unwrap();
        sessions.push(session);
    }
    let foreign = kept(store, &user("berta"), at).await;
    let (older, last) = sessions.split_at(MANY - 100);
    let ended = store.trim(&anna, &Spared::Last(100), at, None).await;
    assert_eq!(ids(&ended.unwrap()), ids(older));
    assert_eq!(ids(&list(store, &anna, at).await), ids(last));
    let these = Spared::These(ids(&last[..20]));
    let ended = store.trim(&anna, &these, at, None).await;
    assert_eq!(ids(&ended.unwrap()), ids(&last[20..]));
    assert_eq!(ids(&list(store, &anna, at).await), ids(&last[..20]));
    assert_present(store, &foreign, at).await;
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
