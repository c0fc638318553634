//! Where the engine's bytes lie: a private, locked file, or what a test puts in its place.
//!
//! A file is opened once and stays open and locked until the process ends, whatever happens to
//! the engine above it: reopening after a fault must not let another process in between, nor
//! find another file under the same name.

use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt as _, FileExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::StorageBackend;
use rustix::fs::{Advice, fadvise};

use super::OpenError;

/// A place for bytes.
pub trait Device: fmt::Debug + Send + Sync + 'static {
    /// How many bytes there are.
    fn len(&self) -> io::Result<u64>;

    /// Whether there are none.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `out` from `offset`; an error if that goes beyond the end.
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;

    /// Cuts off or appends zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Returns once everything written is where a power cut cannot reach it.
    fn sync(&self) -> io::Result<()>;

    /// Writes `data` at `offset`.
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()>;

    /// After a failure: from now on, reads tell what the device holds, not what was asked of it.
    /// A failed fsync leaves pages in the cache that look written and are on no disk.
    fn settle(&self) -> io::Result<()>;
}

/// The engine's view of a device.
#[derive(Debug)]
pub(super) struct Backend(pub(super) Arc<dyn Device>);

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}

impl Device for File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        Self::set_len(self, len)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.write_all_at(data, offset)
    }

    fn settle(&self) -> io::Result<()> {
        // What is still dirty must go first, or dropping the cache would leave it there.
        self.sync_all()?;
        Ok(fadvise(self, 0, None, Advice::DontNeed)?)
    }
}

/// Opens the file at `path`, locked; `init` makes a new one, which gets its name only when it is
/// complete. So a file that is there, yet empty, was damaged.
pub(super) fn open_file(
    path: &Path,
    init: impl FnOnce(&Arc<dyn Device>) -> Result<(), OpenError>,
) -> Result<File, OpenError> {
    let failed = |source| OpenError::Io {
        path: path.to_owned(),
        source,
    };
    match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => {
            warn_if_others_may(&file, path).map_err(failed)?;
            lock(file, path)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let directory = directory_of(path);
            create_directory(directory).map_err(failed)?;
            let draft = draft_of(path);
            let file = lock(create_private(&draft).map_err(failed)?, path)?;
            // Whoever held this lock before may have finished the file meanwhile.
            if path.try_exists().map_err(failed)? {
                return Err(OpenError::Locked(path.to_owned()));
            }
            file.set_len(0).map_err(failed)?;
            let device: Arc<dyn Device> = Arc::new(file.try_clone().map_err(failed)?);
            init(&device)?;
            file.sync_all()
                .and_then(|()| std::fs::rename(&draft, path))
                .and_then(|()| File::open(directory)?.sync_all())
                .map_err(failed)?;
            Ok(file)
        }
        Err(error) => Err(failed(error)),
    }
}

fn lock(file: File, path: &Path) -> Result<File, OpenError> {
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked(path.to_owned())),
        Err(TryLockError::Error(source)) => Err(OpenError::Io {
            path: path.to_owned(),
            source,
        }),
    }
}

/// A file that was copied into place may be open to others. That is for the operator to change:
/// the group may be the one that makes the backups.
fn warn_if_others_may(file: &File, path: &Path) -> io::Result<()> {
    let mode = file.metadata()?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        tracing::warn!(
            file = %path.display(),
            mode = format!("{mode:04o}"),
            "the session file is open to others than its owner: chmod 600 it"
        );
    }
    Ok(())
}

fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

fn create_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn directory_of(path: &Path) -> &Path {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    parent.unwrap_or(Path::new("."))
}

fn draft_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}
