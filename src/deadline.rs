//! Deadlines that cost nothing where they are not needed.

use std::future::Future;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

/// What comes of `work`, or `None` if that takes longer than `limit`. Nearly all work here is done
/// at its first poll; only what is not gets a timer.
///
/// Pinned by the caller: a future that is moved into another takes its size twice.
pub(crate) async fn within<F: Future>(limit: Duration, mut work: Pin<&mut F>) -> Option<F::Output> {
    match futures_util::poll!(work.as_mut()) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => timeout(limit, work).await.ok(),
    }
}

/// Longer than anything takes, and not too long to be added to a point in time.
const FOR_EVER: Duration = Duration::from_hours(24 * 365 * 30);

/// A deadline that several pieces of work share. Its time begins when the first has to wait.
pub(crate) struct Deadline {
    limit: Duration,
    at: OnceLock<Instant>,
}

impl Deadline {
    pub(crate) const fn after(limit: Duration) -> Self {
        Self {
            limit,
            at: OnceLock::new(),
        }
    }

    /// What comes of `work`, or `None` if that is not known by the deadline.
    pub(crate) async fn hold<F: Future + Unpin>(&self, mut work: F) -> Option<F::Output> {
        match futures_util::poll!(&mut work) {
            Poll::Ready(done) => Some(done),
            Poll::Pending => {
                let limit = self.limit.min(FOR_EVER);
                let at = self.at.get_or_init(|| Instant::now() + limit);
                timeout_at(*at, work).await.ok()
            }
        }
    }
}
