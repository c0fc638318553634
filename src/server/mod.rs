//! Wires everything: store, sessions, both listeners, signals, and the order of the end.

mod accept;
mod banner;
mod connection;
mod descriptors;
mod listen;
mod shutdown;
mod systemd;
mod watch;

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use tokio::sync::oneshot;

pub use accept::{ConnectionCounts, serve};
pub use listen::Listening;
use listen::listen;
pub use shutdown::Shutdown;
pub use systemd::{HandedOver, InvalidHandOver};

use crate::config::{Config, InvalidSetting, Limits, reachable, variable_of};
use crate::http::{self, App, BearerTokens, Draining, HttpService, SessionCookie};
use crate::metrics::{Listener, Metrics};
use crate::rate_limit::{self, RateLimits};
use crate::session::{SessionManager, StoreError, WatchedClock};
use crate::store;
use crate::task;
use crate::telemetry;

/// How long between two steps of the sweep for sessions that are over; a round of a store's
/// steps takes about a minute.
const SWEEP_INTERVAL: Duration = Duration::from_millis(250);

/// Why the service could not start, or not end in order.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// An address could not be listened on.
    #[error(
        "--{flag} ({}): cannot listen on {address}: {source}{}",
        variable_of(flag),
        advice(source)
    )]
    Listen {
        /// The setting.
        flag: &'static str,
        /// Its value.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The admin listener is where it may not be.
    #[error(transparent)]
    Setting(#[from] InvalidSetting),
    /// What was handed over are no listeners of ours.
    #[error(transparent)]
    HandedOver(#[from] InvalidHandOver),
    /// The store could not be opened.
    #[error("--store: {0}")]
    Store(#[from] store::OpenError),
    /// The store could not put everything where it is to stay.
    #[error("the store was not closed in order: {0}")]
    Close(#[from] StoreError),
    /// A setting got past `config` that HTTP cannot carry.
    #[error("a setting cannot be put in a header: {0}")]
    Header(#[from] axum::http::Error),
    /// The operating system gave no threads.
    #[error("cannot start: {0}")]
    Process(std::io::Error),
    /// Signals could not be listened for.
    #[error("cannot listen for signals: {0}")]
    Signals(io::Error),
}

impl RunError {
    /// Whether a setting asks for what cannot be had.
    #[must_use]
    pub const fn is_a_setting(&self) -> bool {
        matches!(
            self,
            Self::Listen { .. } | Self::Setting(_) | Self::HandedOver(_) | Self::Store(_)
        )
    }
}

/// What to do about an address that cannot be listened on.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::AddrInUse => "; stop the program that has it, or choose another port",
        ErrorKind::PermissionDenied => "; choose a port from 1024 up",
        ErrorKind::AddrNotAvailable => {
            "; choose an address that this machine has, or 0.0.0.0 for all of them"
        }
        _ => "",
    }
}

/// Runs the service until a signal ends it, on the listeners that were handed over and its own.
pub async fn run(config: Config, handed_over: HandedOver) -> Result<(), RunError> {
    let signal = shutdown::first_signal().map_err(RunError::Signals)?;
    let metrics = Metrics::new(http::ROUTES);
    let metrics = Arc::new(metrics.with_lost_log_lines(telemetry::lines_lost));
    let store = store::open(
        &config.store,
        config.store_timeouts.call,
        Arc::clone(&metrics),
    )?;
    let HandedOver { public, admin } = handed_over;
    let limits = &config.limits;
    let public_listener = listen("listen", config.listen, limits, public)?;
    let admin_listener = listen("admin-listen", config.admin_listen, limits, admin)?;
    // The addresses as bound, which differ from the configured ones if a port was 0.
    let public_bound = public_listener.address().unwrap_or(config.listen);
    let admin_bound = admin_listener.address().unwrap_or(config.admin_listen);
    config.allows_admin_listener(admin_bound)?;
    announce(&config, public_bound, admin_bound);

    let sessions = SessionManager::new(
        store,
        Arc::new(WatchedClock::start()),
        config.lifetimes,
        config.store_timeouts,
        Arc::clone(&metrics) as _,
    );
    let sessions = Arc::new(sessions.with_seals(config.seals));
    let sweeper = tokio::spawn(sweep_for_ever(Arc::clone(&sessions)));
    let teller = tokio::spawn(rate_limit::tell_when_due());

    let draining = Draining::default();
    let app = App {
        sessions: Arc::clone(&sessions),
        cookie: Arc::new(SessionCookie::new(config.cookie)?),
        metrics: Arc::clone(&metrics),
        draining: draining.clone(),
        tokens: Arc::new(BearerTokens::new(
            &config.admin_tokens,
            &config.reader_tokens,
        )),
        request_timeout: config.limits.request_timeout,
        public_address: reachable(public_bound),
    };
    let shutdown = Shutdown::when(signal, draining, config.limits.shutdown_timeout);
    let cut = serve_both(
        (public_listener, http::public(&app, &config.allowed_origins)),
        (admin_listener, http::admin(&app, admin_bound)),
        config.limits,
        &metrics,
        &shutdown,
    )
    .await;

    sweeper.abort();
    let closing = async {
        task::all_done().await;
        sessions.close().await
    };
    let closed = tokio::time::timeout_at(shutdown.deadline(), closing).await;
    teller.abort();
    rate_limit::tell_now();
    shutdown.log_end(cut);
    telemetry::flush_until(shutdown.deadline().into_std());
    closed.unwrap_or_else(|_late| {
        // Dropping the store would wait for a disk that does not answer.
        std::mem::forget(sessions);
        Err(StoreError::timed_out())
    })?;
    Ok(())
}

/// Serves both listeners to their ends; answers how many requests went unanswered. The admin
/// listener tells of readiness and metrics until the public side is empty.
async fn serve_both<P, A>(
    (public_listener, public): (Listening, P),
    (admin_listener, admin): (Listening, A),
    limits: Limits,
    metrics: &Arc<Metrics>,
    shutdown: &Shutdown,
) -> usize
where
    P: HttpService<Incoming>,
    A: HttpService<Incoming>,
{
    let shares = descriptors::share_out(limits.max_connections);
    let limits = |max_connections| Limits {
        max_connections,
        ..limits
    };
    let counts = |listener| ConnectionCounts::new(Arc::clone(metrics), listener);
    let (is_empty, emptied) = oneshot::channel::<()>();
    let public = async {
        let (limits, counts) = (limits(shares.public), counts(Listener::Public));
        let cut = serve(public_listener, public, limits, counts, shutdown.clone()).await;
        drop(is_empty);
        cut
    };
    let when_empty = shutdown.after(async {
        // The sender is only ever dropped.
        let _ = emptied.await;
    });
    let (limits, counts) = (limits(shares.admin), counts(Listener::Admin));
    let admin = serve(admin_listener, admin, limits, counts, when_empty);
    let (public, admin) = tokio::join!(public, admin);
    public + admin
}

fn announce(config: &Config, public: SocketAddr, admin: SocketAddr) {
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        listen = %public,
        admin_listen = %admin,
        store = %config.store,
        settings = config.changed.join(" "),
        "neptun-auth is up"
    );
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    if let Some(warning) = config.store.warning() {
        tracing::warn!("{warning}");
    }
    if config.admin_tokens.is_empty() {
        tracing::warn!(
            "no admin token is set, so nobody can issue a session: set --admin-token-file \
             (NEPTUN_AUTH_ADMIN_TOKEN_FILE) or --admin-token (NEPTUN_AUTH_ADMIN_TOKEN) to switch \
             the /admin routes on"
        );
    }
    // The banner is written to stderr directly, and comes after the log's first lines.
    telemetry::flush();
    banner::show(config, public, admin);
    systemd::ready();
}

async fn sweep_for_ever(sessions: Arc<SessionManager>) {
    let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let limits = RateLimits::new();
    loop {
        ticks.tick().await;
        if let Err(error) = sessions.sweep().await {
            let class = error.class();
            limits.of(class).note(|| {
                move |times| {
                    tracing::warn!(
                        class,
                        times,
                        "sessions that are over were not swept: {error}"
                    );
                }
            });
        }
    }
}
