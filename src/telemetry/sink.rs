//! The way of a line to stderr: through a buffer that a thread of its own empties.
//!
//! A request must not pay for a system call, let alone wait for a reader of the log that has
//! stalled. Lines are in the pipe as soon as the thread gets to run, many with one write; none is
//! ever dropped: whoever finds the buffer full waits.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tracing_subscriber::fmt::MakeWriter;

/// How much may wait for the thread, in bytes, before those who log wait too.
const MOST: usize = 1024 * 1024;

/// How long [`flush`] waits for a reader of the log that has stalled.
const PATIENCE: Duration = Duration::from_secs(1);

static SINK: OnceLock<Shared> = OnceLock::new();

#[derive(Default)]
struct Buffer {
    waiting: Vec<u8>,
    is_being_written: bool,
}

#[derive(Default)]
struct Shared {
    buffer: Mutex<Buffer>,
    filled: Condvar,
    written: Condvar,
}

/// Where lines are put. Each call to `write` must be whole lines.
#[derive(Clone, Copy)]
pub(super) struct Sink(&'static Shared);

impl Sink {
    /// Starts the thread.
    pub(super) fn start() -> io::Result<Self> {
        let shared = SINK.get_or_init(Shared::default);
        let named = std::thread::Builder::new().name("log".to_owned());
        named.spawn(|| shared.write_for_ever())?;
        Ok(Self(shared))
    }
}

/// Waits until all that has been logged is written, or the reader seems to have stalled.
pub fn flush() {
    let Some(shared) = SINK.get() else { return };
    let deadline = Instant::now() + PATIENCE;
    let mut buffer = shared.buffer.lock();
    while buffer.is_being_written || !buffer.waiting.is_empty() {
        if shared.written.wait_until(&mut buffer, deadline).timed_out() {
            return;
        }
    }
}

impl Shared {
    fn write_for_ever(&self) {
        let mut batch = Vec::new();
        let mut buffer = self.buffer.lock();
        loop {
            while buffer.waiting.is_empty() {
                self.filled.wait(&mut buffer);
            }
            std::mem::swap(&mut buffer.waiting, &mut batch);
            buffer.is_being_written = true;
            drop(buffer);
            // If nobody can be told, nobody can be told of that either.
            let _ = io::stderr().write_all(&batch);
            batch.clear();
            batch.shrink_to(MOST / 16);
            buffer = self.buffer.lock();
            buffer.is_being_written = false;
            self.written.notify_all();
        }
    }
}

impl Write for Sink {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let mut buffer = self.0.buffer.lock();
        while buffer.waiting.len() > MOST {
            self.0.written.wait(&mut buffer);
        }
        buffer.waiting.extend_from_slice(lines);
        // A thread that is writing looks again by itself.
        if !buffer.is_being_written {
            self.0.filled.notify_one();
        }
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Sink {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}
