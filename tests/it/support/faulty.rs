//! A store that fails as told, and the public listener in front of it, in this process.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use neptun_auth::http::{self, App, CookieSettings, Draining};
use neptun_auth::metrics::{Listener, Metrics};
use neptun_auth::server::{ConnectionCounts, Limits, Shutdown, serve};
use neptun_auth::session::{
    Lifetimes, Moment, SealedSession, Session, SessionId, SessionManager, SessionStore, StoreError,
    StoreErrorKind, SystemClock, Timestamp, User,
};
use neptun_auth::store::{Instrumented, MemoryStore};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

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
}

/// The memory store behind a fault.
struct FaultyStore {
    inner: MemoryStore,
    fault: Arc<AtomicU8>,
}

impl FaultyStore {
    async fn suffer<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let error =
            Err(StoreError::new(StoreErrorKind::Unavailable, "injected")
                .caused_by("a secret cause"));
        match self.fault.load(Ordering::SeqCst) {
            0 => call.await,
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
        self.suffer(self.inner.insert(session, at)).await
    }

    async fn find(&self, id: &SessionId, at: Moment) -> Result<Option<Session>, StoreError> {
        self.suffer(self.inner.find(id, at)).await
    }

    async fn touch(&self, id: &SessionId, at: Moment) -> Result<bool, StoreError> {
        self.suffer(self.inner.touch(id, at)).await
    }

    async fn delete(&self, id: &SessionId, at: Moment) -> Result<Option<Session>, StoreError> {
        self.suffer(self.inner.delete(id, at)).await
    }

    async fn list(&self, user: &User, at: Moment) -> Result<Vec<Session>, StoreError> {
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

/// Both listeners of a service whose store fails as told.
pub struct FaultyService {
    fault: Arc<AtomicU8>,
    pub sessions: Arc<SessionManager>,
    pub public: SocketAddr,
    pub admin: SocketAddr,
    pub runtime: Runtime,
}

impl FaultyService {
    pub fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let _inside = runtime.enter();
        let fault = Arc::new(AtomicU8::new(Fault::None as u8));
        let store = FaultyStore {
            inner: MemoryStore::new(1000),
            fault: Arc::clone(&fault),
        };
        let metrics = Arc::new(Metrics::new(http::ROUTES, http::ANSWERS));
        let store = Instrumented::new(store, Duration::from_millis(200), Arc::clone(&metrics));
        let lifetimes = Lifetimes {
            session_ttl: Duration::from_hours(1),
            idle_timeout: None,
        };
        let sessions = SessionManager::new(Arc::new(store), Arc::new(SystemClock), lifetimes);
        let sessions = Arc::new(sessions);
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
        let token = Some(super::ADMIN_TOKEN.into());
        let app = App::new(
            Arc::clone(&sessions),
            cookie,
            token,
            draining.clone(),
            patience,
            Arc::clone(&metrics),
        )
        .unwrap();
        let limits = Limits {
            max_connections: 1000,
            header_timeout: patience,
            request_timeout: patience,
            keep_alive_timeout: patience,
            shutdown_timeout: patience,
        };
        let never = Shutdown::when(std::future::pending(), draining, patience);
        let listen = || runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let (public, admin) = (listen(), listen());
        let addresses = (public.local_addr().unwrap(), admin.local_addr().unwrap());
        let service = http::public(&app, &[]).unwrap();
        let counts = ConnectionCounts::new(metrics, Listener::Public);
        runtime.spawn(serve(
            public,
            service,
            limits,
            counts.clone(),
            never.clone(),
        ));
        runtime.spawn(serve(admin, http::admin(&app), limits, counts, never));
        Self {
            fault,
            sessions,
            public: addresses.0,
            admin: addresses.1,
            runtime,
        }
    }

    /// From now on calls to the store fail like this.
    pub fn fail(&self, fault: Fault) {
        self.fault.store(fault as u8, Ordering::SeqCst);
    }

    pub fn token_of(&self, user: &str) -> String {
        let issued = self.sessions.issue(User::new(user).unwrap(), None);
        let (token, _session) = self.runtime.block_on(issued).unwrap();
        token.expose().to_owned()
    }
}
