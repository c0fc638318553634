//! Random histories, held against a model that is slow and plainly right. After each change the
//! store is asked for all that the change concerns.

use std::collections::HashMap;
use std::future::Future;
use std::iter;
use std::pin::Pin;
use std::time::Duration;

use neptun_auth::session::{
    CLOCK_SKEW, Moment, NotBefore, SealedSession, Session, SessionId, SessionStore, Spared, User,
};
use proptest::prelude::{Just, ProptestConfig, Strategy, any};
use proptest::sample::Index;
use proptest::test_runner::TestRunner;
use proptest::{collection, option, prop_oneof};

use super::Backend;
use super::fixtures::{
    HOUR, MILLISECOND, MINUTE, earlier, fresh_id, later, present, sealed_of, session_of, set_ahead,
    sweep_all, user,
};

/// Told apart by every byte, whatever it may mean to a store.
const USERS: [&str; 4] = ["a", "A", "a*", "{a}:% \\\"'"];

/// How far the present is moved at a time, at most.
const FAR: Duration = Duration::from_hours(4);

/// How long sealed sessions live, and marks with them.
const SEALED: Duration = Duration::from_hours(2);

/// The longest lifetime that can be asked for.
const CENTURY: Duration = Duration::from_hours(24 * 36_500);

#[derive(Clone, Debug)]
enum Step {
    Insert {
        user: Index,
        lifetime: Duration,
    },
    InsertAgain(Index),
    Touch(Index),
    Delete(Index),
    DeleteAll {
        user: Index,
        with_mark: bool,
    },
    /// Spares the last so many, or else the session.
    Trim {
        session: Index,
        last: Option<usize>,
        with_mark: bool,
    },
    RevokeSealed(Index),
    Sweep,
    /// Looks at all that a user has.
    Look(Index),
    Advance(Duration),
    /// To the last millisecond at which a session is live, then to the first at which it is not.
    PassDeadline(Index),
}

/// The clock and the rule of the replica that makes a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Replica {
    Right,
    /// Behind, as clocks differ.
    Behind,
    /// Days ahead, or behind, which its steady clock shows.
    SetAhead,
    SetBack,
    /// Right again, and was in 1970 when the machine booted.
    PutRight,
    /// Days ahead since the process began, so that nothing shows it.
    Ahead,
    /// With a stricter idle rule.
    Strict,
    /// For which only sessions made lately count.
    Since,
}

impl Replica {
    fn sees(self, at: Moment) -> Moment {
        match self {
            Self::Right => at,
            Self::Behind => earlier(at, MINUTE / 2),
            Self::SetAhead => set_ahead(at, 3 * 24),
            Self::SetBack => set_ahead(at, -3 * 24),
            Self::PutRight => Moment {
                ahead_by: at.now.as_millis(),
                ..at
            },
            Self::Ahead => later(at, 3 * 24 * HOUR),
            Self::Strict => Moment {
                idle_timeout: Some(4 * MINUTE),
                ..at
            },
            Self::Since => Moment {
                sessions_since: at.now.minus(10 * MINUTE),
                ..at
            },
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let minutes = |most: u32| (1..most).prop_map(|minutes| minutes * MINUTE);
    let lifetime = prop_oneof![5 => minutes(180), 1 => Just(CENTURY)];
    let index = any::<Index>;
    prop_oneof![
        4 => (index(), lifetime).prop_map(|(user, lifetime)| Step::Insert { user, lifetime }),
        1 => index().prop_map(Step::InsertAgain),
        3 => index().prop_map(Step::Touch),
        2 => index().prop_map(Step::Delete),
        3 => (index(), any::<bool>())
            .prop_map(|(user, with_mark)| Step::DeleteAll { user, with_mark }),
        3 => (index(), option::of(1..4_usize), any::<bool>())
            .prop_map(|(session, last, with_mark)| Step::Trim { session, last, with_mark }),
        2 => index().prop_map(Step::RevokeSealed),
        1 => Just(Step::Sweep),
        2 => index().prop_map(Step::Look),
        2 => minutes(30).prop_map(Step::Advance),
        2 => index().prop_map(Step::PassDeadline),
    ]
}

fn replica() -> impl Strategy<Value = Replica> {
    prop_oneof![
        9 => Just(Replica::Right),
        1 => Just(Replica::Behind),
        1 => Just(Replica::SetAhead),
        1 => Just(Replica::SetBack),
        1 => Just(Replica::PutRight),
        1 => Just(Replica::Ahead),
        1 => Just(Replica::Strict),
        1 => Just(Replica::Since),
    ]
}

/// Everything ever kept, in lists that are gone through from end to end. When a mark covers a
/// sealed session is told in [`NotBefore`], which has tests of its own.
#[derive(Default)]
struct Model {
    kept: Vec<Session>,
    revoked: Vec<SessionId>,
    marks: HashMap<User, NotBefore>,
}

impl Model {
    fn find(&self, id: SessionId, at: Moment) -> Option<Session> {
        let is_it = |session: &&Session| session.id == id && at.is_live(session);
        self.kept.iter().find(is_it).cloned()
    }

    fn touch(&mut self, id: SessionId, at: Moment) -> bool {
        for session in &mut self.kept {
            if session.id == id && at.is_live(session) {
                session.last_seen_at = session.last_seen_at.max(at.now);
                return true;
            }
        }
        false
    }

    fn delete(&mut self, id: SessionId, at: Moment) -> Option<Session> {
        let found = self.find(id, at);
        self.kept.retain(|session| session.id != id);
        found
    }

    fn list(&self, user: &User, at: Moment) -> Vec<Session> {
        let is_his = |session: &&Session| session.user == *user && at.is_live(session);
        sorted(self.kept.iter().filter(is_his).cloned().collect())
    }

    fn delete_all(&mut self, user: &User, at: Moment, with_mark: bool) -> Vec<Session> {
        self.trim(user, &[], at, with_mark)
    }

    /// Whatever else is there goes too: it may be live to others.
    fn trim(
        &mut self,
        user: &User,
        spared: &[SessionId],
        at: Moment,
        with_mark: bool,
    ) -> Vec<Session> {
        let mut ended = self.list(user, at);
        ended.retain(|session| !spared.contains(&session.id));
        self.kept
            .retain(|session| session.user != *user || spared.contains(&session.id));
        if with_mark {
            let newer = NotBefore::at(at);
            let follow = |known: &mut NotBefore| *known = known.followed_by(newer).0;
            self.marks
                .entry(user.clone())
                .and_modify(follow)
                .or_insert(newer);
        }
        ended
    }

    /// The last live sessions of the user.
    fn last(&self, user: &User, most: usize, at: Moment) -> Vec<SessionId> {
        let mut live = self.list(user, at);
        // Stable: those that are further ahead than clocks differ come first.
        live.sort_by_key(|session| session.created_at <= at.now.plus(CLOCK_SKEW));
        let last = live.iter().rev().take(most);
        last.map(|session| session.id).collect()
    }

    fn is_revoked(&self, sealed: &SealedSession, at: Moment) -> bool {
        let mark = sealed.user.as_ref().and_then(|user| self.marks.get(user));
        mark.is_some_and(|mark| mark.covers(sealed, at)) || self.revoked.contains(&sealed.id)
    }

    fn revoke_sealed(&mut self, sealed: &SealedSession, at: Moment) -> bool {
        let ended = !at.is_past(sealed.expires_at) && !self.is_revoked(sealed, at);
        self.revoked.extend(ended.then_some(sealed.id));
        ended
    }
}

/// Order among sessions of the same age is nobody's promise.
fn sorted(mut sessions: Vec<Session>) -> Vec<Session> {
    sessions.sort_by_key(|session| (session.created_at, session.id));
    sessions
}

/// A store and its model in the middle of a history.
struct Run<'a> {
    store: &'a dyn SessionStore,
    model: Model,
    at: Moment,
    users: Vec<User>,
    /// As first inserted, and some that never were. Ended ones are still asked for.
    known: Vec<Session>,
    seals: Vec<SealedSession>,
    /// Those of the sealed sessions first: the two kinds are told apart all the same.
    next_ids: Box<dyn Iterator<Item = SessionId>>,
}

impl<'a> Run<'a> {
    fn new(store: &'a dyn SessionStore, at: Moment) -> Self {
        let users = USERS.map(user).to_vec();
        // From an hour ago on, in turn for each user and for none.
        let sealed = |nth: u32| {
            let created_at = at.now.minus(HOUR).plus(nth * HOUR / 2);
            SealedSession {
                created_at,
                expires_at: created_at.plus(SEALED),
                ..sealed_of(users.get(nth as usize % (USERS.len() + 1)), at)
            }
        };
        let seals: Vec<SealedSession> = (0..10).map(sealed).collect();
        let sealed_ids: Vec<SessionId> = seals.iter().map(|sealed| sealed.id).collect();
        Self {
            store,
            model: Model::default(),
            at,
            known: vec![session_of(&users[0], at)],
            users,
            seals,
            next_ids: Box::new(sealed_ids.into_iter().chain(iter::repeat_with(fresh_id))),
        }
    }

    async fn take(&mut self, step: &Step, replica: Replica) {
        let replica = match (step, replica) {
            // It would forget what others hold to be live.
            (Step::Insert { .. } | Step::InsertAgain(_) | Step::Touch(_), Replica::Ahead)
            | (Step::Sweep, Replica::Ahead | Replica::Strict | Replica::Since) => Replica::Right,
            _ => replica,
        };
        let by = replica.sees(self.at);
        // What is over for a while may have left a user's index: the end of all does not reach it.
        let ends_all = matches!(step, Step::DeleteAll { .. } | Step::Trim { .. });
        if ends_all || by.now < self.at.now {
            self.remove_what_is_over().await;
        }
        match step {
            Step::Insert { user, lifetime } => {
                let user = user.get(&self.users).clone();
                self.insert(&user, *lifetime, by).await;
            }
            Step::InsertAgain(session) => {
                // As after an error, with nothing in between.
                let found = self.model.find(session.get(&self.known).id, by);
                let unused = found.filter(|found| found.last_seen_at == found.created_at);
                if let Some(session) = unused {
                    self.store.insert(session.clone(), by).await.unwrap();
                    self.look(Some(&session.user), self.at).await;
                }
            }
            Step::Touch(session) => {
                let Session { id, user, .. } = session.get(&self.known);
                let live = self.store.touch(id, by).await.unwrap();
                assert_eq!(live, self.model.touch(*id, by));
                self.look(Some(user), self.at).await;
            }
            Step::Delete(session) => {
                let Session { id, user, .. } = session.get(&self.known);
                let handed = self.store.delete(id, by).await.unwrap();
                assert_eq!(handed, self.model.delete(*id, by));
                self.look(Some(user), self.at).await;
            }
            Step::DeleteAll { user, with_mark } => {
                let user = user.get(&self.users);
                let until = with_mark.then(|| by.latest().plus(SEALED + 2 * CLOCK_SKEW));
                let ended = self.store.delete_all(user, by, until).await.unwrap();
                assert_eq!(sorted(ended), self.model.delete_all(user, by, *with_mark));
                self.look(Some(user), self.at).await;
            }
            Step::Trim {
                session,
                last,
                with_mark,
            } => {
                let Session { id, user, .. } = session.get(&self.known);
                let until = with_mark.then(|| by.latest().plus(SEALED + 2 * CLOCK_SKEW));
                let (spared, ids) = match last {
                    Some(most) => (Spared::Last(*most), self.model.last(user, *most, by)),
                    None => (Spared::These(vec![*id]), vec![*id]),
                };
                let ended = self.store.trim(user, &spared, by, until).await.unwrap();
                assert_eq!(sorted(ended), self.model.trim(user, &ids, by, *with_mark));
                self.look(Some(user), self.at).await;
            }
            Step::RevokeSealed(sealed) => {
                let sealed = sealed.get(&self.seals);
                // A revocation that is over by the right clock may have been forgotten.
                let is_past = self.at.is_past(sealed.expires_at);
                let by = if is_past { self.at } else { by };
                let ended = self.store.revoke_sealed(sealed, by).await.unwrap();
                assert_eq!(ended, self.model.revoke_sealed(sealed, by));
                self.look(sealed.user.as_ref(), self.at).await;
            }
            Step::Sweep => sweep_all(self.store, by).await,
            Step::Look(user) => self.look(Some(user.get(&self.users)), by).await,
            Step::Advance(span) => self.at = later(self.at, *span),
            Step::PassDeadline(session) => {
                let found = self.model.find(session.get(&self.known).id, self.at);
                if let Some(session) = found {
                    self.pass_deadline(&session).await;
                }
            }
        }
    }

    async fn insert(&mut self, user: &User, lifetime: Duration, by: Moment) {
        let session = Session {
            id: self.next_ids.next().unwrap(),
            expires_at: by.now.plus(lifetime),
            ..session_of(user, by)
        };
        self.store.insert(session.clone(), by).await.unwrap();
        self.model.kept.push(session.clone());
        if self.known.len().is_multiple_of(4) {
            let mut digest = *session.id.as_bytes();
            digest[31] ^= 1;
            self.known.push(Session {
                id: SessionId::from_bytes(digest),
                ..session.clone()
            });
        }
        self.known.push(session);
        self.look(Some(user), self.at).await;
    }

    async fn pass_deadline(&mut self, session: &Session) {
        let deadline = self.at.deadline(session);
        if deadline.since(self.at.now) < FAR {
            self.at.now = self.at.now.max(deadline.minus(MILLISECOND));
            self.look(Some(&session.user), self.at).await;
            self.at.now = deadline;
            self.look(Some(&session.user), self.at).await;
        }
    }

    /// What is over by the right clock may have been removed, or not yet. Now it is.
    async fn remove_what_is_over(&mut self) {
        let kept = self.model.kept.clone();
        for session in kept.iter().filter(|session| !self.at.is_live(session)) {
            let handed = self.store.delete(&session.id, self.at).await.unwrap();
            assert_eq!(handed, self.model.delete(session.id, self.at));
        }
    }

    /// Compares all there is of a user, or of sealed sessions without one.
    async fn look(&self, user: Option<&User>, by: Moment) {
        if let Some(user) = user {
            let listed = self.store.list(user, by).await.unwrap();
            assert!(!listed.truncated);
            assert!(
                listed
                    .sessions
                    .is_sorted_by_key(|session| session.created_at)
            );
            assert_eq!(sorted(listed.sessions), self.model.list(user, by));
        }
        for session in self
            .known
            .iter()
            .filter(|session| Some(&session.user) == user)
        {
            let found = self.store.find(&session.id, by).await.unwrap();
            assert_eq!(found, self.model.find(session.id, by));
        }
        for sealed in self
            .seals
            .iter()
            .filter(|sealed| sealed.user.as_ref() == user)
        {
            if !self.at.is_past(sealed.expires_at) {
                let revoked = self.store.is_revoked(sealed, by).await.unwrap();
                assert_eq!(revoked, self.model.is_revoked(sealed, by), "{sealed:?}");
            }
        }
    }

    async fn finish(self) {
        for user in self.users.iter().map(Some).chain([None]) {
            self.look(user, self.at).await;
        }
        sweep_all(self.store, later(self.at, 2 * CENTURY)).await;
        let len = self.store.approximate_len();
        assert!(len.is_none_or(|len| len == 0), "{len:?} left of nothing");
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
    let histories = (idle_timeout, collection::vec((step(), replica()), 1..80));
    let outcome = TestRunner::new(config).run(&histories, |(idle_timeout, history)| {
        runtime.block_on(async {
            let backend = open().await;
            let at = Moment {
                idle_timeout,
                ..present()
            };
            let mut run = Run::new(&*backend.store, at);
            for (step, replica) in &history {
                run.take(step, *replica).await;
            }
            run.finish().await;
        });
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}
