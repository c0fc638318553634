//! What holds when calls race, on several threads.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::join_all;
use neptun_auth::session::{Moment, SealedSession, Session, SessionId, SessionStore, Spared, User};
use tokio::sync::Barrier;

use super::fixtures::{
    HOUR, MILLISECOND, MINUTE, earlier, ids, kept, later, list, present, sealed_of, session_of,
    user,
};

/// How many tasks race, and for how many sessions in one round.
const RACERS: usize = 4;
const PRIZES: usize = 16;

type Store = Arc<dyn SessionStore>;

/// Runs `racer` in several tasks that start at once, each with its number and all of `prizes`.
async fn race<P, T, F>(
    store: &Store,
    prizes: &[P],
    racer: impl Fn(usize, Store, Vec<P>) -> F,
) -> Vec<T>
where
    P: Clone,
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let start = Arc::new(Barrier::new(RACERS));
    let racing = (0..RACERS).map(|number| {
        let (start, racer) = (
            Arc::clone(&start),
            racer(number, Arc::clone(store), prizes.to_vec()),
        );
        tokio::spawn(async move {
            start.wait().await;
            racer.await
        })
    });
    let finished = join_all(racing.collect::<Vec<_>>()).await;
    finished.into_iter().map(Result::unwrap).collect()
}

/// How often each session was handed to one of the racers.
fn times_handed(handed: &[Vec<Session>]) -> HashMap<SessionId, usize> {
    let mut times = HashMap::new();
    for session in handed.iter().flatten() {
        *times.entry(session.id).or_default() += 1;
    }
    times
}

fn assert_each_handed_once(handed: &[Vec<Session>], sessions: &[Session]) {
    let once: HashMap<_, _> = sessions.iter().map(|session| (session.id, 1)).collect();
    assert_eq!(times_handed(handed), once);
}

async fn prizes(store: &Store, user: &User, at: Moment) -> Vec<Session> {
    let mut sessions = Vec::new();
    for _ in 0..PRIZES {
        sessions.push(kept(&**store, user, at).await);
    }
    sessions
}

pub(crate) async fn delete_hands_the_session_to_exactly_one_caller_however_many_ask_at_once(
    store: Store,
    rounds: u32,
) {
    let (at, anna) = (present(), user("anna"));
    for _ in 0..rounds {
        let sessions = prizes(&store, &anna, at).await;
        let handed = race(&store, &sessions, |_, store, sessions| async move {
            let mut handed = Vec::new();
            for session in sessions {
                handed.extend(store.delete(&session.id, at).await.unwrap());
            }
            handed
        });
        assert_each_handed_once(&handed.await, &sessions);
        assert_eq!(list(&*store, &anna, at).await, []);
    }
}

pub(crate) async fn delete_all_hands_the_live_ones_to_exactly_one_caller(
    store: Store,
    rounds: u32,
) {
    let (at, anna) = (present(), &user("anna"));
    for _ in 0..rounds {
        let sessions = prizes(&store, anna, at).await;
        let handed = race(&store, &sessions, |racer, store, sessions| async move {
            // One of them ends the sessions one by one.
            let mut handed = Vec::new();
            let anna = &sessions[0].user;
            if racer == 0 {
                for session in &sessions {
                    handed.extend(store.delete(&session.id, at).await.unwrap());
                }
            } else {
                handed = store.delete_all(anna, at, None).await.unwrap();
                // Whoever is told "done" finds it done, by himself or another.
                assert_eq!(list(&*store, anna, at).await, []);
                assert_eq!(store.find(&sessions[0].id, at).await.unwrap(), None);
            }
            handed
        });
        assert_each_handed_once(&handed.await, &sessions);
    }
}

pub(crate) async fn an_insert_that_races_with_delete_all_is_among_them_or_survives_whole(
    store: Store,
    rounds: u32,
) {
    let (at, anna) = (present(), user("anna"));
    for _ in 0..rounds {
        let sessions: Vec<_> = (0..PRIZES).map(|_| session_of(&anna, at)).collect();
        let handed = race(&store, &sessions, |racer, store, sessions| async move {
            let mut handed = Vec::new();
            // Half of them log in, a share each, while the others log out everywhere.
            for session in sessions.into_iter().skip(racer / 2).step_by(2) {
                if racer % 2 == 0 {
                    store.insert(session, at).await.unwrap();
                } else {
                    handed.extend(store.delete_all(&session.user, at, None).await.unwrap());
                }
            }
            handed
        });
        let times = times_handed(&handed.await);
        let listed = ids(&list(&*store, &anna, at).await);
        for session in &sessions {
            let counted = times.get(&session.id).copied().unwrap_or_default();
            let found = store.find(&session.id, at).await.unwrap().is_some();
            assert_eq!(found, listed.contains(&session.id), "survived by half");
            assert_eq!(
                counted,
                usize::from(!found),
                "counted or alive, one of both"
            );
        }
        let rest = store.delete_all(&anna, at, None).await.unwrap();
        assert_eq!(ids(&rest), listed);
    }
}

pub(crate) async fn of_logins_at_once_that_spare_the_last_the_last_stays(
    store: Store,
    rounds: u32,
) {
    let (at, anna) = (present(), user("anna"));
    for _ in 0..rounds {
        let before = kept(&*store, &anna, earlier(at, MINUTE)).await;
        // Two at each of two moments, so that ids decide too.
        let born = [0, 1, 1, 0].map(|millis| later(at, millis * MILLISECOND));
        let logins = born.map(|born| session_of(&anna, born));
        let handed = race(&store, &logins, |racer, store, logins| async move {
            let login = logins[racer].clone();
            let anna = login.user.clone();
            store.insert(login, at).await.unwrap();
            let spared = Spared::Last(1);
            store.trim(&anna, &spared, at, None).await.unwrap()
        });
        let handed = handed.await;
        let mut all = [&logins[..], &[before]].concat();
        all.sort_by_key(|session| (session.created_at, session.id));
        let last = all.pop().unwrap();
        assert_each_handed_once(&handed, &all);
        assert_eq!(list(&*store, &anna, at).await, std::slice::from_ref(&last));
        store.delete(&last.id, at).await.unwrap();
    }
}

pub(crate) async fn an_insert_that_races_with_trim_is_among_them_or_survives_whole(
    store: Store,
    rounds: u32,
) {
    let (at, anna) = (present(), user("anna"));
    let own = kept(&*store, &anna, at).await;
    for _ in 0..rounds {
        let sessions: Vec<_> = (0..PRIZES).map(|_| session_of(&anna, at)).collect();
        let handed = race(&store, &sessions, |racer, store, sessions| {
            let spared = Spared::These(vec![own.id]);
            async move {
                let mut handed = Vec::new();
                // Half of them log in, a share each, while the others end the others.
                for session in sessions.into_iter().skip(racer / 2).step_by(2) {
                    if racer % 2 == 0 {
                        store.insert(session, at).await.unwrap();
                    } else {
                        let ended = store.trim(&session.user, &spared, at, None).await;
                        handed.extend(ended.unwrap());
                    }
                }
                handed
            }
        });
        let times = times_handed(&handed.await);
        let mut listed = ids(&list(&*store, &anna, at).await);
        for session in &sessions {
            let counted = times.get(&session.id).copied().unwrap_or_default();
            let found = store.find(&session.id, at).await.unwrap().is_some();
            assert_eq!(found, listed.contains(&session.id), "survived by half");
            assert_eq!(counted, usize::from(!found), "counted or alive");
        }
        assert!(listed.contains(&own.id), "the spared one is over");
        let spared = Spared::These(vec![own.id]);
        let rest = store.trim(&anna, &spared, at, None).await.unwrap();
        listed.retain(|id| *id != own.id);
        assert_eq!(ids(&rest), listed);
    }
}

pub(crate) async fn a_touch_that_races_with_a_delete_brings_nothing_back(
    store: Store,
    rounds: u32,
) {
    let idle_timeout = Some(10 * MINUTE);
    let (at, anna) = (
        Moment {
            idle_timeout,
            ..present()
        },
        user("anna"),
    );
    let used = later(at, MINUTE);
    for _ in 0..rounds {
        let sessions = prizes(&store, &anna, at).await;
        let handed = race(&store, &sessions, |racer, store, sessions| async move {
            let mut handed = Vec::new();
            for session in sessions {
                if racer == 0 {
                    handed.extend(store.delete(&session.id, at).await.unwrap());
                    // At once, while the others are still touching it.
                    let found = store.find(&session.id, used).await.unwrap();
                    assert_eq!(found, None);
                } else {
                    store.touch(&session.id, used).await.unwrap();
                }
            }
            handed
        });
        assert_each_handed_once(&handed.await, &sessions);
        assert_eq!(list(&*store, &anna, at).await, []);
    }
}

pub(crate) async fn a_sweep_that_races_with_a_delete_takes_nothing_live(store: Store, rounds: u32) {
    let (at, anna) = (present(), user("anna"));
    let minute = later(at, MINUTE);
    for _ in 0..rounds {
        let live = prizes(&store, &anna, at).await;
        let mut sessions = live.clone();
        for _ in 0..PRIZES {
            let over = Session {
                expires_at: minute.now,
                ..session_of(&anna, at)
            };
            store.insert(over.clone(), at).await.unwrap();
            sessions.push(over);
        }
        let handed = race(&store, &sessions, |racer, store, sessions| async move {
            let mut handed = Vec::new();
            for session in sessions {
                if racer % 2 == 0 {
                    store.sweep(minute).await.unwrap();
                } else {
                    handed.extend(store.delete(&session.id, minute).await.unwrap());
                }
            }
            handed
        });
        assert_each_handed_once(&handed.await, &live);
    }
    let len = store.approximate_len();
    assert!(len.is_none_or(|len| len == 0), "{len:?} counted, none kept");
}

/// Tells of each sealed session how many of the racers ended it.
fn times_ended(ended: &[Vec<bool>]) -> Vec<usize> {
    let times = |nth| ended.iter().filter(|ended| ended[nth]).count();
    (0..PRIZES).map(times).collect()
}

pub(crate) async fn revoke_sealed_ends_it_for_exactly_one_caller(store: Store, rounds: u32) {
    let (at, anna) = (present(), user("anna"));
    for round in 0..rounds {
        let user = (round % 2 == 0).then_some(&anna);
        let seals: Vec<_> = (0..PRIZES).map(|_| sealed_of(user, at)).collect();
        let ended = race(&store, &seals, |_, store, seals| async move {
            let mut ended = Vec::new();
            for sealed in &seals {
                ended.push(store.revoke_sealed(sealed, at).await.unwrap());
                assert!(store.is_revoked(sealed, at).await.unwrap());
            }
            ended
        });
        assert_eq!(times_ended(&ended.await), [1; PRIZES]);
    }
}

pub(crate) async fn a_mark_that_races_with_revoke_sealed_leaves_it_revoked(
    store: Store,
    rounds: u32,
) {
    let at = present();
    let until = Some(at.now.plus(2 * HOUR));
    for round in 0..rounds {
        let anna = user(&format!("anna {round}"));
        let sealed = [sealed_of(Some(&anna), at)];
        let ended = race(
            &store,
            &sealed,
            |racer, store, seals: Vec<SealedSession>| {
                let anna = anna.clone();
                async move {
                    if racer == 0 {
                        store.delete_all(&anna, at, until).await.unwrap();
                        assert!(!store.revoke_sealed(&seals[0], at).await.unwrap());
                        return false;
                    }
                    store.revoke_sealed(&seals[0], at).await.unwrap()
                }
            },
        );
        assert!(ended.await.into_iter().filter(|ended| *ended).count() <= 1);
        assert!(store.is_revoked(&sealed[0], at).await.unwrap());
    }
}
