//! What a connection is doing and since when, and the stream that notices it.
//!
//! hyper has one timer for a request's head, which also runs between requests; a proxy's idle
//! connection needs another limit than a client that sends its head slowly. So the stream notes
//! when bytes come and when answers have gone, the service notes when a request begins and is
//! answered, and one timer per connection looks at the notes. Per request that is a few loads of
//! the clock, and no timer is ever moved.
//!
//! The notes also tell hyper's own refusals (of a head that is too large or makes no sense) from
//! the service's answers, so that they leave in the shape of all others.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use rustix::time::{ClockId, clock_gettime};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::config::Limits;
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

/// How long after an answer an idle connection is taken from hyper.
pub(super) const REST_AFTER: Duration = Duration::from_millis(20);

/// While shutting down, a head that has begun gets this long.
const LAST_HEAD: Duration = Duration::from_secs(1);

/// The service answers for itself when a request takes too long; this is how much later the
/// connection is cut if even that does not come.
const GRACE: Duration = Duration::from_millis(500);

/// A connection's phase and since when. Only its own task writes it.
pub(super) struct Watch {
    began: Instant,
    /// The coarse clock at `began`.
    began_millis: u64,
    /// Milliseconds since `began`, and in the low three bits the phase.
    now: AtomicU64,
    /// A request has begun since something was read: if another begins now, it is pipelined.
    is_pipelined: AtomicBool,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            began_millis: coarse_millis(),
            now: AtomicU64::new(0),
            is_pipelined: AtomicBool::new(false),
        }
    }

    pub(super) fn enter(&self, phase: Phase) {
        let millis = coarse_millis().saturating_sub(self.began_millis);
        let now = millis << 3 | phase as u64;
        self.now.store(now, Ordering::Relaxed);
    }

    /// Something was read.
    fn note_read(&self) {
        self.is_pipelined.store(false, Ordering::Relaxed);
        if matches!(self.phase(), Phase::Silent | Phase::Idle) {
            self.enter(Phase::Head);
        }
    }

    /// The head of a request is complete. Answers whether it was read along with the one before it.
    pub(super) fn enter_request(&self) -> bool {
        self.enter(Phase::Request);
        self.is_pipelined.swap(true, Ordering::Relaxed)
    }

    pub(super) fn phase(&self) -> Phase {
        match self.now.load(Ordering::Relaxed) & 0b111 {
            0 => Phase::Silent,
            1 => Phase::Head,
            2 => Phase::Request,
            3 => Phase::Answer,
            _ => Phase::Idle,
        }
    }

    /// What came with the last request turns out to begin the next one's head: it has been coming
    /// in for as long as the connection seemed idle.
    pub(super) fn begin_head(&self) {
        let now = self.now.load(Ordering::Relaxed) & !0b111 | Phase::Head as u64;
        self.now.store(now, Ordering::Relaxed);
    }

    /// When the present phase began.
    fn since(&self) -> Instant {
        self.began + Duration::from_millis(self.now.load(Ordering::Relaxed) >> 3)
    }

    /// When the present phase has lasted too long.
    pub(super) fn deadline(&self, limits: &Limits, closing: bool) -> Instant {
        let most = match self.phase() {
            Phase::Idle if closing => Duration::ZERO,
            // One that has just connected may have asked already.
            Phase::Silent | Phase::Head if closing => limits.header_timeout.min(LAST_HEAD),
            Phase::Silent | Phase::Head => limits.header_timeout,
            // When an idle connection is taken from hyper, not when it is closed.
            Phase::Idle => REST_AFTER.min(limits.keep_alive_timeout),
            Phase::Request => limits.request_timeout + GRACE,
            Phase::Answer => limits.request_timeout,
        };
        self.since() + most
    }

    /// When a connection that hyper does not hold is to be closed: one that has never sent
    /// anything has as long as one that is sending its head.
    pub(super) fn latest(&self, limits: &Limits, closing: bool) -> Instant {
        match self.phase() {
            Phase::Idle if !closing => self.since() + limits.keep_alive_timeout,
            _ => self.deadline(limits, closing),
        }
    }
}

/// A clock that is cheap to look at and right to within some milliseconds: four looks a request
/// at a precise one would cost more than the request's look into the store.
fn coarse_millis() -> u64 {
    let now = clock_gettime(ClockId::MonotonicCoarse);
    let millis = now.tv_sec * 1000 + now.tv_nsec / 1_000_000;
    u64::try_from(millis).unwrap_or_default()
}

/// The connection's stream; tells the watch what comes and goes.
pub(super) struct Watched<'a> {
    stream: &'a mut TcpStream,
    watch: &'a Watch,
    /// What has been read before, and comes first.
    left_over: Bytes,
}

impl<'a> Watched<'a> {
    pub(super) const fn new(stream: &'a mut TcpStream, watch: &'a Watch, left_over: Bytes) -> Self {
        Self {
            stream,
            watch,
            left_over,
        }
    }

    /// Writes `answer` if it is a refusal that hyper makes without asking the service: an error
    /// status and no body, which is completed here. The connection closes after it, so what does
    /// not fit the system's buffer at once is not waited for.
    fn poll_refuse(
        &mut self,
        cx: &mut Context<'_>,
        answer: &[u8],
    ) -> Option<Poll<io::Result<usize>>> {
        if matches!(self.watch.phase(), Phase::Request | Phase::Answer) {
            return None;
        }
        let Some(refusal) = Refusal::completing(answer) else {
            // An answer that goes out in pieces.
            self.watch.enter(Phase::Answer);
            return None;
        };
        let written = Pin::new(&mut *self.stream).poll_write(cx, &refusal);
        Some(written.map_ok(|_| answer.len()))
    }
}

impl AsyncRead for Watched<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.left_over.is_empty() {
            let length = self.left_over.len().min(buf.remaining());
            buf.put_slice(&self.left_over.split_to(length));
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut *self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.watch.note_read();
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
            self.watch.enter(Phase::Idle);
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_the_end_idle_connections_close_at_once_and_new_ones_get_a_moment_to_ask() {
        let most = Duration::from_secs(10);
        let limits = Limits {
            max_connections: 1,
            header_timeout: most,
            request_timeout: most,
            keep_alive_timeout: most,
            shutdown_timeout: most,
        };
        let watch = Watch::new();
        assert_eq!(watch.latest(&limits, false), watch.began + most);
        assert_eq!(watch.latest(&limits, true), watch.began + LAST_HEAD);
        watch.enter(Phase::Idle);
        assert_eq!(watch.latest(&limits, false), watch.since() + most);
        assert_eq!(watch.latest(&limits, true), watch.since());
    }
}
