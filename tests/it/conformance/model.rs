//! Random histories, held against a model that is slow and plainly right.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use neptun_auth::session::{
    CLOCK_SKEW, Moment, NotBefore, SealedSession, Session, SessionStore, User,
};
use proptest::prelude::{Just, ProptestConfig, Strategy, any};
use proptest::sample::Index;
use proptest::test_runner::TestRunner;
use proptest::{collection, option, prop_oneof};

use super::Backend;
use super::cases::{
    HOUR, MILLISECOND, MINUTE, fresh_id, present, sealed_of, session_of, set_ahead, user,
};

const USERS: [&str; 3] = ["anna", "berta", "clara"];

/// Longer than any history, and than any sealed session in it.
const FOR_EVER: Duration = Duration::from_hours(24 * 3650);

/// Further than any history goes: the present never comes to a mark that was ahead.
const JUMP_HOURS: i64 = 24 * 365;

#[derive(Clone, Debug)]
enum Step {
    Insert {
        user: Index,
        lifetime: Duration,
    },
    InsertAgain(Index),
    Find(Index),
    Touch(Index),
    Delete(Index),
    List(Index),
    DeleteAll {
        user: Index,
        with_mark: bool,
    },
    RevokeSealed(Index),
    IsRevoked(Index),
    Sweep,
    Advance(Duration),
    AdvanceToDeadline {
        session: Index,
        short_by: Duration,
    },
    /// The wall clock jumps ahead, once, or if it is ahead, back.
    Jump,
}

fn step() -> impl Strategy<Value = Step> {
    let minutes = |most: u32| (1..most).prop_map(|minutes| minutes * MINUTE);
    let index = any::<Index>;
    prop_oneof![
        4 => (index(), minutes(180)).prop_map(|(user, lifetime)| Step::Insert { user, lifetime }),
        1 => index().prop_map(Step::InsertAgain),
        3 => index().prop_map(Step::Find),
        3 => index().prop_map(Step::Touch),
        2 => index().prop_map(Step::Delete),
        2 => index().prop_map(Step::List),
        1 => (index(), any::<bool>())
            .prop_map(|(user, with_mark)| Step::DeleteAll { user, with_mark }),
        2 => index().prop_map(Step::RevokeSealed),
        2 => index().prop_map(Step::IsRevoked),
        1 => Just(Step::Sweep),
        1 => minutes(30).prop_map(Step::Advance),
        1 => Just(Step::Advance(MILLISECOND)),
        2 => (index(), prop_oneof![Just(Duration::ZERO), Just(MILLISECOND)])
            .prop_map(|(session, short_by)| Step::AdvanceToDeadline { session, short_by }),
        1 => Just(Step::Jump),
    ]
}

/// Everything ever inserted or revoked, in lists that are gone through from end to end.
struct Model {
    kept: Vec<Session>,
    revoked: Vec<SealedSession>,
    marks: Vec<(User, NotBefore)>,
}

impl Model {
    fn find(&self, wanted: &Session, at: Moment) -> Option<Session> {
        let is_it = |session: &&Session| session.id == wanted.id && at.is_live(session);
        self.kept.iter().find(is_it).cloned()
    }

    fn touch(&mut self, wanted: &Session, at: Moment) -> bool {
        for session in &mut self.kept {
            if session.id == wanted.id && at.is_live(session) {
                session.last_seen_at = session.last_seen_at.max(at.now);
                return true;
            }
        }
        false
    }

    fn delete(&mut self, wanted: &Session, at: Moment) -> Option<Session> {
        let found = self.find(wanted, at);
        self.kept.retain(|session| session.id != wanted.id);
        found
    }

    fn list(&self, user: &User, at: Moment) -> Vec<Session> {
        let is_his = |session: &&Session| session.user == *user && at.is_live(session);
        sorted(self.kept.iter().filter(is_his).cloned().collect())
    }

    fn delete_all(&mut self, user: &User, at: Moment, with_mark: bool) -> Vec<Session> {
        let ended = self.list(user, at);
        self.kept.retain(|session| session.user != *user);
        if with_mark {
            self.marks.push((user.clone(), NotBefore::at(at)));
        }
        ended
    }

    fn is_revoked(&self, sealed: &SealedSession, at: Moment) -> bool {
        let covers = |(user, not_before): &(User, NotBefore)| {
            let was_ahead = not_before.wall > at.now.plus(CLOCK_SKEW);
            let last = if was_ahead {
                not_before.steady
            } else {
                not_before.wall
            };
            sealed.user.as_ref() == Some(user) && sealed.created_at <= last
        };
        self.revoked.contains(sealed) || self.marks.iter().any(covers)
    }

    fn revoke_sealed(&mut self, sealed: &SealedSession, at: Moment) -> bool {
        let ended = !self.is_revoked(sealed, at);
        if ended {
            self.revoked.push(sealed.clone());
        }
        ended
    }
}

/// Order among sessions of the same age is nobody's promise.
fn sorted(mut sessions: Vec<Session>) -> Vec<Session> {
    sessions.sort_by_key(|session| (session.created_at, session.id));
    sessions
}

/// Runs one history on both and compares every answer.
async fn run(store: &dyn SessionStore, idle_timeout: Option<Duration>, history: &[Step]) {
    let mut at = Moment {
        idle_timeout,
        ..present()
    };
    let mut jumps = [JUMP_HOURS, -JUMP_HOURS].into_iter();
    let users = USERS.map(user);
    let mut model = Model {
        kept: Vec::new(),
        revoked: Vec::new(),
        marks: Vec::new(),
    };
    // As first inserted; ended ones stay among those that are asked for.
    let mut known = vec![session_of(&users[0], at)];
    let seals: Vec<SealedSession> = (0..6)
        .map(|nth: usize| SealedSession {
            id: fresh_id(),
            created_at: at.now.plus(HOUR * u32::try_from(nth).unwrap() / 2),
            expires_at: at.now.plus(FOR_EVER),
            ..sealed_of(users.get(nth % 4), at)
        })
        .collect();

    for step in history {
        match step {
            Step::Insert { user, lifetime } => {
                let session = Session {
                    expires_at: at.now.plus(*lifetime),
                    ..session_of(user.get(&users), at)
                };
                store.insert(session.clone(), at).await.unwrap();
                model.kept.push(session.clone());
                known.push(session);
            }
            Step::InsertAgain(session) => {
                // As after an error, with nothing in between.
                let Some(session) = model.find(session.get(&known), at) else {
                    continue;
                };
                if session.last_seen_at == session.created_at {
                    store.insert(session, at).await.unwrap();
                }
            }
            Step::Find(session) => {
                let session = session.get(&known);
                let found = store.find(&session.id, at).await.unwrap();
                assert_eq!(found, model.find(session, at));
            }
            Step::Touch(session) => {
                let session = session.get(&known);
                let live = store.touch(&session.id, at).await.unwrap();
                assert_eq!(live, model.touch(session, at));
            }
            Step::Delete(session) => {
                let session = session.get(&known);
                let handed = store.delete(&session.id, at).await.unwrap();
                assert_eq!(handed, model.delete(session, at));
            }
            Step::List(user) => {
                let user = user.get(&users);
                let listed = store.list(user, at).await.unwrap().sessions;
                assert!(listed.is_sorted_by_key(|session| session.created_at));
                assert_eq!(sorted(listed), model.list(user, at));
            }
            Step::DeleteAll { user, with_mark } => {
                let user = user.get(&users);
                let until = with_mark.then(|| at.now.plus(FOR_EVER));
                let ended = store.delete_all(user, at, until).await.unwrap();
                assert_eq!(sorted(ended), model.delete_all(user, at, *with_mark));
            }
            Step::RevokeSealed(sealed) => {
                let sealed = sealed.get(&seals);
                let ended = store.revoke_sealed(sealed, at).await.unwrap();
                assert_eq!(ended, model.revoke_sealed(sealed, at));
            }
            Step::IsRevoked(sealed) => {
                let sealed = sealed.get(&seals);
                let revoked = store.is_revoked(sealed, at).await.unwrap();
                assert_eq!(revoked, model.is_revoked(sealed, at));
            }
            Step::Sweep => store.sweep(at).await.unwrap(),
            Step::Advance(span) => at.now = at.now.plus(*span),
            Step::AdvanceToDeadline { session, short_by } => {
                // Never backward by both clocks: what is over may have been removed.
                if let Some(session) = model.find(session.get(&known), at) {
                    at.now = at.now.max(at.deadline(&session).minus(*short_by));
                }
            }
            Step::Jump => at = set_ahead(at, jumps.next().unwrap_or_default()),
        }
    }

    for session in &known {
        let found = store.find(&session.id, at).await.unwrap();
        assert_eq!(found, model.find(session, at));
    }
    for user in &users {
        let listed = store.list(user, at).await.unwrap().sessions;
        assert_eq!(sorted(listed), model.list(user, at));
    }
    for sealed in &seals {
        let revoked = store.is_revoked(sealed, at).await.unwrap();
        assert_eq!(revoked, model.is_revoked(sealed, at));
    }
}

type Opening = Pin<Box<dyn Future<Output = Backend>>>;

/// Holds as many random histories against the model as the backend is good for.
pub(crate) fn check(open: impl Fn() -> Opening) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let config = ProptestConfig {
        cases: runtime.block_on(open()).histories,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let idle_timeout = option::of((5_u32..60).prop_map(|minutes| minutes * MINUTE));
    let histories = (idle_timeout, collection::vec(step(), 1..80));
    let outcome = TestRunner::new(config).run(&histories, |(idle_timeout, history)| {
        runtime.block_on(async {
            let backend = open().await;
            run(&*backend.store, idle_timeout, &history).await;
        });
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}
