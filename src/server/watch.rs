//! What a connection is doing and since when, and the stream that notices it.
//!
//! hyper has one timer for a request's head, which also runs between requests; a proxy's idle
//! connections deserve another limit than a client that dribbles its head. So the stream notes
//! when bytes come and when answers have gone, the service notes when a request begins and is
//! answered, and one timer per connection looks at the notes. Per request that is a few loads of
//! the clock, and no timer is ever moved.
//!
//! The notes also tell hyper's own refusals (of a head that is too large or makes no sense) from
//! the service's answers, so that they leave in the shape of all others.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::Limits;
use crate::http::Refusal;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// Connected, and not a byte has come.
    Silent = 0,
    /// A request's head is coming in.
    Head = 1,
    /// A request is being answered; its body may still be coming in.
    Request = 2,
    /// The answer is going out.
    Answer = 3,
    /// Answered, and waiting for the next request.
    Idle = 4,
}

/// While shutting down, a head that has begun gets this long.
const LAST_HEAD: Duration = Duration::from_secs(1);

/// The service answers for itself when a request takes too long; this is how much later the
/// connection is cut if even that does not come.
const GRACE: Duration = Duration::from_millis(500);

/// A connection's phase and since when. Only its own task writes it.
#[derive(Clone)]
pub(super) struct Watch {
    began: Instant,
    notes: Arc<Notes>,
}

#[derive(Default)]
struct Notes {
    /// Milliseconds since `began`, and in the low three bits the phase.
    now: AtomicU64,
    /// What came in goes beyond the end of a head: part of the next request is here already.
    is_ahead: AtomicBool,
    /// A request has begun since something came in: the next came in one breath with it.
    is_pipelined: AtomicBool,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            notes: Arc::default(),
        }
    }

    pub(super) fn enter(&self, phase: Phase) {
        let millis = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX >> 3);
        let now = millis << 3 | phase as u64;
        self.notes.now.store(now, Ordering::Relaxed);
    }

    /// The head of a request is complete. Answers whether it came in one breath with the one
    /// before it.
    pub(super) fn enter_request(&self, has_body: bool) -> bool {
        self.enter(Phase::Request);
        if has_body {
            // Then what came after the head is the body.
            self.notes.is_ahead.store(false, Ordering::Relaxed);
        }
        self.notes.is_pipelined.swap(true, Ordering::Relaxed)
    }

    /// The client has taken an answer.
    fn enter_next(&self) {
        let is_ahead = self.notes.is_ahead.load(Ordering::Relaxed);
        self.enter(if is_ahead { Phase::Head } else { Phase::Idle });
    }

    pub(super) fn phase(&self) -> Phase {
        match self.notes.now.load(Ordering::Relaxed) & 0b111 {
            0 => Phase::Silent,
            1 => Phase::Head,
            2 => Phase::Request,
            3 => Phase::Answer,
            _ => Phase::Idle,
        }
    }

    /// When the present phase has lasted too long.
    pub(super) fn deadline(&self, limits: &Limits, closing: bool) -> Instant {
        let since = Duration::from_millis(self.notes.now.load(Ordering::Relaxed) >> 3);
        let most = match self.phase() {
            Phase::Silent | Phase::Idle if closing => Duration::ZERO,
            Phase::Head if closing => limits.header_timeout.min(LAST_HEAD),
            Phase::Silent | Phase::Head => limits.header_timeout,
            Phase::Request => limits.request_timeout + GRACE,
            Phase::Answer => limits.request_timeout,
            Phase::Idle => limits.keep_alive_timeout,
        };
        self.began + since + most
    }
}

/// The connection's stream; tells the watch what comes and goes.
pub(super) struct Watched<'a> {
    stream: &'a mut TcpStream,
    watch: Watch,
    /// The last bytes that came in.
    tail: u32,
}

impl<'a> Watched<'a> {
    pub(super) const fn new(stream: &'a mut TcpStream, watch: Watch) -> Self {
        Self {
            stream,
            watch,
            tail: 0,
        }
    }

    fn note(&mut self, arrived: &[u8]) {
        let last = &arrived[arrived.len().saturating_sub(4)..];
        self.tail = last
            .iter()
            .fold(self.tail, |tail, &byte| tail << 8 | u32::from(byte));
        let is_pipelined = &self.watch.notes.is_pipelined;
        is_pipelined.store(false, Ordering::Relaxed);
        match self.watch.phase() {
            Phase::Silent | Phase::Idle => self.watch.enter(Phase::Head),
            Phase::Head => {}
            Phase::Request | Phase::Answer => return,
        }
        let ends_a_head = self.tail & 0xFFFF == 0x0A0A || self.tail & 0x00FF_FFFF == 0x000A_0D0A;
        let is_ahead = &self.watch.notes.is_ahead;
        is_ahead.store(!ends_a_head, Ordering::Relaxed);
    }

    /// Writes `said` if it is a refusal that hyper makes without asking the service: an error
    /// status and no body, which is completed here. It is the connection's last word, so what
    /// does not fit a buffer at once is not worth a wait.
    fn poll_refuse(
        &mut self,
        cx: &mut Context<'_>,
        said: &[u8],
    ) -> Option<Poll<io::Result<usize>>> {
        if matches!(self.watch.phase(), Phase::Request | Phase::Answer) {
            return None;
        }
        let Some(refusal) = Refusal::completing(said) else {
            // An answer that goes out in pieces.
            self.watch.enter(Phase::Answer);
            return None;
        };
        let written = Pin::new(&mut *self.stream).poll_write(cx, &refusal);
        Some(written.map_ok(|_| said.len()))
    }
}

impl AsyncRead for Watched<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut *self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.note(&buf.filled()[before..]);
        }
        read
    }
}

impl AsyncWrite for Watched<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(refused) = self.poll_refuse(cx, buf) {
            return refused;
        }
        Pin::new(&mut *self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = bufs.first().map_or(&[][..], |first| first);
        if let Some(refused) = self.poll_refuse(cx, first) {
            return refused;
        }
        Pin::new(&mut *self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes the stream once it has written all it had.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut *self.stream).poll_flush(cx);
        if flushed.is_ready() && self.watch.phase() == Phase::Answer {
            self.watch.enter_next();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_shutdown(cx)
    }
}
