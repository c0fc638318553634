//! The way of a line to stderr: through a buffer that a thread of its own empties every few
//! milliseconds, all that has gathered at a time.
//!
//! A request must not pay for a system call, and must not hang because the reader of the log has
//! stalled. So whoever finds the buffer full waits for as long as the reader takes anything,
//! however slowly, and no line is lost; a reader that has taken nothing for [`PATIENCE`] has
//! stalled, and is waited for no longer. Lines that are lost then are counted, and once the reader
//! has caught up a line says how many. A process that is killed (`SIGKILL`) takes the lines of its
//! last few milliseconds with it; any other end flushes them.
//!
//! `tracing-appender` has no such middle way: its bounded channel either loses the lines of a
//! large revocation though the reader reads, or waits for a reader that never will. Besides, a line
//! of 330 bytes takes it 720 instructions, and this 130 (callgrind, without the system's).

use std::fs::File;
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::AsFd as _;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

/// How long lines are gathered before they are written, unless there are enough for a write.
const GATHERING: Duration = Duration::from_millis(5);

/// How much may be unwritten, in bytes: what a busy service does not fill within [`PATIENCE`], so
/// that its requests wait for no stalled reader at all.
const MOST: usize = 4 * 1024 * 1024;

/// How much is written at a time, in bytes: what the slowest reader takes within [`PATIENCE`].
const AT_A_TIME: usize = 16 * 1024;

/// How much memory is kept for lines while there are few, in bytes.
const KEPT: usize = 64 * 1024;

/// How long a reader may take nothing before it counts as stalled.
const PATIENCE: Duration = Duration::from_millis(500);

static SINK: OnceLock<SharedBuffer> = OnceLock::new();

struct Buffer {
    /// What the thread has not looked at yet.
    waiting: Vec<u8>,
    /// The bytes of `waiting`, and those that the thread is writing.
    unwritten: usize,
    /// The thread has nothing to do.
    is_idle: bool,
    /// When the reader last took something, or was given something after it had taken all.
    last_taken: Instant,
    /// Lines lost since the start, and those of which no line has told.
    lost: u64,
    untold: u64,
}

struct SharedBuffer {
    buffer: Mutex<Buffer>,
    /// Makes the line that says how many were lost.
    describe_loss: Box<dyn Fn(u64) -> Vec<u8> + Send + Sync>,
    filled: Condvar,
    taken: Condvar,
    flushing: Condvar,
}

/// Where lines are put.
#[derive(Clone, Copy)]
pub(super) struct Sink(&'static SharedBuffer);

/// Flushes the log when it is dropped, however the process comes to its end.
pub struct FlushAtEnd(());

impl Drop for FlushAtEnd {
    fn drop(&mut self) {
        flush();
    }
}

impl Sink {
    /// Starts the thread. `describe_loss` makes the line that says how many lines were lost.
    pub(super) fn start(
        describe_loss: impl Fn(u64) -> Vec<u8> + Send + Sync + 'static,
    ) -> io::Result<(Self, FlushAtEnd)> {
        // A descriptor of its own: whoever else writes to stderr must not wait for this thread.
        let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        let shared = SINK.get_or_init(|| SharedBuffer {
            buffer: Mutex::new(Buffer {
                waiting: Vec::new(),
                unwritten: 0,
                is_idle: false,
                last_taken: Instant::now(),
                lost: 0,
                untold: 0,
            }),
            describe_loss: Box::new(describe_loss),
            filled: Condvar::new(),
            taken: Condvar::new(),
            flushing: Condvar::new(),
        });
        let named = std::thread::Builder::new().name("log".to_owned());
        named.spawn(|| shared.write_for_ever(stderr))?;
        Ok((Self(shared), FlushAtEnd(())))
    }

    /// Takes a line; waits for room if there is none, but for no reader that has stalled.
    pub(super) fn add(self, line: &[u8]) {
        self.0.add(line);
    }
}

/// Writes a line of its own to stderr, among the log's if there is a log yet.
pub fn print(line: &str) {
    match SINK.get() {
        Some(shared) => shared.add(line.as_bytes()),
        // If stderr cannot be written, there is nowhere to say so.
        None => drop(io::stderr().write_all(line.as_bytes())),
    }
}

/// Waits until all that has been logged is written, a second at most, and for no reader that has
/// stalled.
pub fn flush() {
    flush_until(Instant::now() + Duration::from_secs(1));
}

/// The same until `deadline`.
pub fn flush_until(deadline: Instant) {
    let Some(shared) = SINK.get() else { return };
    let mut buffer = shared.buffer.lock();
    shared.flushing.notify_one();
    shared.wait(&mut buffer, |buffer| {
        let is_written = buffer.is_idle && buffer.unwritten == 0;
        is_written || Instant::now() >= deadline
    });
}

/// How many lines were lost since the start.
pub fn lines_lost() -> u64 {
    SINK.get().map_or(0, |shared| shared.buffer.lock().lost)
}

impl SharedBuffer {
    fn add(&self, line: &[u8]) {
        let mut buffer = self.buffer.lock();
        if buffer.unwritten > MOST && !self.wait(&mut buffer, |buffer| buffer.unwritten <= MOST) {
            return buffer.lose(1);
        }
        if buffer.unwritten == 0 {
            buffer.last_taken = Instant::now();
        }
        buffer.unwritten += line.len();
        buffer.waiting.extend_from_slice(line);
        if buffer.is_idle {
            buffer.is_idle = false;
            self.filled.notify_one();
        }
    }

    /// Waits until something is the case; gives up if the reader has stalled.
    fn wait(
        &self,
        buffer: &mut MutexGuard<'_, Buffer>,
        is_the_case: impl Fn(&Buffer) -> bool,
    ) -> bool {
        while !is_the_case(buffer) {
            let until = buffer.last_taken + PATIENCE;
            if Instant::now() >= until {
                return false;
            }
            self.taken.wait_until(buffer, until);
        }
        true
    }

    fn write_for_ever(&self, stderr: File) {
        let mut stderr = Stderr {
            file: stderr,
            is_at_start: true,
            is_broken: false,
        };
        let mut lines = Vec::new();
        loop {
            let lost = self.gather(&mut lines, stderr.is_broken);
            if lost > 0 && stderr.write(&(self.describe_loss)(lost)) > 0 {
                self.buffer.lock().untold += lost;
            }
            let mut rest = &lines[..];
            while let Some((some, more)) = split_after_lines(rest) {
                let lost = stderr.write(some);
                let mut buffer = self.buffer.lock();
                buffer.lose(lost);
                buffer.unwritten -= some.len();
                buffer.last_taken = Instant::now();
                self.taken.notify_all();
                rest = more;
            }
            lines.clear();
            lines.shrink_to(KEPT);
        }
    }

    /// Waits for lines, and a little for more of them; how many were lost that are to be told
    /// of. If nothing can be written, it is not tried for the sake of those alone.
    fn gather(&self, lines: &mut Vec<u8>, is_broken: bool) -> u64 {
        let mut buffer = self.buffer.lock();
        while buffer.waiting.is_empty() && (buffer.untold == 0 || is_broken) {
            buffer.is_idle = true;
            self.taken.notify_all();
            self.filled.wait(&mut buffer);
        }
        if buffer.waiting.len() < AT_A_TIME {
            self.flushing.wait_for(&mut buffer, GATHERING);
        }
        std::mem::swap(&mut buffer.waiting, lines);
        std::mem::take(&mut buffer.untold)
    }
}

impl Buffer {
    fn lose(&mut self, lines: u64) {
        self.lost += lines;
        self.untold += lines;
    }
}

/// Splits off as many whole lines as are written at a time, at least one.
fn split_after_lines(lines: &[u8]) -> Option<(&[u8], &[u8])> {
    let some = &lines[..lines.len().min(AT_A_TIME)];
    let end = memchr::memrchr(b'\n', some).or_else(|| memchr::memchr(b'\n', lines))?;
    Some(lines.split_at(end + 1))
}

/// Where lines are written.
struct Stderr {
    file: File,
    /// What was written last is a whole line.
    is_at_start: bool,
    /// The last line could not be written.
    is_broken: bool,
}

impl Stderr {
    /// Writes as many of these lines as can be written at all; how many could not.
    fn write(&mut self, lines: &[u8]) -> u64 {
        if !self.is_at_start {
            self.is_at_start = self.write_bytes(b"\n").is_empty();
        }
        let unwritten = if self.is_at_start {
            self.write_bytes(lines)
        } else {
            lines
        };
        self.is_broken = !unwritten.is_empty();
        let written = &lines[..lines.len() - unwritten.len()];
        if let Some(last) = written.last() {
            self.is_at_start = *last == b'\n';
        }
        memchr::memchr_iter(b'\n', unwritten).count() as u64
    }

    /// What could not be written.
    fn write_bytes<'a>(&mut self, mut bytes: &'a [u8]) -> &'a [u8] {
        while !bytes.is_empty() {
            match self.file.write(bytes) {
                Ok(0) => break,
                Ok(written) => bytes = &bytes[written..],
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    // Whoever shares stderr may have set it not to block.
                    ErrorKind::WouldBlock => std::thread::sleep(GATHERING),
                    _ => break,
                },
            }
        }
        bytes
    }
}
