//! The thread that owns the journal: gathers calls, decides them, commits once, answers all.
//!
//! It is the only one that changes which sessions the memory keeps. It never waits for a caller
//! and no caller waits for the disk but here. What it decides is in [`Batch`], what the disk
//! holds in [`Journal`]; this is the order between the two, and what follows a fault:
//!
//! 1. The journal is reopened, which tells what the disk holds. If that is the failed batch, the
//!    memory is brought up to it and its callers hear of success, else they hear of the fault.
//! 2. For as long as the disk does not let itself be asked, they hear nothing: what they would have
//!    been told is still to be told then, be it that nobody waits for the answer any longer.
//! 3. Calls that change anything are refused at once until the journal is open again. It is tried
//!    again and again, with a pause in between.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::FileConfig;
use super::batch::{Batch, Callback, Reply, call_all, unavailable};
use super::entry::Entry;
use super::journal::{Fault, Journal, Unreadable};
use crate::rate_limit::RateLimit;
use crate::session::{Moment, SealedSession, Session, SessionId, Spared, Timestamp, User};
use crate::store::memory::MemoryStore;

/// How long last uses may wait to be written, if no commit takes them along.
const SEEN_WITHIN: Duration = Duration::from_secs(2);

/// How many last uses may wait; one more and they are written at once.
const MAX_SEEN: usize = 8192;

/// Rows beyond one and a half times what is live are dropped from the front, and this many are
/// always allowed, so that a small journal is not churned.
const SPARE_ROWS: u64 = 1024;

/// How many rows at the front are looked at when there is nothing else to write.
const RENEWED_WHEN_IDLE: u64 = 4096;

/// The least pause before the journal is tried again without a call that asks for it.
const MIN_RETRY: Duration = Duration::from_millis(1);

/// How long a commit may wait for company.
const MAX_LINGER: Duration = Duration::from_millis(1);

/// A call, and where its answer goes.
pub(super) enum Call {
    Insert(Session, Moment, Reply<()>),
    Delete(SessionId, Moment, Reply<Option<Session>>),
    Trim(User, Spared, Moment, Option<Timestamp>, Reply<Vec<Session>>),
    RevokeSealed(SealedSession, Moment, Reply<bool>),
    Seen(SessionId, Timestamp),
    Sweep(Moment, Reply<()>),
    Ready(Reply<()>),
    Close(Reply<()>),
}

pub(super) struct Writer {
    memory: Arc<MemoryStore>,
    journal: Journal,
    calls: Receiver<Call>,
    config: FileConfig,
    seen: HashMap<SessionId, Timestamp>,
    seen_due: Instant,
    /// Why the journal is not open.
    fault: Option<Arc<Fault>>,
    /// When it was last tried to reopen it.
    tried_at: Option<Instant>,
    /// The answers of the batch of which it is not known whether the disk holds it.
    in_doubt: Vec<Callback>,
    /// A full disk may take the one write and not the next.
    faults: RateLimit,
    recoveries: RateLimit,
    /// How many were answered by the last commit: so many are likely to call again.
    expected: usize,
    last_commit: Duration,
}

impl Writer {
    pub(super) fn new(
        memory: Arc<MemoryStore>,
        journal: Journal,
        calls: Receiver<Call>,
        config: FileConfig,
    ) -> Self {
        Self {
            memory,
            journal,
            calls,
            config,
            seen: HashMap::new(),
            seen_due: Instant::now(),
            fault: None,
            tried_at: None,
            in_doubt: Vec::new(),
            faults: RateLimit::default(),
            recoveries: RateLimit::default(),
            expected: 0,
            last_commit: Duration::ZERO,
        }
    }

    /// Works until told to close, or until nobody is left who could call.
    pub(super) fn run(mut self) {
        loop {
            let closing = match self.gather() {
                Gathered::Calls(calls) => self.serve(calls),
                Gathered::Nothing => self.serve(Vec::new()),
                Gathered::Nobody => break,
            };
            if let Some(reply) = closing {
                let _ = reply.send(self.close().map_err(|fault| unavailable(&fault)));
                return;
            }
        }
        if let Err(fault) = self.close() {
            tracing::error!(
                class = fault.class.word(),
                "session file not closed: {fault}"
            );
        }
    }

    fn close(mut self) -> Result<(), Arc<Fault>> {
        self.seen_due = Instant::now();
        self.tried_at = None;
        self.serve(Vec::new());
        match self.fault {
            Some(fault) => {
                call_all(self.in_doubt, Err(&fault));
                Err(fault)
            }
            None => Ok(self.journal.close()?),
        }
    }

    /// When there is something to do even if nobody calls.
    fn due(&self) -> Option<Instant> {
        let pause = self.config.retry_after.max(MIN_RETRY);
        let retry = self.tried_at.map_or_else(Instant::now, |at| at + pause);
        let retry = (!self.in_doubt.is_empty()).then_some(retry);
        let seen = (!self.seen.is_empty()).then_some(self.seen_due);
        retry.into_iter().chain(seen).min()
    }

    /// Waits for a call, then takes along what else is there.
    fn gather(&mut self) -> Gathered {
        let first = match self.due() {
            None => self
                .calls
                .recv()
                .map_err(|_| RecvTimeoutError::Disconnected),
            Some(due) => {
                let wait = due.saturating_duration_since(Instant::now());
                self.calls.recv_timeout(wait)
            }
        };
        let mut calls = match first {
            Ok(call) => vec![call],
            Err(RecvTimeoutError::Timeout) => return Gathered::Nothing,
            Err(RecvTimeoutError::Disconnected) => return Gathered::Nobody,
        };
        // Those just answered are about to call again; a fraction of a commit spent on waiting
        // for them saves them a whole one.
        let until = Instant::now() + (self.last_commit / 4).min(MAX_LINGER);
        while calls.len() < self.config.max_batch {
            let next = if calls.len() < self.expected {
                let wait = until.saturating_duration_since(Instant::now());
                self.calls.recv_timeout(wait).ok()
            } else {
                self.calls.try_recv().ok()
            };
            match next {
                Some(call) => calls.push(call),
                None => break,
            }
        }
        Gathered::Calls(calls)
    }

    /// Decides, commits and answers; returns the reply of a call to close.
    fn serve(&mut self, calls: Vec<Call>) -> Option<Reply<()>> {
        let memory = Arc::clone(&self.memory);
        let mut batch = Batch::new(&memory);
        let mut closing = None;
        let waiting = calls.len();
        // Before anything is decided: what the disk holds must be known.
        let working = self.recover();
        for call in calls {
            match call {
                Call::Insert(session, at, reply) => batch.insert(session, at, reply),
                Call::Delete(id, at, reply) => batch.delete(&id, at, reply),
                Call::Trim(user, spared, at, until, reply) => {
                    batch.trim(&user, &spared, at, until, reply);
                }
                Call::RevokeSealed(sealed, at, reply) => batch.revoke_sealed(&sealed, at, reply),
                Call::Seen(id, at) => self.note_seen(id, at),
                Call::Sweep(at, reply) => batch.sweep(at, reply),
                Call::Ready(reply) => batch.answer_after_commit(reply),
                Call::Close(reply) => closing = Some(reply),
            }
        }
        match working {
            Err(fault) => call_all(batch.into_callbacks(), Err(&fault)),
            Ok(()) if self.commit(&mut batch).is_ok() => batch.succeed(),
            Ok(()) => {
                self.in_doubt = batch.into_callbacks();
                let _ = self.recover();
            }
        }
        self.expected = waiting;
        closing
    }

    fn note_seen(&mut self, id: SessionId, at: Timestamp) {
        if self.seen.is_empty() {
            self.seen_due = Instant::now() + SEEN_WITHIN;
        }
        let latest = self.seen.entry(id).or_insert(at);
        *latest = at.max(*latest);
    }

    /// Writes the batch, and with it what may wait. Without anything to write it is done.
    fn commit(&mut self, batch: &mut Batch<'_>) -> Result<(), Arc<Fault>> {
        let surplus = self.journal.rows() > self.rows_allowed();
        let seen_is_due = !self.seen.is_empty()
            && (self.seen.len() >= MAX_SEEN || self.seen_due <= Instant::now());
        if batch.entries().is_empty() && !surplus && !seen_is_due {
            return Ok(());
        }
        batch.seen(&self.seen);
        // At least a third of the rows says nothing any more, and most of those are in front: to
        // look at four for each that is added keeps up.
        let renew = match batch.entries().len() as u64 {
            _ if !surplus => 0,
            0 => RENEWED_WHEN_IDLE,
            added => 64 + 4 * added,
        };
        let started = Instant::now();
        let memory = &*self.memory;
        let written = self
            .journal
            .commit(batch.entries(), renew, |row| what_is_left_of(row, memory));
        self.last_commit = started.elapsed();
        match written {
            Ok(()) => {
                self.seen.clear();
                Ok(())
            }
            Err(fault) => Err(self.note_fault(fault)),
        }
    }

    fn rows_allowed(&self) -> u64 {
        let live = self.memory.kept();
        live + live / 2 + SPARE_ROWS
    }

    fn note_fault(&mut self, fault: Fault) -> Arc<Fault> {
        let fault = Arc::new(fault);
        self.faults.note(|| {
            let (class, fault) = (fault.class.word(), Arc::clone(&fault));
            move |times| {
                tracing::error!(
                    class,
                    times,
                    "the session file takes no writes, trying again: {fault}"
                );
            }
        });
        // Last uses are no reason to let the memory grow for as long as the fault lasts.
        if self.seen.len() >= MAX_SEEN {
            self.seen.clear();
        }
        self.seen_due = Instant::now() + SEEN_WITHIN;
        self.fault = Some(Arc::clone(&fault));
        fault
    }

    /// Reopens the journal after a fault, unless that was tried a moment ago.
    fn recover(&mut self) -> Result<(), Arc<Fault>> {
        let Some(fault) = &self.fault else {
            return Ok(());
        };
        let pause = self.config.retry_after;
        if self.tried_at.is_some_and(|at| at.elapsed() < pause) {
            return Err(Arc::clone(fault));
        }
        self.tried_at = Some(Instant::now());
        let failed = Arc::clone(fault);
        let memory = &*self.memory;
        let reopened = self.journal.reopen(|row| replay(row, memory));
        match self.journal.holds_last_commit() {
            Some(true) => call_all(std::mem::take(&mut self.in_doubt), Ok(())),
            Some(false) => call_all(std::mem::take(&mut self.in_doubt), Err(&failed)),
            None => {}
        }
        match reopened {
            Ok(rows) => {
                self.fault = None;
                self.recoveries.note(|| {
                    move |times| {
                        tracing::info!(rows, times, "the session file takes writes again");
                    }
                });
                Ok(())
            }
            Err(Unreadable::Fault(fault)) => Err(self.note_fault(fault)),
            Err(damaged) => Err(self.note_fault(Fault::damaged(damaged))),
        }
    }
}

enum Gathered {
    Calls(Vec<Call>),
    Nothing,
    Nobody,
}

/// Brings the memory up to a row of the journal.
pub(super) fn replay(row: Entry, memory: &MemoryStore) {
    match row {
        Entry::Kept(session) => memory.restore(&session),
        Entry::Seen { id, at } => memory.seen(&id, at),
        Entry::Ended { id } => memory.remove(&id),
        Entry::Revoked { id, until } => memory.restore_revocation(id, until),
        Entry::Marked { user, mark } => memory.restore_mark(user, mark),
    }
}

/// What a row at the front of the journal still says, to be said again at its end.
///
/// Each session that is kept has one `Kept` row, and whatever else the journal says of it comes
/// after that row. So when any other row reaches the front, the `Kept` row before it has either
/// been dropped with its session or moved to the end in its newest form.
fn what_is_left_of(row: Entry, memory: &MemoryStore) -> Option<Entry> {
    match row {
        Entry::Kept(session) => memory.peek(&session.id).map(Entry::Kept),
        Entry::Seen { .. } | Entry::Ended { .. } => None,
        Entry::Revoked { id, until } => {
            (memory.revocation(&id) == Some(until)).then_some(Entry::Revoked { id, until })
        }
        // An older mark of the user was replaced by one further back.
        Entry::Marked { user, mark } => {
            (memory.mark_of(&user) == Some(mark)).then_some(Entry::Marked { user, mark })
        }
    }
}
