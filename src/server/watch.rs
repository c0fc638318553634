//! What a connection is doing and since when, and the stream that notices it.
//!
//! hyper has one timer for a request's head, which also runs between requests; a proxy's idle
//! connections deserve another limit than a client that dribbles its head. So the stream notes
//! when bytes come and when answers have gone, the service notes when a request begins and is
//! answered, and one timer per connection looks at the notes. Per request that is a few loads of
//! the clock, and no timer is ever moved.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::Limits;

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
    /// Milliseconds since `began`, and in the low three bits the phase.
    now: Arc<AtomicU64>,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            now: Arc::default(),
        }
    }

    pub(super) fn enter(&self, phase: Phase) {
        let millis = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX >> 3);
        self.now
            .store(millis << 3 | phase as u64, Ordering::Relaxed);
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

    /// When the present phase has lasted too long.
    pub(super) fn deadline(&self, limits: &Limits, closing: bool) -> Instant {
        let since = Duration::from_millis(self.now.load(Ordering::Relaxed) >> 3);
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
pub(super) struct Watched {
    stream: TcpStream,
    watch: Watch,
}

impl Watched {
    pub(super) const fn new(stream: TcpStream, watch: Watch) -> Self {
        Self { stream, watch }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before && matches!(self.watch.phase(), Phase::Silent | Phase::Idle)
        {
            self.watch.enter(Phase::Head);
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes the stream once it has written all it had.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if flushed.is_ready() && self.watch.phase() == Phase::Answer {
            self.watch.enter(Phase::Idle);
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
