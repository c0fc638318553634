//! One server: its connections, for reads and for changes; whether it is the master; what it
//! promises.
//!
//! A keeper task for each connection makes it, looks at the server's role through it twice a
//! second, and makes another when it has ended. It is the only one to do so, however many callers
//! there are, and its attempts are the probes that find the server's return.
//!
//! Callers never wait out an outage. While no connection is up they fail at once, with the word
//! for what the last attempt ran into. Only the first attempt after a connection was lost (or at
//! start) is given a moment, so that a server that merely restarted costs nobody an error.
//!
//! A server that is not the master any more loses every connection, reads included: what it still
//! says of a session may be out of date.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::select_ok;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use redis::{InfoDict, Pipeline, Value};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::conn::{Conn, Life, Purpose};
use super::dial::{ServerAddr, Way, resolve};
use super::durability::Promises;
use super::error::{Class, Failure};
use super::url::Endpoint;
use crate::rate_limit::RateLimit;

/// A connection is looked at so often.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// While attempts go unanswered, another begins beside them.
const ATTEMPT_EVERY: Duration = Duration::from_millis(800);

/// The pause after a first failed attempt; each further failure doubles it up to
/// [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(400);

/// A connection that lasted less counts as a failed attempt: the next one is not made at once.
const SHORT_LIFE: Duration = Duration::from_secs(1);

/// How long a look may wait for replicas, in milliseconds.
const GLANCE: u32 = 100;

/// A server that holds keys. Dropped, it keeps no connection up any more.
pub(super) struct Node {
    server: Arc<Server>,
    reads: Link,
    /// With replicas to wait for: `WAIT` holds up what is behind it.
    changes: Option<Link>,
}

/// What the connections to a server share.
struct Server {
    endpoint: Endpoint,
    way: Arc<Way>,
    /// Whom to tell that it may not be the master any more.
    doubted: Arc<Notify>,
    /// Whether it is known to be the right one now; if not, only the very process may be gone to
    /// that was before.
    is_confirmed: AtomicBool,
    fence: Mutex<Arc<str>>,
    /// Of the connections for reads and for changes.
    lives: Mutex<[Weak<Life>; 2]>,
    known: Mutex<Known>,
    warnings: Warnings,
}

/// What was last seen of the server.
#[derive(Default)]
struct Known {
    seen: Option<Seen>,
    is_unconfirmed: bool,
}

#[derive(Default)]
struct Warnings {
    connecting: RateLimit,
    lost: RateLimit,
    unconfirmed: RateLimit,
}

/// A connection of one kind, if there is one.
struct Link {
    state: watch::Receiver<State>,
    patience: Duration,
    keeper: AbortHandle,
}

#[derive(Clone)]
enum State {
    /// The first attempt since start, or since the last connection was lost.
    Dialing,
    Up(Arc<Conn>),
    /// Attempts fail; this is how the last one did.
    Down(Class),
}

impl Node {
    /// Starts to connect; returns at once.
    pub(super) fn new(
        endpoint: Endpoint,
        way: &Arc<Way>,
        fence: &str,
        doubted: &Arc<Notify>,
    ) -> Arc<Self> {
        let server = Arc::new(Server {
            endpoint,
            way: Arc::clone(way),
            doubted: Arc::clone(doubted),
            is_confirmed: AtomicBool::new(true),
            fence: Mutex::new(fence.into()),
            lives: Mutex::default(),
            known: Mutex::default(),
            warnings: Warnings::default(),
        });
        Arc::new(Self {
            reads: Link::open(&server, Purpose::Read),
            changes: (way.wait_replicas > 0).then(|| Link::open(&server, Purpose::Change)),
            server,
        })
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.server.endpoint
    }

    /// The connection for this, if there is one or is about to be.
    pub(super) async fn conn(
        &self,
        purpose: Purpose,
        deadline: Instant,
    ) -> Result<Arc<Conn>, Failure> {
        let link = match purpose {
            Purpose::Read => &self.reads,
            Purpose::Change => self.changes.as_ref().unwrap_or(&self.reads),
        };
        link.conn(deadline).await
    }

    /// The key that is written before each `WAIT`.
    pub(super) fn fence(&self) -> Arc<str> {
        Arc::clone(&self.server.fence.lock())
    }

    pub(super) fn set_fence(&self, fence: &str) {
        *self.server.fence.lock() = fence.into();
    }

    /// Whether it is known to be the right server now.
    pub(super) fn confirm(&self, is_right: bool) {
        self.server.is_confirmed.store(is_right, Ordering::Relaxed);
    }

    /// Ends every connection, because of this.
    pub(super) fn part(&self, why: Class) {
        self.server.part(why);
    }

    /// Whether it answers for its keys.
    pub(super) async fn serves(&self, deadline: Instant) -> Result<(), Failure> {
        let mut exists = redis::cmd("EXISTS");
        exists.arg(&*self.fence());
        let conn = self.conn(Purpose::Read, deadline).await?;
        let answer: Result<Value, Failure> =
            conn.send(&exists, false, Purpose::Read, deadline).await;
        match answer {
            // Of another key it would not have said so.
            Err(failure) if failure.class != Class::Moved => Err(failure),
            _ => Ok(()),
        }
    }

    /// Why to doubt that what it acknowledges stays, if there is cause.
    pub(super) fn doubt(&self) -> Option<String> {
        self.server.known.lock().seen.as_ref()?.doubt.clone()
    }

    /// Whether changes cannot be confirmed as they are to be.
    pub(super) fn is_unconfirmed(&self) -> bool {
        let is_up = |link: &Link| matches!(&*link.state.borrow(), State::Up(_));
        self.server.known.lock().is_unconfirmed || !self.changes.as_ref().is_none_or(is_up)
    }

    /// A change was not confirmed.
    pub(super) fn not_confirmed(&self) {
        self.server.judge_replicas(None, true);
    }
}

impl Link {
    fn open(server: &Arc<Server>, purpose: Purpose) -> Self {
        let (report, state) = watch::channel(State::Dialing);
        let keeper = tokio::spawn(keep_up(Arc::clone(server), purpose, report));
        Self {
            state,
            patience: server.way.patience(),
            keeper: keeper.abort_handle(),
        }
    }

    async fn conn(&self, deadline: Instant) -> Result<Arc<Conn>, Failure> {
        if let Some(settled) = settled(&self.state.borrow()) {
            return settled;
        }
        let mut state = self.state.clone();
        let until = deadline.min(Instant::now() + self.patience);
        let waited = timeout_at(until, state.wait_for(|state| settled(state).is_some())).await;
        let settled = waited.ok().and_then(|state| settled(&*state.ok()?));
        settled.unwrap_or(Err(Class::Connecting.into()))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.keeper.abort();
        // Nobody would see any more that it falls silent.
        if let State::Up(conn) = &*self.state.borrow() {
            conn.life().end(Class::Stopped);
        }
    }
}

/// What a caller gets in this state; `None` if it is worth waiting a moment.
fn settled(state: &State) -> Option<Result<Arc<Conn>, Failure>> {
    match state {
        State::Up(conn) if conn.life().over().is_none() => Some(Ok(Arc::clone(conn))),
        // The keeper is about to learn that this one has ended.
        State::Up(_) | State::Dialing => None,
        State::Down(class) => Some(Err(Failure::from(*class).of_connecting())),
    }
}

async fn keep_up(server: Arc<Server>, purpose: Purpose, report: watch::Sender<State>) {
    let mut failures: u32 = 0;
    loop {
        let conn = Arc::new(server.connect(purpose, &mut failures, &report).await);
        let since = Instant::now();
        report.send_replace(State::Up(Arc::clone(&conn)));
        server.attend(&conn, purpose).await;
        report.send_replace(State::Dialing);
        server.lost(&conn);
        let was_short = since.elapsed() < SHORT_LIFE;
        failures = if was_short { failures + 1 } else { 0 };
        drop(conn);
        if failures > 0 {
            sleep(pause(failures)).await;
        }
    }
}

impl Server {
    /// Attempts it until it succeeds.
    async fn connect(
        &self,
        purpose: Purpose,
        failures: &mut u32,
        report: &watch::Sender<State>,
    ) -> Conn {
        let mut attempts = FuturesUnordered::new();
        let mut next = pin!(sleep(Duration::ZERO));
        loop {
            tokio::select! {
                Some(made) = attempts.next() => match made {
                    Ok(conn) => return conn,
                    Err(failure) => {
                        *failures = failures.saturating_add(1);
                        self.cannot_connect(&failure);
                        report.send_replace(State::Down(failure.class));
                        if attempts.is_empty() {
                            next.as_mut().reset(Instant::now() + pause(*failures));
                        }
                    }
                },
                () = &mut next => {
                    report.send_if_modified(|state| {
                        let is_silent = !attempts.is_empty() && matches!(state, State::Dialing);
                        if is_silent {
                            *state = State::Down(Class::Timeout);
                        }
                        is_silent
                    });
                    attempts.push(self.attempt(purpose));
                    next.as_mut().reset(Instant::now() + ATTEMPT_EVERY);
                }
            }
        }
    }

    /// Makes a connection to a master that is ready to serve, at whichever of its addresses is one
    /// first.
    async fn attempt(&self, purpose: Purpose) -> Result<Conn, Failure> {
        let attempt = async {
            let addrs = resolve(&self.endpoint).await?;
            let attempts = addrs.iter().map(|addr| Box::pin(self.open(addr, purpose)));
            let (conn, _) = select_ok(attempts).await?;
            Ok(conn)
        };
        let made = timeout(2 * self.way.timeout, attempt).await;
        made.unwrap_or(Err(Class::Timeout.into()))
    }

    async fn open(&self, addr: &ServerAddr, purpose: Purpose) -> Result<Conn, Failure> {
        let conn = Conn::open(&self.way, addr).await?;
        let seen = self.examine(&conn).await?;
        let is_same = seen.run_id.is_some() && self.run_id() == seen.run_id;
        if !is_same && !self.is_confirmed.load(Ordering::Relaxed) {
            return Err(Class::Sentinel.into());
        }
        self.lives.lock()[purpose as usize] = Arc::downgrade(conn.life());
        self.connected(purpose, &seen);
        Ok(conn)
    }

    /// Sees that the server is a master that has its data and can do all that is needed, and what
    /// it promises, in one round trip.
    ///
    /// A replica is refused even for reading: it may not have heard yet of a session's end. A
    /// server that lets us see nothing of this (an ACL) is doubted.
    async fn examine(&self, conn: &Conn) -> Result<Seen, Failure> {
        let way = &self.way;
        let mut all = redis::pipe();
        if way.db != 0 {
            all.cmd("SELECT").arg(way.db);
        }
        all.cmd("ROLE").cmd("INFO");
        all.cmd("CONFIG").arg("GET").arg("appendfsync");
        all.cmd("GETDEL").arg(&way.no_key);
        all.cmd("WAIT").arg(0).arg(1);
        let deadline = Instant::now() + 2 * way.timeout;
        let answers = conn.send_all(&all, Purpose::Read, deadline).await?;
        let mut answers = answers.into_iter();
        let mut next = || answers.next().unwrap_or(Ok(Value::Nil));
        if way.db != 0 {
            next()?;
        }
        let mut seen = Seen::default();
        let role = seen.unless_lacking("+role", next())?;
        let info = seen.unless_lacking("+info", next())?;
        let fsync = next().map_err(|failure| {
            if failure.class == Class::NoPerm {
                seen.lacking.push("+config|get");
            }
        });
        // The very command that ends a session: without it nothing else is worth having.
        match next() {
            Err(failure) if failure.class == Class::NoPerm => seen.lacking.push("+getdel"),
            Err(failure) if !failure.class.is_of_one_command() => return Err(failure),
            _ => {}
        }
        if way.wait_replicas > 0 {
            seen.unless_lacking("+wait", next())?;
        }
        let info: Option<InfoDict> = info.map(redis::from_redis_value).transpose()?;
        seen.role = match (role, &info) {
            (Some(role), _) => Some(Role::read(role)?),
            (None, Some(info)) => info.get("role").map(|role: String| Role {
                is_master: role == "master",
                replicas: info.get("connected_slaves").unwrap_or(0),
            }),
            (None, None) => None,
        };
        if info.as_ref().and_then(|info| info.get("loading")) == Some(1) {
            return Err(Class::Loading.into());
        }
        if seen.role.as_ref().is_some_and(|role| !role.is_master) {
            return Err(Class::ReadOnly.into());
        }
        let fsync = fsync.ok().and_then(|pair| {
            let pair: HashMap<String, String> = redis::from_redis_value(pair).ok()?;
            pair.into_values().next()
        });
        seen.run_id = info.as_ref().and_then(|info| info.get("run_id"));
        seen.doubt = Promises::of(info.as_ref(), fsync).doubt();
        Ok(seen)
    }

    /// The run of the server that was seen last, if any was.
    fn run_id(&self) -> Option<String> {
        self.known.lock().seen.as_ref()?.run_id.clone()
    }

    fn lacks(&self, right: &str) -> bool {
        let known = self.known.lock();
        let seen = known.seen.as_ref();
        seen.is_some_and(|seen| seen.lacking.contains(&right))
    }

    /// Warns of what is new to know: nothing, if only a connection was.
    fn connected(&self, purpose: Purpose, seen: &Seen) {
        let server = &self.endpoint;
        tracing::info!(%server, "connected to the session store");
        self.judge_replicas(seen.role.as_ref(), seen.lacking.contains(&"+wait"));
        // Of a pair of connections one says it.
        if purpose == Purpose::Change {
            return;
        }
        let old = self.known.lock().seen.replace(seen.clone());
        let old = old.filter(|old| old.run_id == seen.run_id);
        let (wanted, replicas) = (
            self.way.wait_replicas,
            seen.role.map_or(0, |role| role.replicas),
        );
        if let Some(doubt) = &seen.doubt
            && old.as_ref().is_none_or(|old| old.doubt != seen.doubt)
        {
            tracing::warn!(%server, "the session store promises too little: {doubt}");
        }
        if replicas > wanted && old.is_none() {
            tracing::warn!(
                %server,
                "an acknowledged logout can come back after a failover: the server has {replicas} \
                 replicas, and redis-wait-replicas is {wanted}"
            );
        }
        let lacking = seen.lacking.join(" ");
        if !lacking.is_empty() && old.is_none_or(|old| old.lacking != seen.lacking) {
            tracing::warn!(%server, "rights are lacking at the session store: {lacking}");
        }
    }

    fn cannot_connect(&self, failure: &Failure) {
        self.warnings.connecting.note(|| {
            let (server, class) = (self.endpoint.to_string(), failure.class.word());
            let cause = failure.cause();
            move |times| {
                let text = "cannot connect to the session store";
                tracing::warn!(server, class, cause, times, "{text}");
            }
        });
    }

    fn lost(&self, conn: &Conn) {
        let why = conn.life().over().unwrap_or(Class::Io);
        // Of a change of roles is told once for all connections.
        if why != Class::Demoted {
            self.warnings.lost.note(|| {
                let (server, class) = (self.endpoint.to_string(), why.word());
                move |times| {
                    let text = "lost the connection to the session store";
                    tracing::warn!(server, class, times, "{text}");
                }
            });
        }
    }

    /// Looks at the server through this connection, again and again, until that ends.
    async fn attend(&self, conn: &Conn, purpose: Purpose) {
        let life = conn.life();
        // An answer may have to wait behind a `WAIT`, which takes up to a call's time.
        let held_up = match purpose {
            Purpose::Read => Duration::ZERO,
            Purpose::Change => self.way.timeout,
        };
        loop {
            let is_urgent = tokio::select! {
                biased;
                () = life.ended() => return,
                () = life.suspected() => true,
                () = sleep(LOOK_EVERY) => false,
            };
            let silent = async {
                if !is_urgent {
                    tokio::select! {
                        () = sleep(self.way.timeout + held_up) => return,
                        () = life.suspected() => {}
                    }
                }
                sleep(self.way.patience() + held_up).await;
            };
            tokio::select! {
                biased;
                () = life.ended() => return,
                () = self.look(conn, purpose) => {}
                () = silent => return life.end(Class::Timeout),
            }
        }
    }

    /// Asks for the server's role, and whether replicas have what this connection has written.
    async fn look(&self, conn: &Conn, purpose: Purpose) {
        let mut look = Pipeline::new();
        look.cmd(if self.lacks("+role") { "PING" } else { "ROLE" });
        if purpose == Purpose::Change && !self.lacks("+wait") {
            look.cmd("WAIT").arg(self.way.wait_replicas).arg(GLANCE);
        }
        // It ends with the connection.
        let deadline = Instant::now() + Duration::from_hours(1);
        let Ok(answers) = conn.send_all(&look, Purpose::Read, deadline).await else {
            return;
        };
        let mut answers = answers.into_iter();
        let role = match answers.next() {
            Some(Ok(Value::Array(role))) => Role::read(Value::Array(role)).ok(),
            Some(Err(failure)) if failure.class.ends_connection() => {
                return conn.life().end(failure.class);
            }
            _ => None,
        };
        if role.as_ref().is_some_and(|role| !role.is_master) {
            self.part(Class::Demoted);
            self.doubted.notify_one();
            return;
        }
        if purpose == Purpose::Change {
            let have_it = answers.next().map(|have_it| {
                let have_it = have_it.ok().map(redis::from_redis_value::<usize>);
                matches!(have_it, Some(Ok(have_it)) if have_it >= self.way.wait_replicas)
            });
            let cannot = have_it == Some(false) || self.lacks("+wait");
            self.judge_replicas(role.as_ref(), cannot);
        }
    }

    /// Whether as many replicas as are to be waited for can be heard.
    fn judge_replicas(&self, role: Option<&Role>, cannot: bool) {
        let wanted = self.way.wait_replicas;
        let few = role.filter(|role| role.replicas < wanted);
        self.set_unconfirmed(match few {
            Some(role) => Some(format!("it has {} replicas of {wanted}", role.replicas)),
            None => (cannot && wanted > 0).then(|| format!("no word of {wanted} replicas")),
        });
    }

    fn set_unconfirmed(&self, why: Option<String>) {
        let was = std::mem::replace(&mut self.known.lock().is_unconfirmed, why.is_some());
        if let Some(why) = why.filter(|_| !was) {
            self.warnings.unconfirmed.note(|| {
                let server = self.endpoint.to_string();
                move |times| {
                    tracing::warn!(
                        server,
                        times,
                        "changes at the session store cannot be confirmed: {why}"
                    );
                }
            });
        }
    }

    fn part(&self, why: Class) {
        let lives = self.lives.lock().clone();
        let lives: Vec<Arc<Life>> = lives.iter().filter_map(Weak::upgrade).collect();
        let standing = lives.iter().filter(|life| life.over().is_none());
        if why == Class::Demoted && standing.count() > 0 {
            let server = &self.endpoint;
            tracing::warn!(%server, "left a server that is no longer the master");
        }
        for life in lives {
            life.end(why);
        }
    }
}

/// What a new connection shows of its server.
#[derive(Clone, Default)]
struct Seen {
    role: Option<Role>,
    run_id: Option<String>,
    /// Why writes acknowledged by this server may be lost, if they may.
    doubt: Option<String>,
    lacking: Vec<&'static str>,
}

impl Seen {
    /// The answer, unless the right to ask is lacking, or the command.
    fn unless_lacking(
        &mut self,
        right: &'static str,
        answer: Result<Value, Failure>,
    ) -> Result<Option<Value>, Failure> {
        match answer {
            Err(Failure {
                class: Class::NoPerm | Class::Unsupported,
                ..
            }) => {
                self.lacking.push(right);
                Ok(None)
            }
            answer => answer.map(Some),
        }
    }
}

/// What `ROLE` answers.
#[derive(Clone, Copy)]
struct Role {
    is_master: bool,
    replicas: usize,
}

impl Role {
    fn read(answer: Value) -> Result<Self, Failure> {
        let mut fields = redis::from_redis_value::<Vec<Value>>(answer)?.into_iter();
        let role: String = redis::from_redis_value(fields.next().unwrap_or(Value::Nil))?;
        let replicas = match fields.nth(1) {
            Some(Value::Array(replicas)) => replicas.len(),
            _ => 0,
        };
        Ok(Self {
            is_master: role == "master",
            replicas,
        })
    }
}

/// The pause after so many failures in a row: half of it fixed, half of it chance, so that many
/// replicas do not come back in step.
fn pause(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(8);
    let longest = (FIRST_PAUSE * 2_u32.pow(doublings)).min(LONGEST_PAUSE);
    let chance = f64::from(getrandom::u32().unwrap_or(u32::MAX)) / f64::from(u32::MAX);
    longest.mul_f64(0.5 + chance / 2.0)
}
