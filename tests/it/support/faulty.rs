//! A store that fails as told, and the public listener in front of it, in this process.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use neptun_auth::config::Limits;
use neptun_auth::http::{self, App, BearerTokens, CookieSettings, Draining, SessionCookie};
use neptun_auth::metrics::{Listener, Metrics};
use neptun_auth::server::{ConnectionCounts, Shutdown, serve};
use neptun_auth::session::{
    Clock, CommonClass, Lifetimes, Login, Moment, SealedSession, Session, SessionId, SessionList,
    SessionManager, SessionStore, Spared, StoreError, StoreErrorKind, SystemClock, Timeouts,
    Timestamp, User,
};
use neptun_auth::store::{Instrumented, MemoryStore};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;

use super::{ADMIN_TOKEN, Api, PATIENCE, lines_with};

/// In which flavour calls fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    None = 0,
    /// Nothing is done, and an error says so.
    Refuses = 1,
    /// It is done, and an error is reported all the same.
    AppliesThenFails = 2,
    /// Nothing is done and nothing is said.
    Hangs = 3,
    /// The call panics.
    Panics = 4,
    /// It is done once it is released, or then fails as told by then.
    Waits = 5,
    /// All is done, but last uses only once they are released.
    WaitsToTouch = 6,
}

/// Holds calls back until they are released.
struct Gate {
    called: Semaphore,
    released: Semaphore,
}

impl Gate {
    async fn pass(&self) {
        self.called.add_permits(1);
        self.released.acquire().await.unwrap().forget();
    }
}

/// The memory store behind a fault.
struct FaultyStore {
    inner: MemoryStore,
    fault: Arc<AtomicU8>,
    /// The one method that fails, if it is not all.
    step: Arc<Mutex<Option<&'static str>>>,
    gate: Arc<Gate>,
}

impl FaultyStore {
    async fn suffer<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.suffer_at("", call).await
    }

    async fn suffer_at<T>(
        &self,
        step: &str,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let error = Err(
            StoreError::new(StoreErrorKind::Unavailable, CommonClass::Overloaded)
                .caused_by("a secret cause"),
        );
        let failing = *self.step.lock().unwrap();
        if failing.is_some_and(|failing| failing != step) {
            return call.await;
        }
        let mut fault = self.fault.load(Ordering::SeqCst);
        if fault == Fault::Waits as u8 {
            self.gate.pass().await;
            fault = self.fault.load(Ordering::SeqCst);
        }
        match fault {
            0 | 5 | 6 => call.await,
            1 => error,
            2 => call.await.and(error),
            3 => std::future::pending().await,
            _ => panic!("an injected panic"),
        }
    }
}

#[async_trait]
impl SessionStore for FaultyStore {
    async fn insert(&self, session: Session, at: Moment) -> Result<(), StoreError> {
        self.suffer_at("insert", self.inner.insert(session, at))
            .await
    }

    async fn find(&self, id: &SessionId, at: Moment) -> Result<Option<Session>, StoreError> {
        self.suffer_at("find", self.inner.find(id, at)).await
    }

    async fn touch(&self, id: &SessionId, at: Moment) -> Result<bool, StoreError> {
        if self.fault.load(Ordering::SeqCst) == Fault::WaitsToTouch as u8 {
            self.gate.pass().await;
        }
        self.suffer(self.inner.touch(id, at)).await
    }

    async fn delete(&self, id: &SessionId, at: Moment) -> Result<Option<Session>, StoreError> {
        self.suffer_at("delete", self.inner.delete(id, at)).await
    }

    async fn list(&self, user: &User, at: Moment) -> Result<SessionList, StoreError> {
        self.suffer(self.inner.list(user, at)).await
    }

    async fn delete_all(
        &self,
        user: &User,
        at: Moment,
        seals_until: Option<Timestamp>,
    ) -> Result<Vec<Session>, StoreError> {
        self.suffer(self.inner.delete_all(user, at, seals_until))
            .await
    }

    async fn trim(
        &self,
        user: &User,
        spared: &Spared,
        at: Moment,
        seals_until: Option<Timestamp>,
    ) -> Result<Vec<Session>, StoreError> {
        self.suffer_at("trim", self.inner.trim(user, spared, at, seals_until))
            .await
    }

    async fn revoke_sealed(&self, sealed: &SealedSession, at: Moment) -> Result<bool, StoreError> {
        self.suffer(self.inner.revoke_sealed(sealed, at)).await
    }

    async fn is_revoked(&self, sealed: &SealedSession, at: Moment) -> Result<bool, StoreError> {
        self.suffer(self.inner.is_revoked(sealed, at)).await
    }

    async fn sweep(&self, at: Moment) -> Result<(), StoreError> {
        self.suffer(self.inner.sweep(at)).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.suffer(self.inner.ready()).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.suffer(self.inner.close()).await
    }

    fn approximate_len(&self) -> Option<u64> {
        self.inner.approximate_len()
    }
}

/// What was logged.
#[derive(Default)]
struct Log(Mutex<Vec<u8>>);

impl std::io::Write for &Log {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(line)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A runtime whose threads, and no others, write to `log`.
fn logging_runtime(log: &Arc<Log>) -> Runtime {
    let format = tracing_subscriber::fmt().with_writer(Arc::clone(log));
    let dispatch = tracing::Dispatch::new(format.with_ansi(false).finish());
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .on_thread_start(move || {
            // For as long as the thread lives.
            std::mem::forget(tracing::dispatcher::set_default(&dispatch));
        })
        .enable_all()
        .build()
        .unwrap()
}

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The system's clock, ahead by what it was advanced.
#[derive(Default)]
pub struct ShiftedClock(Mutex<Duration>);

impl ShiftedClock {
    pub fn advance(&self, span: Duration) {
        *self.0.lock().unwrap() += span;
    }
}

impl Clock for ShiftedClock {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus(*self.0.lock().unwrap())
    }
}

/// Both listeners of a service whose store fails as told.
pub struct FaultyService {
    fault: Arc<AtomicU8>,
    step: Arc<Mutex<Option<&'static str>>>,
    gate: Arc<Gate>,
    log: Arc<Log>,
    end: Option<(oneshot::Sender<()>, JoinHandle<usize>)>,
    pub clock: Arc<ShiftedClock>,
    pub sessions: Arc<SessionManager>,
    api: Api,
    pub runtime: Runtime,
}

impl Deref for FaultyService {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.api
    }
}

impl FaultyService {
    pub fn start() -> Self {
        Self::with(&[], Duration::from_millis(200), REQUEST_TIMEOUT)
    }

    /// With pages of these origins allowed to call.
    pub fn allowing(origins: &[&str]) -> Self {
        Self::with(origins, Duration::from_millis(200), REQUEST_TIMEOUT)
    }

    /// With a store that may take its time.
    pub fn patient() -> Self {
        Self::with(&[], PATIENCE, REQUEST_TIMEOUT)
    }

    /// With so much time for a call of the store, and for a request.
    pub fn with_timeouts(store_timeout: Duration, request_timeout: Duration) -> Self {
        Self::with(&[], store_timeout, request_timeout)
    }

    fn with(origins: &[&str], store_timeout: Duration, request_timeout: Duration) -> Self {
        let log = Arc::default();
        let runtime = logging_runtime(&log);
        let _inside = runtime.enter();
        let fault = Arc::new(AtomicU8::new(Fault::None as u8));
        let step = Arc::default();
        let gate = Arc::new(Gate {
            called: Semaphore::new(0),
            released: Semaphore::new(0),
        });
        let store = FaultyStore {
            inner: MemoryStore::new(1000),
            fault: Arc::clone(&fault),
            step: Arc::clone(&step),
            gate: Arc::clone(&gate),
        };
        let metrics = Arc::new(Metrics::new(http::ROUTES));
        let store = Instrumented::new(store, store_timeout, Arc::clone(&metrics));
        let clock = Arc::<ShiftedClock>::default();
        let lifetimes = Lifetimes {
            session_ttl: "1h".parse().unwrap(),
            idle_timeout: None,
            sessions_since: Timestamp::MIN,
        };
        let timeouts = Timeouts {
            call: store_timeout,
            request: request_timeout.mul_f64(0.8),
        };
        let sessions = Arc::new(SessionManager::new(
            Arc::new(store),
            Arc::clone(&clock) as _,
            lifetimes,
            timeouts,
            Arc::clone(&metrics) as _,
        ));
        let cookie = CookieSettings {
            name: "neptun-session".to_owned(),
            path: "/".to_owned(),
            domain: None,
            same_site: tower_cookies::cookie::SameSite::Lax,
            secure: true,
            accepts_seals: false,
        };
        let patience = Duration::from_secs(10);
        let draining = Draining::default();
        let app = App {
            sessions: Arc::clone(&sessions),
            cookie: Arc::new(SessionCookie::new(cookie).unwrap()),
            metrics: Arc::clone(&metrics),
            draining: draining.clone(),
            tokens: Arc::new(BearerTokens::new(&[ADMIN_TOKEN.into()], &[])),
            request_timeout,
            public_address: SocketAddr::from(([127, 0, 0, 1], 8080)),
        };
        let limits = Limits {
            max_connections: 1000,
            header_timeout: patience,
            request_timeout,
            keep_alive_timeout: patience,
            shutdown_timeout: patience,
        };
        let (trigger, triggered) = oneshot::channel();
        let end = async {
            if triggered.await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let shutdown = Shutdown::when(end, draining, Duration::from_secs(2));
        let listen = || runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let (public, admin) = (listen(), listen());
        let origins = origins.iter().map(|origin| origin.parse().unwrap());
        let origins: Vec<_> = origins.collect();
        let addresses = (public.local_addr().unwrap(), admin.local_addr().unwrap());
        let service = http::public(&app, &origins);
        let counts = ConnectionCounts::new(metrics, Listener::Public);
        let public = serve(public, service, limits, counts.clone(), shutdown.clone());
        let public = runtime.spawn(public);
        let admin_service = http::admin(&app, addresses.1);
        runtime.spawn(serve(admin, admin_service, limits, counts, shutdown));
        Self {
            fault,
            step,
            gate,
            log,
            end: Some((trigger, public)),
            clock,
            sessions,
            api: Api {
                public: addresses.0,
                admin: addresses.1,
            },
            runtime,
        }
    }

    /// From now on calls to the store fail like this.
    pub fn fail(&self, fault: Fault) {
        *self.step.lock().unwrap() = None;
        self.fault.store(fault as u8, Ordering::SeqCst);
    }

    /// From now on calls of this method of the store fail like this, and no others.
    pub fn fail_at(&self, step: &'static str, fault: Fault) {
        self.fail(fault);
        *self.step.lock().unwrap() = Some(step);
    }

    /// Begins the end, as a first signal does, 2 s before it is over. What comes back waits until
    /// the public listener is down and answers how many requests were cut.
    pub fn shut_down(&mut self) -> impl FnOnce() -> usize + use<> {
        let (trigger, public) = self.end.take().unwrap();
        trigger.send(()).unwrap();
        let runtime = self.runtime.handle().clone();
        move || runtime.block_on(public).unwrap()
    }

    /// The lines that were logged so far and contain all of `parts`.
    pub fn logged(&self, parts: &[&str]) -> Vec<String> {
        let log = self.log.0.lock().unwrap();
        lines_with(String::from_utf8_lossy(&log).lines(), parts)
    }

    /// Waits until a call waits to be released.
    pub fn wait_until_called(&self) {
        let called = async { tokio::time::timeout(PATIENCE, self.gate.called.acquire()).await };
        let called = self.runtime.block_on(called);
        called.expect("the store is called").unwrap().forget();
    }

    /// How many calls have come to wait that nobody has waited for yet.
    pub fn waiting(&self) -> usize {
        self.gate.called.available_permits()
    }

    /// Lets so many waiting calls go on; they fail like this, and so do those that follow them.
    pub fn release(&self, calls: usize, fault: Fault) {
        // First, or a call that follows a released one could wait as well.
        self.fail(fault);
        self.gate.released.add_permits(calls);
    }

    pub fn token_of(&self, user: &str) -> String {
        let issued = self.sessions.issue(Login::of(User::new(user).unwrap()));
        let issued = self.runtime.block_on(issued).unwrap();
        issued.token.expose().to_owned()
    }
}
