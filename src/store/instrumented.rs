//! The decorator every store wears: each call is measured, and fails if it takes longer than
//! `--store-timeout`.
//!
//! A call that only asks is given up then. One that changes something counts as failed and goes
//! on: what it ends is still told, to whoever awaits it. Its caller stops waiting by itself.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::outages::Outages;
use crate::deadline::within;
use crate::metrics::{Metrics, StoreOperation};
use crate::session::{
    Moment, SealedSession, Session, SessionId, SessionList, SessionStore, Spared, StoreError,
    Timestamp, User,
};

/// A store whose calls end in time and are counted, and which says when it works again.
pub struct Instrumented<S> {
    inner: S,
    timeout: Duration,
    metrics: Arc<Metrics>,
    outages: Outages,
}

impl<S> Instrumented<S> {
    /// Gives every call to `inner` the same `timeout`.
    pub const fn new(inner: S, timeout: Duration, metrics: Arc<Metrics>) -> Self {
        Self {
            inner,
            timeout,
            metrics,
            outages: Outages::new(),
        }
    }

    async fn measured<T>(
        &self,
        operation: StoreOperation,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let begun = Instant::now();
        let late = || Err(StoreError::timed_out());
        let outcome = within(self.timeout, pin!(call)).await.unwrap_or_else(late);
        self.count(operation, &outcome, begun);
        outcome
    }

    /// The same of a call that changes something.
    async fn awaited<T>(
        &self,
        operation: StoreOperation,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let begun = Instant::now();
        let mut call = pin!(call);
        if let Some(outcome) = within(self.timeout, call.as_mut()).await {
            self.count(operation, &outcome, begun);
            return outcome;
        }
        self.count::<T>(operation, &Err(StoreError::timed_out()), begun);
        call.await
    }

    fn measured_at_once<T>(
        &self,
        operation: StoreOperation,
        call: impl FnOnce() -> Option<Result<T, StoreError>>,
    ) -> Option<Result<T, StoreError>> {
        let begun = Instant::now();
        let outcome = call()?;
        self.count(operation, &outcome, begun);
        Some(outcome)
    }

    fn count<T>(&self, operation: StoreOperation, outcome: &Result<T, StoreError>, begun: Instant) {
        let failure = outcome.as_ref().err().map(StoreError::class);
        self.metrics.store_call(operation, failure, begun.elapsed());
        self.outages.note(operation, failure, begun);
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: SessionStore> SessionStore for Instrumented<S> {
    async fn insert(&self, session: Session, at: Moment) -> Result<(), StoreError> {
        let call = self.inner.insert(session, at);
        self.awaited(StoreOperation::Insert, call).await
    }

    async fn find(&self, id: &SessionId, at: Moment) -> Result<Option<Session>, StoreError> {
        let call = self.inner.find(id, at);
        self.measured(StoreOperation::Find, call).await
    }

    fn find_at_once(
        &self,
        id: &SessionId,
        at: Moment,
    ) -> Option<Result<Option<Session>, StoreError>> {
        let call = || self.inner.find_at_once(id, at);
        self.measured_at_once(StoreOperation::Find, call)
    }

    async fn touch(&self, id: &SessionId, at: Moment) -> Result<bool, StoreError> {
        let call = self.inner.touch(id, at);
        self.measured(StoreOperation::Touch, call).await
    }

    async fn delete(&self, id: &SessionId, at: Moment) -> Result<Option<Session>, StoreError> {
        let call = self.inner.delete(id, at);
        self.awaited(StoreOperation::Delete, call).await
    }

    fn delete_at_once(
        &self,
        id: &SessionId,
        at: Moment,
    ) -> Option<Result<Option<Session>, StoreError>> {
        let call = || self.inner.delete_at_once(id, at);
        self.measured_at_once(StoreOperation::Delete, call)
    }

    async fn list(&self, user: &User, at: Moment) -> Result<SessionList, StoreError> {
        let call = self.inner.list(user, at);
        self.measured(StoreOperation::List, call).await
    }

    async fn delete_all(
        &self,
        user: &User,
        at: Moment,
        seals_until: Option<Timestamp>,
    ) -> Result<Vec<Session>, StoreError> {
        let call = self.inner.delete_all(user, at, seals_until);
        self.awaited(StoreOperation::DeleteAll, call).await
    }

    async fn trim(
        &self,
        user: &User,
        spared: &Spared,
        at: Moment,
        seals_until: Option<Timestamp>,
    ) -> Result<Vec<Session>, StoreError> {
        let call = self.inner.trim(user, spared, at, seals_until);
        self.awaited(StoreOperation::Trim, call).await
    }

    async fn revoke_sealed(&self, sealed: &SealedSession, at: Moment) -> Result<bool, StoreError> {
        let call = self.inner.revoke_sealed(sealed, at);
        self.awaited(StoreOperation::RevokeSealed, call).await
    }

    async fn is_revoked(&self, sealed: &SealedSession, at: Moment) -> Result<bool, StoreError> {
        let call = self.inner.is_revoked(sealed, at);
        self.measured(StoreOperation::IsRevoked, call).await
    }

    async fn sweep(&self, at: Moment) -> Result<(), StoreError> {
        let call = self.inner.sweep(at);
        self.measured(StoreOperation::Sweep, call).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        let call = self.inner.ready();
        self.measured(StoreOperation::Ready, call).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        // The end of the service has a deadline of its own.
        self.inner.close().await
    }

    fn approximate_len(&self) -> Option<u64> {
        self.inner.approximate_len()
    }
}
