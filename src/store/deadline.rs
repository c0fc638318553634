//! The decorator every store wears: no call may take longer than `--store-timeout`.
//!
//! A call that runs out of time is a failure of which nothing is known; whether it was applied
//! is settled by asking again.

use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;

use crate::session::{
    Moment, SealedSession, Session, SessionId, SessionStore, StoreError, StoreErrorKind, Timestamp,
    User,
};

/// A store whose calls end in time.
pub struct Deadline<S> {
    inner: S,
    timeout: Duration,
}

impl<S> Deadline<S> {
    /// Gives every call to `inner` the same `timeout`.
    pub const fn new(inner: S, timeout: Duration) -> Self {
        Self { inner, timeout }
    }

    async fn within<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        tokio::time::timeout(self.timeout, call)
            .await
            .unwrap_or_else(|_| Err(StoreError::new(StoreErrorKind::TimedOut, "timeout")))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: SessionStore> SessionStore for Deadline<S> {
    async fn insert(&self, session: Session, at: Moment) -> Result<(), StoreError> {
        self.within(self.inner.insert(session, at)).await
    }

    async fn find(&self, id: &SessionId, at: Moment) -> Result<Option<Session>, StoreError> {
        self.within(self.inner.find(id, at)).await
    }

    async fn touch(&self, id: &SessionId, at: Moment) -> Result<bool, StoreError> {
        self.within(self.inner.touch(id, at)).await
    }

    async fn delete(&self, id: &SessionId, at: Moment) -> Result<Option<Session>, StoreError> {
        self.within(self.inner.delete(id, at)).await
    }

    async fn list(&self, user: &User, at: Moment) -> Result<Vec<Session>, StoreError> {
        self.within(self.inner.list(user, at)).await
    }

    async fn delete_all(
        &self,
        user: &User,
        at: Moment,
        seals_until: Option<Timestamp>,
    ) -> Result<Vec<Session>, StoreError> {
        self.within(self.inner.delete_all(user, at, seals_until))
            .await
    }

    async fn revoke_sealed(&self, sealed: &SealedSession, at: Moment) -> Result<bool, StoreError> {
        self.within(self.inner.revoke_sealed(sealed, at)).await
    }

    async fn is_revoked(&self, sealed: &SealedSession, at: Moment) -> Result<bool, StoreError> {
        self.within(self.inner.is_revoked(sealed, at)).await
    }

    async fn sweep(&self, at: Moment) -> Result<(), StoreError> {
        self.within(self.inner.sweep(at)).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.within(self.inner.ready()).await
    }

    fn approximate_len(&self) -> Option<u64> {
        self.inner.approximate_len()
    }
}
