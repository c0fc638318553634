//! The store that survives its process: sessions in memory, and a journal of them in one file.
//!
//! Every read is answered from a [`MemoryStore`], filled from the file at start, so a check costs
//! what it costs there, in time and in memory. Every change goes through one thread, which
//! commits whatever calls have come together with a single fsync and only then lets the memory,
//! and the callers, know.
//!
//! **The engine is redb**: pure Rust and a single crate (`SQLite` is C and needs a C compiler),
//! every page checksummed, so that a damaged file is noticed and refused; its storage is a
//! trait, so that the tests can fail every single call and cut the power at any moment without
//! privileges or unsafe code. What speaks against it does not count in this use: it opens slowly
//! after a crash, but here the file is read whole at start anyway; its commits write a page for
//! each place they touch, but the `journal` only ever touches the two ends.
//!
//! **What a crash may lose**: two seconds of "last used", which is written along with other
//! changes, or by itself within two seconds. No answer ever given.
//!
//! Neighbours: `place` (which file it is), `device` (where bytes lie), `entry` (what a row says), `journal` (rows on disk), `answered` (how far it must reach), `batch` (decisions), `writer` (the thread). None of them knows a configuration
//! or HTTP, and none retries a failed write.

mod answered;
mod batch;
mod device;
mod entry;
mod journal;
mod place;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;

pub use self::device::Device;
pub(super) use self::journal::FileClass;
use self::journal::{Journal, Unreadable};
use self::writer::{Call, Writer, replay};
use super::MemoryStore;
use crate::session::{
    Moment, SealedSession, Session, SessionId, SessionList, SessionStore, Spared, StoreError,
    StoreErrorKind, Timestamp, User,
};

/// How many calls may wait for the writer; one more fails at once instead of waiting for a disk
/// that does not keep up.
const MAX_WAITING: usize = 16_384;

/// How a [`FileStore`] behaves.
#[derive(Clone, Copy, Debug)]
pub struct FileConfig {
    /// How many sessions and revocations may be kept.
    pub max_sessions: u64,
    /// How many calls may share a commit; with 1, each has an fsync to itself.
    pub max_batch: usize,
    /// The pause between two tries to reopen the file after a fault. Reopening reads all of it, so
    /// it must not be done for every call.
    pub retry_after: Duration,
}

impl FileConfig {
    /// Room for `max_sessions`, and commits as large as they come.
    #[must_use]
    pub const fn new(max_sessions: u64) -> Self {
        Self {
            max_sessions,
            max_batch: 4096,
            retry_after: Duration::from_millis(500),
        }
    }
}

/// Why the file could not be opened, in one line for whoever started the process.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "session file {}: in use by another process: stop it, or give each process a file of its own",
        .0.display()
    )]
    Locked(PathBuf),
    /// Its contents are not what was written, or were never ours.
    #[error(
        "session file {}: damaged or no session file ({why}): restore it from a copy, or move it away to start without sessions (everybody has to log in again, \
         and revoked sealed cookies are valid again until their password is changed); a copy brings back what was logged out \
         since it was made, unless --sessions-since ends all sessions made before now",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A later version of this program wrote it.
    #[error("session file {}: {why}; start the version that wrote it", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Which version is meant.
        why: String,
    },
    /// Others could have put the file there, or it is no file.
    #[error("session file {}: {why}", path.display())]
    Unsafe {
        /// The file.
        path: PathBuf,
        /// What is the matter, and what to do about it.
        why: String,
    },
    /// The operating system refused.
    #[error("session file {}: {source}{}", path.display(), advice(source))]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// What to do about what the operating system said, where that is known.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::IsADirectory => ": name a file in that directory",
        io::ErrorKind::NotADirectory => {
            ": what stands before the last / must be a directory, and is a file"
        }
        io::ErrorKind::NotFound => {
            ": its directory can be neither found nor made: make it, or name a file elsewhere"
        }
        io::ErrorKind::PermissionDenied => {
            ": let the user that runs this process read and write the file and its directory"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            ": mount the file system for writing, or name a file elsewhere"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            ": make room on the disk, or name a file elsewhere"
        }
        _ => "",
    }
}

impl OpenError {
    fn at_path(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        Self::Io { path, source }
    }

    fn unsafe_at(path: &Path, why: impl Into<String>) -> Self {
        let (path, why) = (path.to_owned(), why.into());
        Self::Unsafe { path, why }
    }

    fn at(path: &Path, unreadable: Unreadable) -> Self {
        let path = path.to_owned();
        match unreadable {
            Unreadable::Damaged(why) => Self::Damaged { path, why },
            Unreadable::Newer(_) => Self::Newer {
                path,
                why: unreadable.to_string(),
            },
            Unreadable::Fault(fault) => {
                let kind = match fault.class {
                    FileClass::DiskFull => io::ErrorKind::StorageFull,
                    FileClass::ReadOnly => io::ErrorKind::ReadOnlyFilesystem,
                    _ => io::ErrorKind::Other,
                };
                Self::Io {
                    path,
                    source: io::Error::new(kind, fault),
                }
            }
        }
    }
}

/// Sessions in memory, journaled to a file.
pub struct FileStore {
    memory: Arc<MemoryStore>,
    /// `None` only while it is dropped.
    calls: Option<SyncSender<Call>>,
    writer: Option<JoinHandle<()>>,
}

impl FileStore {
    /// Opens the file at `path`, or makes it, and loads what it holds. Blocks until that is done.
    pub fn open(path: &Path, config: FileConfig) -> Result<Self, OpenError> {
        let init = |device: &_| Journal::create(device).map_err(|why| OpenError::at(path, why));
        let file = place::open_file(path, init)?;
        Self::load(path, Arc::new(file), config)
    }

    /// The same on a device that need not be a file. An empty one is made a store.
    pub fn open_on(device: Arc<dyn Device>, config: FileConfig) -> Result<Self, OpenError> {
        let path = Path::new("(device)");
        let failed = |source| OpenError::Io {
            path: path.to_owned(),
            source,
        };
        if device.is_empty().map_err(failed)? {
            Journal::create(&device).map_err(|why| OpenError::at(path, why))?;
        }
        Self::load(path, device, config)
    }

    fn load(path: &Path, device: Arc<dyn Device>, config: FileConfig) -> Result<Self, OpenError> {
        let memory = Arc::new(MemoryStore::new(config.max_sessions));
        let journal = Journal::open(device, |row| replay(row, &memory))
            .map_err(|why| OpenError::at(path, why))?;
        let (calls, received) = sync_channel(MAX_WAITING);
        let writer = Writer::new(Arc::clone(&memory), journal, received, config);
        let writer = std::thread::Builder::new()
            .name("session-file".into())
            .spawn(move || writer.run())
            .map_err(|source| OpenError::Io {
                path: path.to_owned(),
                source,
            })?;
        Ok(Self {
            memory,
            calls: Some(calls),
            writer: Some(writer),
        })
    }

    async fn call<T>(
        &self,
        call: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Call,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.send(call(reply))?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    fn send(&self, call: Call) -> Result<(), StoreError> {
        let calls = self.calls.as_ref().ok_or_else(closed)?;
        calls.try_send(call).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::overloaded(),
            TrySendError::Disconnected(_) => closed(),
        })
    }
}

impl Drop for FileStore {
    fn drop(&mut self) {
        self.calls = None;
        if let Some(writer) = self.writer.take() {
            // It has logged what went wrong, if anything did.
            let _ = writer.join();
        }
    }
}

fn closed() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, FileClass::Closed)
}

#[async_trait]
impl SessionStore for FileStore {
    async fn insert(&self, session: Session, at: Moment) -> Result<(), StoreError> {
        self.call(|reply| Call::Insert(session, at, reply)).await
    }

    async fn find(&self, id: &SessionId, at: Moment) -> Result<Option<Session>, StoreError> {
        self.memory.find(id, at).await
    }

    fn find_at_once(
        &self,
        id: &SessionId,
        at: Moment,
    ) -> Option<Result<Option<Session>, StoreError>> {
        self.memory.find_at_once(id, at)
    }

    async fn touch(&self, id: &SessionId, at: Moment) -> Result<bool, StoreError> {
        let live = self.memory.touch(id, at).await?;
        if live {
            // One that the writer has no room for is in memory all the same, and no more lost in
            // a crash than one it had not written yet.
            let _ = self.send(Call::Seen(*id, at.now));
        }
        Ok(live)
    }

    async fn delete(&self, id: &SessionId, at: Moment) -> Result<Option<Session>, StoreError> {
        self.call(|reply| Call::Delete(*id, at, reply)).await
    }

    async fn list(&self, user: &User, at: Moment) -> Result<SessionList, StoreError> {
        self.memory.list(user, at).await
    }

    async fn trim(
        &self,
        user: &User,
        spared: &Spared,
        at: Moment,
        seals_until: Option<Timestamp>,
    ) -> Result<Vec<Session>, StoreError> {
        let (user, spared) = (user.clone(), spared.clone());
        self.call(|reply| Call::Trim(user, spared, at, seals_until, reply))
            .await
    }

    async fn revoke_sealed(&self, sealed: &SealedSession, at: Moment) -> Result<bool, StoreError> {
        self.call(|reply| Call::RevokeSealed(sealed.clone(), at, reply))
            .await
    }

    async fn is_revoked(&self, sealed: &SealedSession, at: Moment) -> Result<bool, StoreError> {
        self.memory.is_revoked(sealed, at).await
    }

    async fn sweep(&self, at: Moment) -> Result<(), StoreError> {
        self.call(|reply| Call::Sweep(at, reply)).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.call(Call::Ready).await
    }

    /// Writes what is not yet written and closes the file. Dropping the store does the same
    /// without saying how it went.
    async fn close(&self) -> Result<(), StoreError> {
        self.call(Call::Close).await
    }

    fn approximate_len(&self) -> Option<u64> {
        self.memory.approximate_len()
    }
}
