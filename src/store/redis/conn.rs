//! One connection: commands with a deadline, and the confirmation by replicas.
//!
//! `dial` makes it, `link` keeps one of its kind up, `servers` decides which one a key needs.
//! Never repeats a command, and never outlives a failure: a broken one stays broken.
//!
//! Many calls share the connection; redis-rs hands replies out in the order of the commands. A
//! call that gives up leaves its place in that order, so its late reply goes nowhere, and not to
//! the next call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, Pipeline, Value};
use tokio::sync::{Mutex, Notify};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use super::error::{another_connection_may_help, store_error, timed_out, unconfirmed};
use crate::session::{StoreError, StoreErrorKind};

/// How long a fence key lives after its last use, in milliseconds: a day.
const FENCE_LIFE: i64 = 86_400_000;

/// The part of a call's time that is kept back from `WAIT`, or a quarter of what is left if that
/// is less: an idle server looks at its clock ten times a second, and the answer has to travel.
const ANSWER_TIME: Duration = Duration::from_millis(150);

/// An open connection, or one that was open.
pub(super) struct Conn {
    mux: MultiplexedConnection,
    driver: AbortHandle,
    state: Arc<ConnState>,
    /// Why writes acknowledged by this server may be lost, if they may.
    pub(super) doubt: Option<String>,
    confirmations: Confirmations,
}

/// What the connection's driver, its callers and its keeper tell each other.
#[derive(Default)]
struct ConnState {
    closed: AtomicBool,
    condemned: Notify,
    suspected: Notify,
}

/// One `WAIT` at a time confirms for all who wrote before it began: a replica's delay is paid
/// once for a crowd and not in a queue.
#[derive(Default)]
struct Confirmations {
    asked: AtomicU64,
    confirmed: AtomicU64,
    turn: Mutex<()>,
}

impl Conn {
    /// Starts to drive a connection that was just made.
    pub(super) fn start(
        mux: MultiplexedConnection,
        driver: impl Future<Output = ()> + Send + 'static,
        doubt: Option<String>,
    ) -> Self {
        let state = Arc::<ConnState>::default();
        let seen_closed = Arc::clone(&state);
        let driver = tokio::spawn(async move {
            driver.await;
            seen_closed.closed.store(true, Ordering::Release);
            seen_closed.condemned.notify_one();
        });
        Self {
            mux,
            driver: driver.abort_handle(),
            state,
            doubt,
            confirmations: Confirmations::default(),
        }
    }

    /// Whether commands may still be sent.
    pub(super) fn is_open(&self) -> bool {
        !self.state.closed.load(Ordering::Acquire)
    }

    /// Sends one command and waits for its answer until the deadline.
    pub(super) async fn send<T: FromRedisValue>(
        &self,
        command: &Cmd,
        deadline: Instant,
    ) -> Result<T, StoreError> {
        let mut mux = self.mux.clone();
        let answer = timeout_at(deadline, command.query_async(&mut mux)).await;
        self.judge(answer.map_err(|_| timed_out()))
    }

    /// The same to a node that a key's slot is just moving to, which only takes it after `ASKING`.
    pub(super) async fn send_asking<T: FromRedisValue>(
        &self,
        command: &Cmd,
        deadline: Instant,
    ) -> Result<T, StoreError> {
        let mut both = redis::pipe();
        both.cmd("ASKING").add_command(command.clone());
        let answers = self.send_all(&both, deadline).await?;
        self.read(answers.into_iter().nth(1))
    }

    /// Sends one command whose answer nobody needs, if there is room to do so at once.
    pub(super) fn hint(&self, mut command: Cmd) {
        command.set_no_response(true);
        let mut mux = self.mux.clone();
        let sending = mux.send_packed_command(&command);
        let _: Option<_> = futures_util::FutureExt::now_or_never(sending);
    }

    /// Sends commands as one unit, so that no other call's come between; each has an answer.
    async fn send_all(
        &self,
        commands: &Pipeline,
        deadline: Instant,
    ) -> Result<Vec<Value>, StoreError> {
        let mut mux = self.mux.clone();
        let answers = mux.send_packed_commands(commands, 0, commands.len());
        self.judge(timeout_at(deadline, answers).await.map_err(|_| timed_out()))
    }

    /// Turns the client library's outcome into ours, and tells the keeper what it means for the
    /// connection.
    fn judge<T>(&self, answer: Result<redis::RedisResult<T>, StoreError>) -> Result<T, StoreError> {
        let error = match answer {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => store_error(error),
            Err(silence) => silence,
        };
        if error.kind() == StoreErrorKind::TimedOut {
            self.state.suspected.notify_one();
        } else if another_connection_may_help(&error) {
            self.condemn();
        }
        Err(error)
    }

    /// Has the connection replaced.
    fn condemn(&self) {
        self.state.condemned.notify_one();
    }

    /// Closes the connection; calls that wait for an answer on it fail now, and not at their
    /// deadlines.
    pub(super) fn close(&self) {
        self.state.closed.store(true, Ordering::Release);
        self.driver.abort();
    }

    /// Ends once the connection must be replaced: it is closed, or leads to a server that refuses,
    /// or a call timed out and then a `PING` went unanswered for as long as `probe`.
    pub(super) async fn until_useless(&self, probe: Duration) {
        loop {
            tokio::select! {
                () = self.state.condemned.notified() => return,
                () = self.state.suspected.notified() => {}
            }
            let mut mux = self.mux.clone();
            let ping = redis::cmd("PING");
            let answered = tokio::select! {
                () = self.state.condemned.notified() => return,
                answer = tokio::time::timeout(probe, mux.send_packed_command(&ping)) => answer,
            };
            if !matches!(answered, Ok(Ok(_))) {
                return;
            }
        }
    }

    /// Waits until `replicas` replicas have all that was answered on this connection so far.
    ///
    /// `WAIT` vouches for what its own connection wrote last, and a call that found nothing to
    /// remove wrote nothing: it must not be told that an earlier removal, which perhaps came
    /// through another connection, is safe because this one has been idle. So each `WAIT` has a
    /// small write before it, the fence. To renew a key's expiry is one that a server which is
    /// out of memory still takes.
    pub(super) async fn confirm(
        &self,
        replicas: usize,
        fence: &str,
        deadline: Instant,
    ) -> Result<(), StoreError> {
        let mine = self.confirmations.asked.fetch_add(1, Ordering::AcqRel) + 1;
        let turn = timeout_at(deadline, self.confirmations.turn.lock()).await;
        let _turn = turn.map_err(|_| unconfirmed())?;
        if self.confirmations.confirmed.load(Ordering::Acquire) >= mine {
            return Ok(());
        }
        let up_to = self.confirmations.asked.load(Ordering::Acquire);
        self.fence_and_wait(replicas, fence, deadline)
            .await
            .map_err(|cause| match cause.kind() {
                StoreErrorKind::Unconfirmed => cause,
                _ => StoreError::new(StoreErrorKind::Unconfirmed, cause.class()).caused_by(cause),
            })?;
        self.confirmations.confirmed.store(up_to, Ordering::Release);
        Ok(())
    }

    async fn fence_and_wait(
        &self,
        replicas: usize,
        fence: &str,
        deadline: Instant,
    ) -> Result<(), StoreError> {
        let mut renew = redis::cmd("PEXPIRE");
        renew.arg(fence).arg(FENCE_LIFE);
        let (renewed, mut acknowledged): (i64, usize) =
            self.write_and_wait(renew, replicas, deadline).await?;
        if renewed == 0 {
            let mut plant = redis::cmd("SET");
            plant.arg(fence).arg("").arg("PX").arg(FENCE_LIFE);
            let (_, waited): (Value, usize) =
                self.write_and_wait(plant, replicas, deadline).await?;
            acknowledged = waited;
        }
        if acknowledged < replicas {
            return Err(unconfirmed());
        }
        Ok(())
    }

    async fn write_and_wait<T: FromRedisValue>(
        &self,
        write: Cmd,
        replicas: usize,
        deadline: Instant,
    ) -> Result<(T, usize), StoreError> {
        let left = deadline.saturating_duration_since(Instant::now());
        // Zero would mean for ever.
        let patience = left.saturating_sub(ANSWER_TIME.min(left / 4)).as_millis();
        if patience == 0 {
            return Err(unconfirmed());
        }
        let mut wait = redis::cmd("WAIT");
        wait.arg(replicas).arg(patience.to_string());
        let mut both = redis::pipe();
        both.add_command(write).add_command(wait);
        let mut answers = self.send_all(&both, deadline).await?.into_iter();
        let written = self.read(answers.next())?;
        let acknowledged = self.read(answers.next())?;
        Ok((written, acknowledged))
    }

    fn read<T: FromRedisValue>(&self, answer: Option<Value>) -> Result<T, StoreError> {
        let value = answer.unwrap_or(Value::Nil).extract_error();
        self.judge(Ok(value.and_then(|value| {
            redis::from_redis_value(value).map_err(redis::RedisError::from)
        })))
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.close();
    }
}
