//! A deadline that costs nothing where it is not needed.

use std::future::Future;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

/// What comes of `work`, or `None` if that takes longer than `limit`. Nearly all work here is done
/// at its first poll; only what is not gets a timer.
///
/// Pinned by the caller: a future that is moved into another takes its room twice.
pub(crate) async fn within<F: Future>(limit: Duration, mut work: Pin<&mut F>) -> Option<F::Output> {
    match futures_util::poll!(work.as_mut()) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => tokio::time::timeout(limit, work).await.ok(),
    }
}
