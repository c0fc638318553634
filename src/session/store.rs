//! What the domain asks of a place that keeps sessions: a contract in words.
//!
//! Every store passes the conformance suite (`tests/it/conformance/`): random histories against a
//! model of this contract, and cases named after its sentences where examples help, calls race or
//! nobody waits for them. The adapters live in `store`.

use std::error::Error;
use std::fmt;

use async_trait::async_trait;

use super::{
    CommonClass, ErrorClass, Moment, SealedSession, Session, SessionId, SessionList, Spared,
    Timestamp, User,
};

/// A place that keeps sessions.
///
/// - **Absence is `None`, `false` or nothing; failure is `Err`.** A store that does not know
///   never says "no".
/// - **A session that is over is absent**, from the very millisecond of its deadline, whether or
///   not the store has got round to removing it. Stores never read a clock: they judge by the
///   [`Moment`] of the call.
/// - **Nothing is forgotten before it is over by both clocks** of the [`Moment`]: sessions,
///   revocations and marks outlast a wall clock that jumps ahead and back.
/// - **After an `Ok`, the change holds**: for every replica that shares the store, and for as
///   long as the store promises to remember.
/// - **After an `Err`, a change may or may not have been applied**; asking again settles it, and
///   is always safe.
/// - **What ends is told exactly once**, in the answer or in the error of the call that ended it.
///   A call that knows of sessions it has ended and fails after all names them in its error
///   ([`StoreError::having_ended`]): whoever asks again is not handed them.
/// - **A call may be begun by one task and awaited by another.** One that changes something is
///   always awaited, however long ago its caller was told that it timed out, and what it says
///   then is told and counted all the same. So a store gives such a call up only when no answer
///   can come any more, and need not do so in time.
/// - **A future that is dropped leaves the store whole**: the call happened or it did not.
#[async_trait]
pub trait SessionStore: Send + Sync + 'static {
    /// Keeps a new session. Refuses with [`StoreErrorKind::Full`] rather than evict a live one.
    /// After an `Err` nobody is told of the session, so the store removes what it has kept of it
    /// as far as it can; one kept too late its caller deletes.
    async fn insert(&self, session: Session, at: Moment) -> Result<(), StoreError>;

    /// The live session of this id. Writes nothing.
    async fn find(&self, id: &SessionId, at: Moment) -> Result<Option<Session>, StoreError>;

    /// What [`find`](Self::find) answers, from a store that never has to wait for it: waiting costs
    /// more than a look into memory. `None` from one that may have to.
    fn find_at_once(
        &self,
        _id: &SessionId,
        _at: Moment,
    ) -> Option<Result<Option<Session>, StoreError>> {
        None
    }

    /// Moves the session's `last_seen_at` forward to now, if it is live; says whether it was. It
    /// never brings a session back, nor moves `last_seen_at` backward.
    async fn touch(&self, id: &SessionId, at: Moment) -> Result<bool, StoreError>;

    /// Removes the session and hands it to exactly one caller, however many ask at once. One
    /// that was over already is handed to nobody.
    async fn delete(&self, id: &SessionId, at: Moment) -> Result<Option<Session>, StoreError>;

    /// Does what [`delete`](Self::delete) does, in a store that never has to wait for it; `None`
    /// from one that may have to, which has done nothing.
    fn delete_at_once(
        &self,
        _id: &SessionId,
        _at: Moment,
    ) -> Option<Result<Option<Session>, StoreError>> {
        None
    }

    /// The user's live sessions, oldest first: the [`SessionList::MOST`] that expire last, and
    /// whether there are more.
    async fn list(&self, user: &User, at: Moment) -> Result<SessionList, StoreError>;

    /// Removes all sessions of the user and hands the live ones to exactly one caller. An insert
    /// that races with it is either among them or survives whole.
    ///
    /// With `seals_until`, also revokes the user's sealed sessions created up to now, by a mark
    /// that is kept until that moment. A later call moves the mark forward, never back, but for a
    /// mark that is ahead of the present: [`NotBefore`](super::NotBefore) says what holds then.
    async fn delete_all(
        &self,
        user: &User,
        at: Moment,
        seals_until: Option<Timestamp>,
    ) -> Result<Vec<Session>, StoreError> {
        let nobody = Spared::These(Vec::new());
        self.trim(user, &nobody, at, seals_until).await
    }

    /// Removes the user's sessions but the `spared`, hands the live ones among them to exactly one
    /// caller, and sets the mark as [`delete_all`](Self::delete_all) does. An insert that races
    /// with it is either taken into account or survives whole; of calls that race and spare the
    /// last ones, none removes what all of them spare.
    async fn trim(
        &self,
        user: &User,
        spared: &Spared,
        at: Moment,
        seals_until: Option<Timestamp>,
    ) -> Result<Vec<Session>, StoreError>;

    /// Revokes a sealed session until its `expires_at`; says whether that ended it, which it
    /// does for exactly one caller, and for none if it was revoked with its user's others or is
    /// over by both clocks.
    /// Refuses with [`StoreErrorKind::Full`] rather than forget another revocation.
    async fn revoke_sealed(&self, sealed: &SealedSession, at: Moment) -> Result<bool, StoreError>;

    /// Whether this sealed session was revoked, by itself or with its user's others.
    async fn is_revoked(&self, sealed: &SealedSession, at: Moment) -> Result<bool, StoreError>;

    /// Removes some of what is over by both clocks, in a step short enough to stall nobody; called
    /// again and again while the service runs. Stores that expire by themselves do nothing.
    async fn sweep(&self, at: Moment) -> Result<(), StoreError>;

    /// Whether the store answers and would keep its promises; for readiness.
    async fn ready(&self) -> Result<(), StoreError>;

    /// Puts what is still in hand where it is to stay. Called once, when no other call is to come.
    async fn close(&self) -> Result<(), StoreError>;

    /// How many sessions and revocations are kept, where that is cheap to know; those that are
    /// over may count until they are swept.
    fn approximate_len(&self) -> Option<u64>;
}

/// Why a store could not do as asked, in the terms that decide the answer to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// It could not be reached, or refused.
    Unavailable,
    /// It did not answer in time.
    TimedOut,
    /// It applied the change, but could not confirm what was asked for.
    Unconfirmed,
    /// It has no room for another session.
    Full,
}

/// A failed call to a store: the kind, a short class for logs and metrics, and the cause.
#[derive(Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    class: &'static str,
    source: Option<Box<dyn Error + Send + Sync>>,
    ended: Option<Box<Ended>>,
}

/// What a call had ended when it failed: what it would have handed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Of [`delete`](SessionStore::delete), [`delete_all`](SessionStore::delete_all) and
    /// [`trim`](SessionStore::trim): the live sessions that it removed.
    pub sessions: Vec<Session>,
    /// Of [`revoke_sealed`](SessionStore::revoke_sealed): whether it ended that session. Of
    /// `delete_all` and `trim`: whether it set the mark.
    pub sealed: bool,
}

static NOTHING: Ended = Ended {
    sessions: Vec::new(),
    sealed: false,
};

impl StoreError {
    /// An error of this kind and class.
    #[must_use]
    pub fn new(kind: StoreErrorKind, class: impl ErrorClass) -> Self {
        Self {
            kind,
            class: class.word(),
            source: None,
            ended: None,
        }
    }

    /// The error of a call that took longer than it may.
    #[must_use]
    pub fn timed_out() -> Self {
        Self::new(StoreErrorKind::TimedOut, CommonClass::Timeout)
    }

    /// The error of a call that finds too many others waiting.
    #[must_use]
    pub fn overloaded() -> Self {
        Self::new(StoreErrorKind::Unavailable, CommonClass::Overloaded)
    }

    /// The error of a call that finds no room for another session.
    #[must_use]
    pub fn full() -> Self {
        Self::new(StoreErrorKind::Full, CommonClass::Full)
    }

    /// The same error with what caused it.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same error of a call that has ended this all the same.
    #[must_use]
    pub fn having_ended(mut self, ended: Ended) -> Self {
        self.ended = (ended != NOTHING).then(|| Box::new(ended));
        self
    }

    /// What the call has ended all the same.
    #[must_use]
    pub fn ended(&self) -> &Ended {
        self.ended.as_deref().unwrap_or(&NOTHING)
    }

    /// What it means for the caller.
    #[must_use]
    pub const fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// The word of its class.
    #[must_use]
    pub const fn class(&self) -> &'static str {
        self.class
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            StoreErrorKind::Unavailable => "the store is unavailable",
            StoreErrorKind::TimedOut => "the store did not answer in time",
            StoreErrorKind::Unconfirmed => "the store could not confirm the change",
            StoreErrorKind::Full => "the store is full",
        };
        write!(f, "{what} ({})", self.class)
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
