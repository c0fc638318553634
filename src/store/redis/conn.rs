//! One connection: commands with a deadline, and the confirmation by replicas.
//!
//! `dial` makes it, `node` keeps one of its kind up. Never repeats a command, and takes none after
//! a failure: one that has ended fails whoever still waits for an answer on it, at once. Only what
//! a server that fell silent has been told to change is still listened for, since it may do it yet.
//!
//! Many calls share the connection; redis-rs hands replies out in the order of the commands. A
//! call that gives up leaves its addr in that order, so its late reply goes nowhere, and not to
//! the next call.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, Pipeline, PushInfo, PushKind, RedisResult, Value};
use tokio::sync::futures::Notified;
use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::dial::{ServerAddr, Way};
use super::error::{Class, Failure};

/// How long a fence key lives after its last use, in milliseconds: a day.
const FENCE_LIFE: i64 = 86_400_000;

/// The part of a call's time that is kept back from `WAIT`, or a quarter of what is left if that
/// is less: an idle server looks at its clock ten times a second, and the answer has to travel.
const ANSWER_TIME: Duration = Duration::from_millis(150);

/// How long a server that fell silent is listened to for what became of a change.
const LISTEN_ON: Duration = Duration::from_secs(30);

/// What a command is to its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It may be sent again, and its answer is worth nothing once it is late.
    Read,
    /// It is sent once, and what it has done is to be known however late the answer comes.
    Change,
}

/// An open connection, or one that was open.
pub(super) struct Conn {
    mux: MultiplexedConnection,
    life: Arc<Life>,
    confirmations: Confirmations,
}

/// Whether the connection is up, and who wants to know.
#[derive(Default)]
pub(super) struct Life {
    end: OnceLock<Class>,
    is_demoted: AtomicBool,
    ended: Notify,
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

impl Life {
    /// Nothing more is to be sent or waited for, because of this.
    pub(super) fn end(&self, why: Class) {
        if why == Class::Demoted {
            self.is_demoted.store(true, Ordering::Release);
        }
        if self.end.set(why).is_ok() {
            self.ended.notify_waiters();
        }
    }

    /// Why it ended, if it has.
    pub(super) fn over(&self) -> Option<Class> {
        self.end.get().copied()
    }

    /// Waits for the end.
    pub(super) async fn ended(&self) {
        let ended = self.ended.notified();
        if self.over().is_none() {
            ended.await;
        }
    }

    /// Waits until a call has run out of its time.
    pub(super) fn suspected(&self) -> Notified<'_> {
        self.suspected.notified()
    }
}

impl Conn {
    pub(super) async fn open(way: &Way, addr: &ServerAddr) -> Result<Self, Failure> {
        let life = Arc::<Life>::default();
        let told = Arc::clone(&life);
        let on_push = move |push: PushInfo| -> Result<(), ()> {
            if push.kind == PushKind::Disconnection {
                told.end(Class::Io);
            }
            Ok(())
        };
        Ok(Self {
            mux: way.open_watched(addr, on_push).await?,
            life,
            confirmations: Confirmations::default(),
        })
    }

    pub(super) const fn life(&self) -> &Arc<Life> {
        &self.life
    }

    /// Sends one command and waits for its answer. `asking` is for a node that the key's slot is
    /// just moving to, which only takes it so.
    pub(super) async fn send<T: FromRedisValue>(
        &self,
        command: &Cmd,
        asking: bool,
        purpose: Purpose,
        deadline: Instant,
    ) -> Result<T, Failure> {
        let answer = if asking {
            let mut both = redis::pipe();
            both.cmd("ASKING").add_command(command.clone());
            let answers = self.send_all(&both, purpose, deadline).await?;
            answers.into_iter().nth(1).unwrap_or(Ok(Value::Nil))?
        } else {
            let mut mux = self.mux.clone();
            let answer = mux.send_packed_command(command);
            self.answer(answer, purpose, deadline)
                .await?
                .extract_error()?
        };
        Ok(redis::from_redis_value(answer)?)
    }

    /// Sends commands as one unit, so that no other call's come between; each has an answer.
    pub(super) async fn send_all(
        &self,
        commands: &Pipeline,
        purpose: Purpose,
        deadline: Instant,
    ) -> Result<Vec<Result<Value, Failure>>, Failure> {
        let mut mux = self.mux.clone();
        let answers = mux.send_packed_commands(commands, 0, commands.len());
        let answers = self.answer(answers, purpose, deadline).await?;
        let read = |answer: Value| answer.extract_error().map_err(Failure::from);
        Ok(answers.into_iter().map(read).collect())
    }

    /// Sends one command whose answer nobody needs, if there is room to do so at once.
    pub(super) fn hint(&self, mut command: Cmd) {
        command.set_no_response(true);
        let mut mux = self.mux.clone();
        let sending = mux.send_packed_command(&command);
        let _: Option<_> = futures_util::FutureExt::now_or_never(sending);
    }

    /// Waits for an answer, until the deadline or the connection's end. What was changed is worth
    /// knowing after the deadline too, and after a connection that fell silent was given up: a
    /// server that was merely stopped does what it was told once it goes on.
    async fn answer<T>(
        &self,
        answer: impl Future<Output = RedisResult<T>>,
        purpose: Purpose,
        deadline: Instant,
    ) -> Result<T, Failure> {
        let mut ended = pin!(self.life.ended.notified());
        if let Some(why) = self.life.over() {
            return Err(why.into());
        }
        let (mut answer, mut late) = (pin!(answer), pin!(sleep_until(deadline)));
        let mut is_late = false;
        loop {
            tokio::select! {
                biased;
                answer = &mut answer => {
                    if purpose == Purpose::Change {
                        self.stands()?;
                    }
                    return answer.map_err(Failure::from);
                }
                () = &mut ended => match self.life.over().unwrap_or(Class::Io) {
                    Class::Timeout if purpose == Purpose::Change => break,
                    why => return Err(why.into()),
                },
                () = &mut late, if !is_late => {
                    self.life.suspected.notify_one();
                    if purpose == Purpose::Read {
                        return Err(Class::Timeout.into());
                    }
                    is_late = true;
                }
            }
        }
        let heard = timeout(LISTEN_ON, answer).await;
        let answer = heard.map_err(|_| Class::Timeout)??;
        self.stands()?;
        Ok(answer)
    }

    /// What a server acknowledged that is not the master any more, another may never hear of.
    fn stands(&self) -> Result<(), Failure> {
        if self.life.is_demoted.load(Ordering::Acquire) {
            return Err(Class::Demoted.into());
        }
        Ok(())
    }

    /// Waits until `replicas` replicas have all that was answered on this connection so far.
    ///
    /// `WAIT` speaks for what its own connection wrote last, and a call that found nothing to
    /// remove wrote nothing: it must not be told that an earlier removal, which perhaps came
    /// through another connection, is safe because this one has been idle. So each `WAIT` has a
    /// small write before it, the fence. To renew a key's expiry is one that a server which is
    /// out of memory still takes.
    pub(super) async fn confirm(
        &self,
        replicas: usize,
        fence: &str,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let mine = self.confirmations.asked.fetch_add(1, Ordering::AcqRel) + 1;
        let turn = timeout_at(deadline, self.confirmations.turn.lock()).await;
        let _turn = turn.map_err(|_| Class::Wait)?;
        if self.confirmations.confirmed.load(Ordering::Acquire) >= mine {
            return self.stands();
        }
        let up_to = self.confirmations.asked.load(Ordering::Acquire);
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
            return Err(Class::Wait.into());
        }
        self.confirmations.confirmed.store(up_to, Ordering::Release);
        Ok(())
    }

    async fn write_and_wait<T: FromRedisValue>(
        &self,
        write: Cmd,
        replicas: usize,
        deadline: Instant,
    ) -> Result<(T, usize), Failure> {
        let left = deadline.saturating_duration_since(Instant::now());
        // Zero would mean for ever.
        let patience = left.saturating_sub(ANSWER_TIME.min(left / 4)).as_millis();
        if patience == 0 {
            return Err(Class::Wait.into());
        }
        let mut wait = redis::cmd("WAIT");
        wait.arg(replicas).arg(patience.to_string());
        let mut both = redis::pipe();
        both.add_command(write).add_command(wait);
        let answers = self.send_all(&both, Purpose::Change, deadline).await?;
        let mut answers = answers.into_iter();
        let mut next = || answers.next().unwrap_or(Ok(Value::Nil));
        let (written, acknowledged) = (next()?, next()?);
        Ok((
            redis::from_redis_value(written)?,
            redis::from_redis_value(acknowledged)?,
        ))
    }
}
