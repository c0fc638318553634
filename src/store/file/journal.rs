//! The journal: rows numbered without a gap, in one table of a redb database.
//!
//! Rows are appended at the end and dropped from the front, so that a commit touches a page or
//! two however many sessions it ends, wherever those lie; that is what makes sharing an fsync
//! pay: rows kept by session id would cost a page each.
//!
//! The journal knows rows, numbers and faults, and neither sessions in memory nor callers. After
//! a fault it does nothing until [`Journal::reopen`] has found out what the disk holds.

use std::error::Error;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::{
    Builder, Database, DatabaseError, ReadableDatabase as _, ReadableTable as _, StorageError,
    TableDefinition, TableHandle as _, WriteTransaction,
};

use super::answered;
use super::device::{Backend, Device};
use super::entry::Entry;
use crate::session::ErrorClass;

const ROWS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("journal");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// The row of `META` that says how the journal's rows are to be read.
const VERSION: &str = "version";
const FIRST_VERSION: u64 = 1;
/// Some rows have a label. Written with the first of them, so that programs which know only the
/// first version go on reading files without labels, and read no other.
const VERSION_WITH_LABELS: u64 = 2;

/// The row of `META` that counts how often the engine was opened: a write that proves that the
/// disk takes writes.
const OPENED: &str = "opened";

/// The engine's own cache: a commit needs the few pages at both ends.
const CACHE_BYTES: usize = 8 << 20;

/// The progress the engine reports when it has found the last commit to be torn.
const LAST_COMMIT_IS_TORN: f64 = 0.3;

/// Why the journal cannot be read. What the disk refuses is [`Fault`].
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("{0}")]
    Damaged(String),
    #[error("format version {0}, but this program knows only up to {VERSION_WITH_LABELS}")]
    Newer(u64),
    #[error(transparent)]
    Fault(#[from] Fault),
}

words! {
    /// What can fail in this store, beside what can in all of them.
    pub(in crate::store) enum FileClass: ErrorClass {
        Closed = "closed",
        Damaged = "damaged",
        Disk = "disk",
        DiskFull = "disk_full",
        Engine = "engine",
        ReadOnly = "read_only",
    }
}

/// A failed call to the engine: its class, and the cause.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) class: FileClass,
    source: Box<dyn Error + Send + Sync>,
}

impl Fault {
    fn new(class: FileClass, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            class,
            source: source.into(),
        }
    }

    /// A file that was good when it was opened, and is no longer.
    pub(super) fn damaged(why: Unreadable) -> Self {
        Self::new(FileClass::Damaged, why)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "journal: {}", self.source)
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

impl From<redb::Error> for Fault {
    fn from(error: redb::Error) -> Self {
        let class = match &error {
            redb::Error::Io(io) => class_of(io),
            _ => FileClass::Engine,
        };
        Self::new(class, error)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::new(class_of(&error), error)
    }
}

fn class_of(error: &io::Error) -> FileClass {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FileClass::DiskFull,
        io::ErrorKind::ReadOnlyFilesystem => FileClass::ReadOnly,
        _ => FileClass::Disk,
    }
}

/// The numbered rows.
pub(super) struct Journal {
    device: Arc<dyn Device>,
    /// `None` from a fault until it is reopened.
    db: Option<Database>,
    /// The number of the first row, or of the next if there is none.
    first: u64,
    /// The number the next row will get.
    next: u64,
    /// In which version of the format the rows are.
    version: u64,
    /// See [`Journal::holds_last_commit`].
    holds_last_commit: Option<bool>,
}

impl Journal {
    /// Writes an empty journal to an empty device.
    pub(super) fn create(device: &Arc<dyn Device>) -> Result<(), Unreadable> {
        let (db, _) = open_engine(device)?;
        contained(|| {
            let txn = db.begin_write()?;
            txn.open_table(META)?.insert(VERSION, FIRST_VERSION)?;
            txn.open_table(ROWS)?;
            txn.commit()?;
            Ok(db.close()?)
        })?;
        Ok(())
    }

    /// Opens the journal on this device and hands each row to `row`, in order.
    pub(super) fn open(
        device: Arc<dyn Device>,
        row: impl FnMut(Entry),
    ) -> Result<Self, Unreadable> {
        let mut journal = Self {
            device,
            db: None,
            first: 0,
            next: 0,
            version: FIRST_VERSION,
            holds_last_commit: Some(true),
        };
        journal.start(row)?;
        Ok(journal)
    }

    /// After a fault: asks the disk what it holds, proves that it takes writes again, and hands
    /// each row that was not known to be there to `row`. Does nothing to an open journal.
    pub(super) fn reopen(&mut self, row: impl FnMut(Entry)) -> Result<u64, Unreadable> {
        if self.db.is_some() {
            return Ok(0);
        }
        self.device.settle().map_err(Fault::from)?;
        self.start(row)
    }

    fn start(&mut self, row: impl FnMut(Entry)) -> Result<u64, Unreadable> {
        if self.device.is_empty().map_err(Fault::from)? {
            return Err(Unreadable::Damaged("it is empty".into()));
        }
        let (db, is_cut) = open_engine(&self.device)?;
        let version = known_version(&db)?;
        let (first, next, told) = read_rows(&db, self.next, row)?;
        let answered = answered::read(&*self.device).map_err(Fault::from)?;
        if next < answered {
            return Err(Unreadable::Damaged(format!(
                "its newest write: rows {next} to {} are missing, which callers were answered by",
                answered - 1,
            )));
        }
        if is_cut {
            tracing::warn!(
                "the journal's last write was incomplete and is dropped: nobody was answered by it, unless the disk has lost what it had confirmed"
            );
        }
        (self.first, self.next, self.version) = (first, next, version);
        // The engine has synced what it found, so that is settled whatever the disk does from here.
        self.holds_last_commit.get_or_insert(told > 0);
        let _ = answered::write(&*self.device, next);
        contained(|| {
            let txn = db.begin_write()?;
            {
                let mut meta = txn.open_table(META)?;
                let opened = meta.get(OPENED)?.map_or(0, |count| count.value());
                meta.insert(OPENED, opened.wrapping_add(1))?;
                txn.open_table(ROWS)?;
            }
            Ok(txn.commit()?)
        })?;
        self.db = Some(db);
        Ok(told)
    }

    /// How many rows there are.
    pub(super) const fn rows(&self) -> u64 {
        self.next - self.first
    }

    /// Whether the disk holds what [`commit`](Self::commit) was told to write last; `None` from a
    /// fault until that is found out.
    pub(super) const fn holds_last_commit(&self) -> Option<bool> {
        self.holds_last_commit
    }

    /// Appends `entries` and, before them, moves or drops up to `renew` rows at the front:
    /// `still` says what is left of one. All of it is on disk after an `Ok`. After an `Err`, all
    /// or none of it may be, and the journal must be reopened.
    pub(super) fn commit(
        &mut self,
        entries: &[Entry],
        renew: u64,
        still: impl FnMut(Entry) -> Option<Entry>,
    ) -> Result<(), Fault> {
        let Some(db) = &self.db else {
            return Err(Fault::new(FileClass::Engine, "not reopened since a fault"));
        };
        let (mut first, mut next) = (self.first, self.next);
        // What is moved has none unless there were labels before.
        let version = if entries.iter().any(Entry::has_label) {
            VERSION_WITH_LABELS
        } else {
            self.version
        };
        let written = contained(|| {
            let txn = db.begin_write()?;
            if version != self.version {
                txn.open_table(META)?.insert(VERSION, version)?;
            }
            append(&txn, &mut first, &mut next, renew, still, entries)?;
            Ok(txn.commit()?)
        });
        if written.is_ok() {
            (self.first, self.next, self.version) = (first, next, version);
            self.holds_last_commit = Some(true);
            let _ = answered::write(&*self.device, next);
        } else {
            // The engine refuses everything from here on; what the disk holds is not known.
            (self.db, self.holds_last_commit) = (None, None);
        }
        written
    }

    /// Closes the engine, so that the next start has nothing to repair.
    pub(super) fn close(mut self) -> Result<(), Fault> {
        let db = self.db.take();
        contained(|| Ok(db.map_or(Ok(()), Database::close)?))
    }
}

fn append(
    txn: &WriteTransaction,
    first: &mut u64,
    next: &mut u64,
    renew: u64,
    mut still: impl FnMut(Entry) -> Option<Entry>,
    entries: &[Entry],
) -> Result<(), redb::Error> {
    let mut rows = txn.open_table(ROWS)?;
    let mut bytes = Vec::new();
    // The last row stays where it is: it says how far the journal goes.
    for number in *first..next.saturating_sub(1).min(*first + renew) {
        let moved = {
            let row = rows.remove(number)?;
            let old = row.as_ref().and_then(|row| Entry::decode(row.value()));
            old.ok_or_else(|| StorageError::Corrupted(format!("row {number} is missing")))?
        };
        *first = number + 1;
        if let Some(entry) = still(moved) {
            entry.encode(&mut bytes);
            rows.insert(*next, &*bytes)?;
            *next += 1;
        }
    }
    for entry in entries {
        entry.encode(&mut bytes);
        rows.insert(*next, &*bytes)?;
        *next += 1;
    }
    Ok(())
}

/// Opens the engine and has it verify the checksum of every page: a file that was altered is
/// refused, and a commit that a crash cut short is dropped; says whether one was.
fn open_engine(device: &Arc<dyn Device>) -> Result<(Database, bool), Unreadable> {
    let backend = Backend(Arc::clone(device));
    let is_cut = Arc::new(AtomicBool::new(false));
    let found_cut = Arc::clone(&is_cut);
    let mut builder = Builder::new();
    builder
        .set_cache_size(CACHE_BYTES)
        .set_check_integrity_on_open(true)
        .set_repair_callback(move |session| {
            if (session.progress() - LAST_COMMIT_IS_TORN).abs() < f64::EPSILON {
                found_cut.store(true, Ordering::Relaxed);
            }
        });
    match catch_unwind(AssertUnwindSafe(|| builder.create_with_backend(backend))) {
        Ok(Ok(db)) => Ok((db, is_cut.load(Ordering::Relaxed))),
        Ok(Err(DatabaseError::Storage(StorageError::Io(error)))) if !is_about_contents(&error) => {
            Err(Fault::from(error).into())
        }
        Ok(Err(error @ DatabaseError::Storage(StorageError::PreviousIo))) => {
            Err(Fault::new(FileClass::Disk, error).into())
        }
        Ok(Err(error)) => Err(Unreadable::Damaged(error.to_string())),
        Err(_) => Err(Unreadable::Damaged("the engine gave up on it".into())),
    }
}

/// The engine reports a file that is none of its own, or ends too early, as an I/O error.
fn is_about_contents(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
    )
}

fn known_version(db: &Database) -> Result<u64, Unreadable> {
    let version = contained(|| {
        let txn = db.begin_read()?;
        if !txn.list_tables()?.any(|table| table.name() == META.name()) {
            return Ok(None);
        }
        let version = txn.open_table(META)?.get(VERSION)?;
        Ok(version.map(|version| version.value()))
    })?;
    match version {
        Some(known @ FIRST_VERSION..=VERSION_WITH_LABELS) => Ok(known),
        Some(newer) => Err(Unreadable::Newer(newer)),
        None => Err(Unreadable::Damaged("it has no format version".into())),
    }
}

/// Hands every row from number `from` on to `row`; returns the numbers of the first row and of
/// the next, and how many were handed out.
fn read_rows(
    db: &Database,
    from: u64,
    mut row: impl FnMut(Entry),
) -> Result<(u64, u64, u64), Unreadable> {
    let mut damaged = None;
    let read = contained(|| {
        let rows = db.begin_read()?.open_table(ROWS)?;
        let first = rows.first()?.map_or(from, |(number, _)| number.value());
        let last = rows.last()?.map(|(number, _)| number.value());
        if last.is_some_and(|last| last + 1 < from) {
            damaged = Some(from - 1);
        }
        let start = from.max(first);
        let mut next = start;
        for pair in rows.range(start..)? {
            let (number, bytes) = pair?;
            match Entry::decode(bytes.value()) {
                Some(entry) if number.value() == next => row(entry),
                _ => {
                    damaged = Some(number.value());
                    break;
                }
            }
            next += 1;
        }
        Ok((first, next, next - start))
    })?;
    match damaged {
        None => Ok(read),
        Some(number) => Err(Unreadable::Damaged(format!("row {number} makes no sense"))),
    }
}

/// Runs `work`, which may panic: the engine asserts rather than trusts, and a panic there must
/// end as a failed call and not take down the thread that all callers wait for.
fn contained<T>(work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, Fault> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => Ok(result?),
        Err(_) => Err(Fault::new(FileClass::Engine, "the engine panicked")),
    }
}
