//! Where the engine's bytes lie: a private, locked file, or what a test puts in its place.
//!
//! A file is opened once and stays open and locked until the process ends, whatever happens to
//! the engine above it: reopening after a fault must not let another process in between, nor
//! find another file under the same name.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use redb::StorageBackend;
use rustix::fs::{Advice, fadvise};

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
