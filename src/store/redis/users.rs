//! What concerns all sessions of a user: listing them, ending them, keeping their index true.
//!
//! An index may name hundreds of thousands, more than one call has time for. So it is read in
//! pages, and what is done with one page is done before the next but a few is read.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _, stream};
use parking_lot::Mutex;
use redis::Cmd;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::call::Call;
use super::conn::Purpose;
use super::error::{Class, Failure};
use super::{Inner, get, getdel, scripts, understood};
use crate::session::{
    Ended, Moment, NotBefore, Session, SessionId, SessionList, Spared, StoreError, Timestamp, Trim,
    User,
};

/// How many ids are read, and their sessions taken, in one go.
const PAGE: usize = 1000;

/// How many pages are worked on at a time, so that the way to the server is no waiting.
const OVERLAP: usize = 4;

/// What is kept back of a call's time, or an eighth of it if that is less: so that what has been
/// sent is answered before the time is over.
const ANSWER_TIME: Duration = Duration::from_millis(150);

/// An index is looked through, and the ids whose sessions are gone removed, when it has grown by
/// half or less since the last time, but no sooner than after so many logins.
const REPAIR_EVERY: usize = 64;

/// Whether an index that has just reached this size is to be looked through. The larger it is, the
/// longer the steps, so that a login costs the same however many sessions its user has.
pub(super) const fn repair_is_due(indexed: usize) -> bool {
    let step = indexed.next_power_of_two() / 4;
    let step = if step < REPAIR_EVERY {
        REPAIR_EVERY
    } else {
        step
    };
    indexed.is_multiple_of(step)
}

impl Inner {
    /// The user's live sessions that expire last.
    pub(super) async fn list(&self, user: &User, at: Moment) -> Result<SessionList, Failure> {
        let live = self.look_through(user, Some(at), SessionList::MOST).await?;
        Ok(SessionList::of(live))
    }

    /// Looks all ids in an index up, for the sake of removing those that lead nowhere.
    pub(super) async fn repair_index(&self, user: &User) {
        if let Err(failure) = self.look_through(user, None, usize::MAX).await {
            tracing::debug!(
                class = failure.class.word(),
                "index not looked through: {failure}"
            );
        }
    }

    /// The user's live sessions, those that expire last first, until there are more than enough.
    /// Removes ids without a session from the index.
    async fn look_through(
        &self,
        user: &User,
        at: Option<Moment>,
        enough: usize,
    ) -> Result<Vec<Session>, Failure> {
        let call = self.call();
        let (mut live, mut gone, mut seen) = (Vec::new(), Vec::new(), 0);
        let looked = loop {
            let ids = match self.page(&call, user, seen, Order::LastFirst).await {
                Ok(ids) => ids,
                Err(failure) => break Err(failure),
            };
            seen += ids.len();
            let is_last = ids.len() < PAGE;
            let failed = self.look_up(&call, user, ids, &mut live, &mut gone).await;
            live.retain(|session| at.is_some_and(|at| at.is_live(session)));
            if failed.is_err() || is_last || live.len() > enough {
                break failed;
            }
        };
        for some in gone.chunks(PAGE) {
            self.unlist(&call, user, some).await;
        }
        looked.map(|()| live)
    }

    async fn look_up(
        &self,
        call: &Call<'_>,
        user: &User,
        ids: Vec<SessionId>,
        found: &mut Vec<Session>,
        gone: &mut Vec<SessionId>,
    ) -> Result<(), Failure> {
        let keys: Vec<String> = ids.iter().map(|id| self.layout.session(id)).collect();
        let answers = call.each::<Option<String>>(Purpose::Read, &keys, get).await;
        for (id, record) in ids.into_iter().zip(answers) {
            match record?.map(|record| understood(id, &record)).transpose()? {
                Some(session) if session.user == *user => found.push(session),
                _ => gone.push(id),
            }
        }
        Ok(())
    }

    /// Ends the user's sessions but the spared, then sets the mark: out of memory, the first makes room for the
    /// second. However it fails, what it has ended is out of the index too, so that another try
    /// goes on from there.
    pub(super) async fn end_but(
        &self,
        user: &User,
        spared: &Spared,
        at: Moment,
        seals_until: Option<Timestamp>,
    ) -> Result<Vec<Session>, StoreError> {
        let call = self.call();
        let ending = Ending::new(self, &call, user, spared, at);
        ending.note(call.include_all().await);
        ending.take_all().await;
        let mut has_marked = false;
        if let Some(until) = seals_until {
            let key = self.layout.mark(user);
            let marked = call.change(&key, &scripts::mark(&key, at, until)).await;
            has_marked = marked.is_ok();
            if let Ok(true) = marked {
                NotBefore::warn_of_one_ahead(user);
            }
            ending.note(marked);
        }
        ending.note(call.confirmed().await);
        let (sessions, failure) = (ending.ended.into_inner(), ending.failure.into_inner());
        match failure {
            None => Ok(sessions),
            Some(failure) => Err(StoreError::from(failure).having_ended(Ended {
                sessions,
                sealed: has_marked,
            })),
        }
    }

    /// Ids in the user's index, from a place on.
    async fn page(
        &self,
        call: &Call<'_>,
        user: &User,
        first: usize,
        order: Order,
    ) -> Result<Vec<SessionId>, Failure> {
        let key = self.layout.index(user);
        let mut range = redis::cmd("ZRANGE");
        range.arg(&key).arg(first).arg(first + PAGE - 1);
        if order == Order::LastFirst {
            range.arg("REV");
        }
        let ids: Vec<String> = call.read(&key, &range).await?;
        let understood = |id: &String| {
            let because = |error| Failure::from(Class::Record).because(error);
            id.parse().map_err(because)
        };
        ids.iter().map(understood).collect()
    }

    /// Takes ids out of the user's index, where nobody is to believe them any more.
    pub(super) async fn unlist(&self, call: &Call<'_>, user: &User, ids: &[SessionId]) {
        if !ids.is_empty() {
            let (key, remove) = self.unlisting(user, ids);
            call.hint(&key, remove).await;
        }
    }

    fn unlisting(&self, user: &User, ids: &[SessionId]) -> (String, Cmd) {
        let key = self.layout.index(user);
        let mut remove = redis::cmd("ZREM");
        remove.arg(&key);
        for id in ids {
            remove.arg(id.to_string());
        }
        (key, remove)
    }
}

/// In which order an index is read: by the moment at which the sessions expire.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    FirstFirst,
    LastFirst,
}

/// The end of a user's sessions but the spared, page by page.
///
/// A page is read behind those ids that are still worked on. Those leave the index meanwhile and
/// let others move up, which such a page misses; so the last is read when nothing is worked on any
/// more, and has all that is left. Whoever logs in after that has survived. Ids of sessions that are
/// spared stay in the index, and the last page is read from its beginning and has them too: others
/// may have left it in between.
struct Ending<'a> {
    store: &'a Inner,
    call: &'a Call<'a>,
    user: &'a User,
    spared: &'a Spared,
    trim: Mutex<Trim<'a>>,
    at: Moment,
    ended: Mutex<Vec<Session>>,
    /// The first of all that failed.
    failure: Mutex<Option<Failure>>,
    worked_on: AtomicUsize,
    /// Ids that stay in the index: their sessions are spared, or it is not known whether they are
    /// over.
    stuck: AtomicUsize,
    page_is_done: Notify,
}

impl<'a> Ending<'a> {
    fn new(
        store: &'a Inner,
        call: &'a Call<'a>,
        user: &'a User,
        spared: &'a Spared,
        at: Moment,
    ) -> Self {
        Self {
            store,
            call,
            user,
            spared,
            trim: Mutex::new(Trim::new(spared, at)),
            at,
            ended: Mutex::default(),
            failure: Mutex::default(),
            worked_on: AtomicUsize::new(0),
            stuck: AtomicUsize::new(0),
            page_is_done: Notify::new(),
        }
    }

    fn note<T>(&self, done: Result<T, Failure>) {
        if let Err(failure) = done {
            self.failure.lock().get_or_insert(failure);
        }
    }

    async fn take_all(&self) {
        let next = |is_over| async move {
            if is_over {
                None
            } else {
                self.next_page().await
            }
        };
        let pages = stream::unfold(false, next).boxed();
        let taking = pages.map(|ids| self.work_on(ids).boxed());
        taking.buffer_unordered(OVERLAP).collect::<()>().await;
    }

    /// The next ids to work on, and whether they are the last.
    async fn next_page(&self) -> Option<(Vec<SessionId>, bool)> {
        loop {
            let left = self.call.deadline.saturating_duration_since(Instant::now());
            if left <= ANSWER_TIME.min(self.store.time_for_a_call / 8) {
                self.note::<()>(Err(Class::Timeout.into()));
                return None;
            }
            let worked_on = self.worked_on.load(Ordering::Acquire);
            // One that is spared no longer may be counted out before it is counted in.
            let mut first = worked_on.wrapping_add(self.stuck.load(Ordering::Acquire));
            if self.spares_some() {
                if self.failure.lock().is_some() {
                    return None;
                }
                if worked_on == 0 {
                    first = 0;
                }
            }
            let page = self
                .store
                .page(self.call, self.user, first, Order::FirstFirst)
                .await;
            let mut ids = match page {
                Ok(ids) => ids,
                Err(failure) => {
                    self.note::<()>(Err(failure));
                    return None;
                }
            };
            let is_last = ids.len() < PAGE && worked_on == 0;
            self.leave_out_spared(&mut ids);
            if !ids.is_empty() {
                self.worked_on.fetch_add(ids.len(), Ordering::AcqRel);
                return Some((ids, is_last));
            }
            if worked_on == 0 {
                return None;
            }
            self.page_is_done.notified().await;
        }
    }

    fn spares_some(&self) -> bool {
        !matches!(self.spared, Spared::These(ids) if ids.is_empty())
    }

    fn leave_out_spared(&self, ids: &mut Vec<SessionId>) {
        let trim = self.trim.lock();
        ids.retain(|id| !trim.keeps(id));
    }

    /// Ends those of the sessions that are to be ended.
    async fn work_on(&self, ids: Vec<SessionId>) {
        let count = ids.len();
        let ids = match self.spared {
            Spared::These(_) => ids,
            Spared::Last(_) => self.too_many_with(ids).await,
        };
        let over = self.take(ids).await;
        self.stuck.fetch_add(count, Ordering::AcqRel);
        self.stuck.fetch_sub(over, Ordering::AcqRel);
        self.worked_on.fetch_sub(count, Ordering::AcqRel);
        self.page_is_done.notify_one();
    }

    /// Which sessions are to be ended now that these are known, too.
    async fn too_many_with(&self, ids: Vec<SessionId>) -> Vec<SessionId> {
        let (mut found, mut gone) = (Vec::new(), Vec::new());
        let looked_up = self
            .store
            .look_up(self.call, self.user, ids, &mut found, &mut gone);
        self.note(looked_up.await);
        let mut trim = self.trim.lock();
        gone.extend(found.iter().filter_map(|session| trim.see(session)));
        gone
    }

    /// Takes the sessions, then removes from the index those ids whose sessions are over for sure;
    /// says how many those are.
    async fn take(&self, ids: Vec<SessionId>) -> usize {
        let key = |id| self.store.layout.session(id);
        let keys: Vec<String> = ids.iter().map(key).collect();
        let answers = self
            .call
            .each::<Option<String>>(Purpose::Change, &keys, getdel)
            .await;
        let mut over = Vec::new();
        for (id, taken) in ids.iter().zip(answers) {
            match taken {
                Ok(taken) => {
                    over.push(*id);
                    match taken.map(|record| understood(*id, &record)).transpose() {
                        Ok(taken) => {
                            let live = taken.filter(|session| self.at.is_live(session));
                            self.ended.lock().extend(live);
                        }
                        Err(failure) => self.note::<()>(Err(failure)),
                    }
                }
                Err(failure) => self.note::<()>(Err(failure)),
            }
        }
        if !over.is_empty() {
            let (key, remove) = self.store.unlisting(self.user, &over);
            if let Err(failure) = self.call.read::<redis::Value>(&key, &remove).await {
                over.clear();
                self.note::<()>(Err(failure));
            }
        }
        over.len()
    }
}
