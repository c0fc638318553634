//! Sessions as the rest of the service speaks of them: check, revoke, list. `login` issues them, and
//! `own` has what people may do with their own.
//!
//! The manager owns the clock and the lifetimes, turns tokens into ids, and sees to it that every
//! session which is ended is told (`audit`), also by calls that failed or that nobody waited for
//! any longer. It knows no HTTP and no particular store. It never retries and never caches: what
//! the store says now is the answer.

mod login;
mod own;

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, Either, Ready, ready};
use futures_util::stream::{self, StreamExt as _};
use tokio::sync::Semaphore;
use tokio::task::yield_now;

use super::audit::{Audit, EndReason, Observer};
use super::credential::{Credential, Seals};
use super::{
    Clock, Ended, Moment, Reading, SealedSession, Session, SessionId, SessionList, SessionStore,
    SessionToken, Spared, StoreError, Timestamp, Ttl, User,
};
use crate::deadline::{Deadline, within};
use crate::task::{self, to_the_end};

pub use login::{Issued, Login};
pub use own::OwnError;

/// How many calls of one request the store has to do with at a time: one that presents hundreds of
/// values must not weigh more than others.
const CALLS_AT_ONCE: usize = 4;

/// How many logouts of several values may be unfinished. They go on after their requests have run
/// out of time, so it is not the number of connections that bounds them.
const UNFINISHED_LOGOUTS: usize = 1_000;

/// How long sessions live.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// Absolute lifetime of a session that is issued without one of its own.
    pub session_ttl: Ttl,
    /// How long a session may go unused; `None` for as long as it lives.
    pub idle_timeout: Option<Duration>,
    /// What was made before this is over; [`Timestamp::MIN`] for none.
    pub sessions_since: Timestamp,
}

/// How long the store is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// One call.
    pub call: Duration,
    /// All calls of one request together.
    pub request: Duration,
}

/// Why no session could be issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The operating system gave no randomness.
    #[error("no random bytes for a token")]
    Random(#[from] getrandom::Error),
}

/// Whose a request is, and by which session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The session's public name.
    pub id: SessionId,
    /// Its user.
    pub user: User,
    /// When the user logged in; not known of a sealed session, whose payload may be older.
    pub logged_in_at: Option<Timestamp>,
}

impl Identity {
    fn of(session: Session) -> Self {
        Self {
            id: session.id,
            user: session.user,
            logged_in_at: Some(session.created_at),
        }
    }
}

/// What the store says of one session.
type Found = Result<Option<Session>, StoreError>;

/// What the store says of one presented value.
enum Verdict {
    Live(Identity),
    /// No session of ours, and nothing the web app behind us would take for one.
    Unknown,
    /// A sealed session that is over, was revoked, has no user to name or cannot be told apart from
    /// others. The web app would still take it, so no other value
    /// may identify the request that presents it.
    Rejected,
}

/// Issues, checks and revokes sessions. Shared by all requests.
pub struct SessionManager {
    store: Arc<dyn SessionStore>,
    clock: Arc<dyn Clock>,
    lifetimes: Lifetimes,
    timeouts: Timeouts,
    seals: Option<Seals>,
    audit: Audit,
    unfinished_logouts: Arc<Semaphore>,
}

impl SessionManager {
    /// A manager of the sessions in `store`, which tells `observer` what happens to them.
    #[must_use]
    pub fn new(
        store: Arc<dyn SessionStore>,
        clock: Arc<dyn Clock>,
        lifetimes: Lifetimes,
        timeouts: Timeouts,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self {
            store,
            clock,
            lifetimes,
            timeouts,
            seals: None,
            audit: Audit(observer),
            unfinished_logouts: Arc::new(Semaphore::new(UNFINISHED_LOGOUTS)),
        }
    }

    /// The same manager, which also knows sealed sessions.
    #[must_use]
    pub fn with_seals(self, seals: Option<Seals>) -> Self {
        Self { seals, ..self }
    }

    /// Whose a request is that presents `tokens`: the identity of the first live one, provided
    /// that all live ones belong to one user and no sealed one is over. Using a session keeps it
    /// from idling out. Known at once if nothing has to be waited for.
    pub fn check<T>(self: &Arc<Self>, tokens: T) -> AtOnceOrLater<Option<Identity>>
    where
        T: AsRef<[SessionToken]> + Send + 'static,
    {
        let at = self.moment();
        let only = match tokens.as_ref() {
            [only] => Some(self.credential(only, at)),
            _ => None,
        };
        let mut found = match &only {
            Some(Credential::Issued(id)) => self.store.find_at_once(id, at),
            _ => None,
        };
        let is_all = |found: &mut Found| !matches!(found, Ok(Some(live)) if at.touch_is_due(live));
        if let Some(found) = found.take_if(is_all) {
            return Either::Left(ready(found.map(|found| found.map(Identity::of))));
        }
        let (sessions, deadline) = (Arc::clone(self), Deadline::after(self.timeouts.request));
        Either::Right(Box::pin(async move {
            let Some(only) = only else {
                return sessions.check_all(tokens.as_ref(), at, &deadline).await;
            };
            Ok(match sessions.judge(only, found, at, &deadline).await? {
                Verdict::Live(identity) => Some(identity),
                Verdict::Unknown | Verdict::Rejected => None,
            })
        }))
    }

    async fn check_all(
        &self,
        tokens: &[SessionToken],
        at: Moment,
        deadline: &Deadline,
    ) -> Result<Option<Identity>, StoreError> {
        let credentials = self.credentials(tokens, at);
        let verdicts = stream::iter(credentials).map(|one| self.judge(one, None, at, deadline));
        let mut verdicts = pin!(verdicts.buffered(CALLS_AT_ONCE));
        let mut identity: Option<Identity> = None;
        while let Some(verdict) = verdicts.next().await {
            match (verdict?, &identity) {
                (Verdict::Unknown, _) => {}
                (Verdict::Live(live), None) => identity = Some(live),
                (Verdict::Live(live), Some(first)) if live.user == first.user => {}
                (Verdict::Live(_) | Verdict::Rejected, _) => return Ok(None),
            }
            // A store in memory never has it wait, and others want their turn.
            yield_now().await;
        }
        Ok(identity)
    }

    async fn judge(
        &self,
        credential: Credential,
        found: Option<Found>,
        at: Moment,
        deadline: &Deadline,
    ) -> Result<Verdict, StoreError> {
        Ok(match credential {
            Credential::Issued(id) => match self.use_one(&id, found, at, deadline).await? {
                Some(session) => Verdict::Live(Identity::of(session)),
                None => Verdict::Unknown,
            },
            Credential::Sealed(sealed) => match sealed.user.clone() {
                Some(user) if !self.is_revoked(&sealed, at, deadline).await? => {
                    Verdict::Live(Identity {
                        id: sealed.id,
                        user,
                        logged_in_at: None,
                    })
                }
                _ => Verdict::Rejected,
            },
            Credential::NotYetValid(_) | Credential::Rejected => Verdict::Rejected,
            Credential::Unrecognized => Verdict::Unknown,
        })
    }

    async fn is_revoked(
        &self,
        sealed: &SealedSession,
        at: Moment,
        deadline: &Deadline,
    ) -> Result<bool, StoreError> {
        in_time(deadline.hold(self.store.is_revoked(sealed, at)).await)
    }

    /// Finds a session, unless the store has already `found` it, and notes that it was used.
    async fn use_one(
        &self,
        id: &SessionId,
        found: Option<Found>,
        at: Moment,
        deadline: &Deadline,
    ) -> Result<Option<Session>, StoreError> {
        let found = match found {
            Some(found) => found,
            None => in_time(deadline.hold(self.store.find(id, at)).await),
        };
        let Some(session) = found? else {
            return Ok(None);
        };
        if !at.touch_is_due(&session) {
            return Ok(Some(session));
        }
        match in_time(deadline.hold(self.store.touch(id, at)).await) {
            Ok(still_live) => Ok(still_live.then_some(session)),
            // The store has just said that the session is live. That it cannot take a write
            // (a full disk, a full Redis), or not in time, is no reason to turn a logged-in user
            // away.
            Err(error) => {
                let (class, id) = (error.class(), *id);
                task::rate_limit("touch", class).note(|| {
                    move |times| {
                        tracing::warn!(session = %id, class, times, "last use not recorded: {error}");
                    }
                });
                Ok(Some(session))
            }
        }
    }

    /// Ends the sessions of all `tokens`; says whether any was live: at once if nothing has to be
    /// waited for, as with a single token and a store in memory. Every one is tried even if
    /// another fails or time runs out, and one that cannot be confirmed makes the whole an error.
    pub fn revoke<T>(self: &Arc<Self>, tokens: T) -> AtOnceOrLater<bool>
    where
        T: AsRef<[SessionToken]> + Send + 'static,
    {
        let at = self.moment();
        match tokens.as_ref() {
            [] => Either::Left(ready(Ok(false))),
            [only] => self.end(self.credential(only, at), at, EndReason::Logout),
            _ => {
                let sessions = Arc::clone(self);
                Either::Right(Box::pin(async move {
                    Ok(sessions.revoke_all(tokens, at, EndReason::Logout).await? > 0)
                }))
            }
        }
    }

    async fn revoke_all<T>(
        self: &Arc<Self>,
        tokens: T,
        at: Moment,
        why: EndReason,
    ) -> Result<usize, StoreError>
    where
        T: AsRef<[SessionToken]> + Send + 'static,
    {
        let permit = Arc::clone(&self.unfinished_logouts).try_acquire_owned();
        let permit = permit.map_err(|_| StoreError::overloaded())?;
        let sessions = Arc::clone(self);
        let all = async move {
            let _permit = permit;
            sessions.end_all(tokens.as_ref(), at, why).await
        };
        in_time(within(self.timeouts.request, pin!(to_the_end(all, told))).await)
    }

    /// Ends the sessions of all `tokens` for this reason; says how many were live.
    async fn end_presented(
        self: &Arc<Self>,
        tokens: Vec<SessionToken>,
        why: EndReason,
    ) -> Result<usize, StoreError> {
        let at = self.moment();
        match &*tokens {
            [] => Ok(0),
            [only] => {
                let was_live = self.end(self.credential(only, at), at, why).await;
                was_live.map(usize::from)
            }
            _ => self.revoke_all(tokens, at, why).await,
        }
    }

    async fn end_all(
        self: &Arc<Self>,
        tokens: &[SessionToken],
        at: Moment,
        why: EndReason,
    ) -> Result<usize, StoreError> {
        let credentials = self.credentials(tokens, at);
        let ending = stream::iter(credentials).map(|one| self.end(one, at, why));
        let mut ending = pin!(ending.buffer_unordered(CALLS_AT_ONCE));
        let mut outcome = Ok(0);
        while let Some(ended) = ending.next().await {
            outcome = outcome.and_then(|count| Ok(count + usize::from(ended?)));
            // As in `check`.
            yield_now().await;
        }
        outcome
    }

    fn end(
        self: &Arc<Self>,
        credential: Credential,
        at: Moment,
        why: EndReason,
    ) -> AtOnceOrLater<bool> {
        let at_once = match &credential {
            Credential::Issued(id) => {
                let outcome = self.store.delete_at_once(id, at);
                outcome.map(|outcome| self.told_of(id, outcome, why))
            }
            Credential::Sealed(_) | Credential::NotYetValid(_) => None,
            Credential::Rejected | Credential::Unrecognized => Some(Ok(false)),
        };
        if let Some(ended) = at_once {
            return Either::Left(ready(ended));
        }
        let sessions = Arc::clone(self);
        Either::Right(Box::pin(async move {
            match credential {
                Credential::Issued(id) => sessions.end_issued(id, at, why).await,
                Credential::Sealed(sealed) => sessions.end_sealed(sealed, at, Some(why)).await,
                // It ends nothing that was live, and must not begin.
                Credential::NotYetValid(sealed) => sessions.end_sealed(sealed, at, None).await,
                Credential::Rejected | Credential::Unrecognized => Ok(false),
            }
        }))
    }

    /// What the presented values are, in their order, equal ones once. Unrecognized ones are left
    /// out before anything is kept of them: a head can hold hundreds.
    fn credentials(&self, tokens: &[SessionToken], at: Moment) -> impl Iterator<Item = Credential> {
        let mut seen = HashSet::new();
        tokens.iter().filter_map(move |token| {
            let credential = self.credential(token, at);
            let is_new = credential != Credential::Unrecognized && seen.insert(token.expose());
            is_new.then_some(credential)
        })
    }

    fn credential(&self, token: &SessionToken, at: Moment) -> Credential {
        Credential::of(
            token,
            self.seals.as_ref(),
            at,
            self.lifetimes.session_ttl.get(),
        )
    }

    /// Ends the session of this id; says whether it was live.
    pub async fn revoke_id(self: &Arc<Self>, id: SessionId) -> Result<bool, StoreError> {
        self.end_issued(id, self.moment(), EndReason::Admin).await
    }

    async fn end_issued(
        self: &Arc<Self>,
        id: SessionId,
        at: Moment,
        why: EndReason,
    ) -> Result<bool, StoreError> {
        let sessions = Arc::clone(self);
        let call = async move {
            let outcome = sessions.store.delete(&id, at).await;
            sessions.told_of(&id, outcome, why)
        };
        in_time(within(self.timeouts.call, pin!(to_the_end(call, told))).await)
    }

    /// Tells of the session that was ended, if one was; says whether one was.
    fn told_of(
        &self,
        id: &SessionId,
        outcome: Result<Option<Session>, StoreError>,
        why: EndReason,
    ) -> Result<bool, StoreError> {
        let ended = match &outcome {
            Ok(ended) => ended.as_ref(),
            Err(error) => error.ended().sessions.first(),
        };
        if let Some(session) = ended {
            self.audit.ended(id, Some(&session.user), why);
        }
        Ok(outcome?.is_some())
    }

    /// Ends a sealed session for this reason; without one it has not begun.
    async fn end_sealed(
        self: &Arc<Self>,
        sealed: SealedSession,
        at: Moment,
        why: Option<EndReason>,
    ) -> Result<bool, StoreError> {
        let sessions = Arc::clone(self);
        let call = async move {
            let outcome = sessions.store.revoke_sealed(&sealed, at).await;
            let ended = match &outcome {
                Ok(ended) => *ended,
                Err(error) => error.ended().sealed,
            };
            if let Some(why) = why.filter(|_| ended) {
                let user = sealed.user.as_ref();
                sessions.audit.ended(&sealed.id, user, why);
            }
            Ok(outcome? && why.is_some())
        };
        in_time(within(self.timeouts.call, pin!(to_the_end(call, told))).await)
    }

    /// Ends all sessions of `user`, sealed ones included; says how many were in the store and
    /// live.
    pub async fn revoke_user(self: &Arc<Self>, user: User) -> Result<usize, StoreError> {
        self.end_of_user(user, None, true, EndReason::User).await
    }

    /// Ends the sessions of `user` but the spared, sealed ones included if so; says how many were
    /// in the store and live.
    async fn end_of_user(
        self: &Arc<Self>,
        user: User,
        spared: Option<Spared>,
        with_seals: bool,
        why: EndReason,
    ) -> Result<usize, StoreError> {
        let at = self.moment();
        let ends_seals = with_seals && self.seals.is_some();
        let seals_until = ends_seals.then(|| self.last_seal_until(at));
        let call = {
            let (sessions, user) = (Arc::clone(self), user.clone());
            async move {
                match spared {
                    Some(spared) => sessions.store.trim(&user, &spared, at, seals_until).await,
                    None => sessions.store.delete_all(&user, at, seals_until).await,
                }
            }
        };
        let late = {
            let (sessions, user) = (Arc::clone(self), user.clone());
            async move |outcome: Result<_, StoreError>| match outcome {
                Ok(ended) => {
                    let sealed = seals_until.is_some();
                    let ended = Ended {
                        sessions: ended,
                        sealed,
                    };
                    sessions.audit.some_ended(&user, &ended, why);
                }
                Err(error) => sessions.audit.some_ended(&user, error.ended(), why),
            }
        };
        let ended = within(self.timeouts.call, pin!(to_the_end(call, late))).await;
        let ended =
            in_time(ended).inspect_err(|error| self.audit.some_ended(&user, error.ended(), why))?;
        self.audit.all_ended(&user, &ended, ends_seals, why);
        Ok(ended.len())
    }

    /// When the last of the sealed sessions that exist now is over.
    fn last_seal_until(&self, at: Moment) -> Timestamp {
        at.latest().plus(self.lifetimes.session_ttl.get())
    }

    /// The live session of this id.
    pub async fn find(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        self.store.find(&id, self.moment()).await
    }

    /// The live sessions of `user`.
    pub async fn list(&self, user: &User) -> Result<SessionList, StoreError> {
        self.store.list(user, self.moment()).await
    }

    /// Whether the store answers and would keep its promises.
    pub async fn ready(&self) -> Result<(), StoreError> {
        self.store.ready().await
    }

    /// How many sessions and revocations are kept, where the store knows cheaply.
    #[must_use]
    pub fn approximate_len(&self) -> Option<u64> {
        self.store.approximate_len()
    }

    /// Removes some sessions that are over; see [`SessionStore::sweep`].
    pub async fn sweep(&self) -> Result<(), StoreError> {
        self.store.sweep(self.moment()).await
    }

    /// Ends the use of the store in order; no other call may come after it.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.store.close().await
    }

    /// Does what takes several calls in the time of one request, and to its end in any case; then
    /// `late` gets what comes of it.
    async fn as_one_request<T, E, L>(
        &self,
        work: impl Future<Output = Result<T, E>> + Send + 'static,
        late: impl FnOnce(Result<T, E>) -> L + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        L: Future<Output = ()> + Send + 'static,
    {
        let outcome = within(self.timeouts.request, pin!(to_the_end(work, late))).await;
        outcome.unwrap_or_else(|| Err(StoreError::timed_out().into()))
    }

    fn moment(&self) -> Moment {
        let Reading { now, ahead_by } = self.clock.read();
        Moment {
            now,
            ahead_by,
            idle_timeout: self.lifetimes.idle_timeout,
            sessions_since: self.lifetimes.sessions_since,
        }
    }
}

/// What is known at once, or what comes of waiting. The latter is boxed, or all that never wait
/// would have room for it.
type AtOnceOrLater<T> =
    Either<Ready<Result<T, StoreError>>, BoxFuture<'static, Result<T, StoreError>>>;

/// For a call that has told by itself what it ended.
async fn told<T>(_outcome: T) {}

/// The answer of a call, if there was one in time.
fn in_time<T>(answer: Option<Result<T, StoreError>>) -> Result<T, StoreError> {
    answer.unwrap_or_else(|| Err(StoreError::timed_out()))
}
