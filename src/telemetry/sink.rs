//! The way of a line to stderr: through a buffer that a thread of its own empties every few
//! milliseconds, all with one write.
//!
//! A request must not pay for a system call, and must not hang because the reader of the log has
//! stalled: then the buffer fills, and once it has been full for a second further lines are
//! dropped, and counted in a line as soon as there is a reader again. A process that is killed
//! (`SIGKILL`) takes the lines of its last few milliseconds with it; any other end flushes them.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

/// How long lines are gathered before they are written.
const GATHERING: Duration = Duration::from_millis(5);

/// How much may wait for the thread, in bytes.
const MOST: usize = 1024 * 1024;

/// How long a reader may take before it counts as stalled.
const PATIENCE: Duration = Duration::from_secs(1);

static SINK: OnceLock<Shared> = OnceLock::new();

#[derive(Default)]
struct Buffer {
    waiting: Vec<u8>,
    /// The thread is awake, and will look for more lines before it sleeps.
    is_at_work: bool,
    /// The reader did not make room in time; nobody waits for it again until it does.
    is_stalled: bool,
    lost: u64,
}

#[derive(Default)]
struct Shared {
    buffer: Mutex<Buffer>,
    filled: Condvar,
    written: Condvar,
    flushing: Condvar,
}

/// Where lines are put.
#[derive(Clone, Copy)]
pub(super) struct Sink(&'static Shared);

/// Flushes the log when it is dropped, however the process comes to its end.
pub struct FlushAtEnd(());

impl Drop for FlushAtEnd {
    fn drop(&mut self) {
        flush();
    }
}

impl Sink {
    /// Starts the thread.
    pub(super) fn start() -> io::Result<(Self, FlushAtEnd)> {
        // A descriptor of its own: whoever else writes to stderr must not wait for this thread.
        let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        let shared = SINK.get_or_init(Shared::default);
        let named = std::thread::Builder::new().name("log".to_owned());
        named.spawn(|| shared.write_for_ever(stderr))?;
        Ok((Self(shared), FlushAtEnd(())))
    }

    /// Takes a line; waits for room if there is none, but for no reader that has stalled.
    pub(super) fn add(self, line: &[u8]) {
        self.0.add(line);
    }
}

/// Waits until all that has been logged is written, or the reader seems to have stalled.
pub fn flush() {
    let Some(shared) = SINK.get() else { return };
    let deadline = Instant::now() + PATIENCE;
    let mut buffer = shared.buffer.lock();
    shared.flushing.notify_one();
    while buffer.is_at_work || !buffer.waiting.is_empty() {
        if shared.written.wait_until(&mut buffer, deadline).timed_out() {
            return;
        }
    }
}

impl Shared {
    fn write_for_ever(&self, mut stderr: File) {
        let mut batch = Vec::new();
        let mut buffer = self.buffer.lock();
        loop {
            buffer.is_at_work = false;
            self.written.notify_all();
            while buffer.waiting.is_empty() {
                self.filled.wait(&mut buffer);
            }
            buffer.is_at_work = true;
            self.flushing.wait_for(&mut buffer, GATHERING);
            std::mem::swap(&mut buffer.waiting, &mut batch);
            drop(buffer);
            // If nobody can be told, nobody can be told of that either.
            let _ = stderr.write_all(&batch);
            batch.clear();
            batch.shrink_to(MOST / 16);
            buffer = self.count_lost(self.buffer.lock());
        }
    }

    /// Says how many lines were lost while the reader stalled, now that it reads again.
    fn count_lost<'a>(&'a self, mut buffer: MutexGuard<'a, Buffer>) -> MutexGuard<'a, Buffer> {
        buffer.is_stalled = false;
        let lost = std::mem::take(&mut buffer.lost);
        if lost == 0 {
            return buffer;
        }
        // The line goes through this very buffer.
        drop(buffer);
        tracing::warn!(lost, "log lines were lost: whoever reads them had stalled");
        self.buffer.lock()
    }

    fn add(&self, line: &[u8]) {
        let mut buffer = self.buffer.lock();
        if buffer.waiting.len() > MOST && !buffer.is_stalled {
            let is_full = |buffer: &mut Buffer| buffer.waiting.len() > MOST;
            let waited = self.written.wait_while_for(&mut buffer, is_full, PATIENCE);
            buffer.is_stalled |= waited.timed_out();
        }
        if buffer.waiting.len() > MOST {
            buffer.lost += 1;
            return;
        }
        buffer.waiting.extend_from_slice(line);
        if !buffer.is_at_work {
            buffer.is_at_work = true;
            self.filled.notify_one();
        }
    }
}
