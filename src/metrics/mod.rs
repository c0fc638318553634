//! Metrics: their names, labels and text, for Prometheus to scrape.
//!
//! Knows neither HTTP nor stores nor sessions: those count what happens to them through the
//! handles here. Every label has few possible values, none of them from a request, and every
//! series that can be foreseen exists from the start, at zero.

mod requests;
mod text;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

pub use requests::CANCELLED;
use requests::Requests;

/// Upper bounds of the histograms' buckets, in seconds: a call in memory takes microseconds, and
/// the longest default timeout is 10 s.
const BUCKETS: [f64; 20] = [
    5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1,
    0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// A call to the store, as a label: the method of `SessionStore` of this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "said above")]
pub enum StoreOperation {
    Insert,
    Find,
    Touch,
    Delete,
    List,
    DeleteAll,
    RevokeSealed,
    IsRevoked,
    Sweep,
    Ready,
}

/// Their names.
pub const STORE_OPERATIONS: [&str; 10] = [
    "insert",
    "find",
    "touch",
    "delete",
    "list",
    "delete_all",
    "revoke_sealed",
    "is_revoked",
    "sweep",
    "ready",
];

impl StoreOperation {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        STORE_OPERATIONS[self as usize]
    }
}

/// How a logout ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogoutOutcome {
    /// A session was live and is over.
    Cleared,
    /// None was live.
    NoSession,
    /// No valid cookie came.
    Unauthorized,
    /// A page of a foreign origin asked.
    Forbidden,
    /// It could not be confirmed.
    Error,
}

const LOGOUT_OUTCOMES: [&str; 5] = [
    "cleared",
    "no_session",
    "unauthorized",
    "forbidden",
    "error",
];

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckOutcome {
    /// A live session vouches for the request.
    Active,
    /// None does.
    Denied,
    /// The store could not tell.
    Unavailable,
}

const CHECK_OUTCOMES: [&str; 3] = ["active", "denied", "unavailable"];

/// Why a session was ended, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words say it")]
pub enum EndedBy {
    Logout,
    Admin,
    User,
}

const ENDED_BY: [&str; 3] = ["logout", "admin", "user"];

/// A listener, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words say it")]
pub enum Listener {
    Public,
    Admin,
}

const LISTENERS: [&str; 2] = ["public", "admin"];

/// Whether a Redis server answers for its sessions, as a label.
const SHARD_STATES: [&str; 2] = ["serving", "lost"];

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// Makes histograms with our buckets.
#[derive(Clone)]
struct WithBuckets;

impl MetricConstructor<Histogram> for WithBuckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(BUCKETS)
    }
}

/// All metrics of the service. Counting goes through handles that were looked up beforehand.
pub struct Metrics {
    registry: Registry,
    logouts: [Counter; LOGOUT_OUTCOMES.len()],
    checks: [Counter; CHECK_OUTCOMES.len()],
    issued: Counter,
    ended: [Counter; ENDED_BY.len()],
    sessions: Gauge<f64, AtomicU64>,
    open: [Gauge; LISTENERS.len()],
    refused: [Counter; LISTENERS.len()],
    requests: Requests,
    store_ok: [Histogram; STORE_OPERATIONS.len()],
    store_error: [Histogram; STORE_OPERATIONS.len()],
    store_errors: Family<Labels<1>, Counter>,
    redis: OfRedis,
    log_lines_lost: Counter,
    count_lost_lines: fn() -> u64,
}

impl Metrics {
    /// All at zero. `routes` are the templates of the routes, by which requests are counted, and
    /// `expected` what they are known to answer: index of the route, method, status.
    #[must_use]
    pub fn new(routes: &'static [&'static str], expected: &[(usize, &str, u16)]) -> Self {
        let mut registry = Registry::with_prefix("neptun_auth");
        let r = &mut registry;
        let [build_info]: [Gauge; 1] = labelled(
            r,
            "build_info",
            "The version that runs; always 1",
            "version",
            [env!("CARGO_PKG_VERSION")],
        );
        build_info.set(1);

        let store = Family::<Labels<2>, Histogram, WithBuckets>::new_with_constructor(WithBuckets);
        let store_as = |outcome| {
            let labels = |operation| [("operation", operation), ("outcome", outcome)];
            STORE_OPERATIONS.map(|operation| store.get_or_create_owned(&labels(operation)))
        };
        let (store_ok, store_error) = (store_as("ok"), store_as("error"));
        let store_errors = Family::<Labels<1>, Counter>::default();
        let requests = Requests::new(routes, expected);

        Self {
            logouts: labelled(
                r,
                "logouts",
                "Logouts by how they ended",
                "outcome",
                LOGOUT_OUTCOMES,
            ),
            checks: labelled(
                r,
                "checks",
                "Checks by how they ended",
                "outcome",
                CHECK_OUTCOMES,
            ),
            issued: registered(r, "sessions_issued", "Sessions issued", Counter::default()),
            ended: labelled(
                r,
                "sessions_ended",
                "Sessions ended before their time, by why",
                "reason",
                ENDED_BY,
            ),
            sessions: registered(
                r,
                "sessions",
                "Sessions and revocations kept, NaN where the store cannot tell cheaply",
                Gauge::default(),
            ),
            open: labelled(
                r,
                "connections_open",
                "Connections open now",
                "listener",
                LISTENERS,
            ),
            refused: labelled(
                r,
                "connections_refused",
                "Connections told that there are too many",
                "listener",
                LISTENERS,
            ),
            store_errors: registered(
                r,
                "store_errors",
                "Failed calls to the session store, by what failed",
                store_errors,
            ),
            redis: OfRedis::new(r),
            log_lines_lost: registered(
                r,
                "log_lines_lost",
                "Log lines that could not be written: their reader had stalled, or was gone",
                Counter::default(),
            ),
            count_lost_lines: || 0,
            requests: {
                registered(
                    r,
                    "http_request_duration_seconds",
                    "From the end of a request's head to its answer; status 499 if the client left before",
                    requests.family(),
                );
                requests
            },
            store_ok: {
                registered(
                    r,
                    "store_operation_duration_seconds",
                    "Calls to the session store",
                    store,
                );
                store_ok
            },
            store_error,
            registry,
        }
    }

    /// Shows these classes of failures of a store from the start, at zero.
    pub fn expect_store_errors(&self, classes: impl IntoIterator<Item = &'static str>) {
        for class in classes {
            drop(self.store_errors.get_or_create(&[("class", class)]));
        }
    }

    /// The same, which also say how many log lines were lost since the start.
    #[must_use]
    pub fn with_lost_log_lines(self, count_lost_lines: fn() -> u64) -> Self {
        Self {
            count_lost_lines,
            ..self
        }
    }

    /// Counts a logout.
    pub fn logout(&self, outcome: LogoutOutcome) {
        self.logouts[outcome as usize].inc();
    }

    /// Counts a check.
    pub fn check(&self, outcome: CheckOutcome) {
        self.checks[outcome as usize].inc();
    }

    /// Counts an issued session.
    pub fn session_issued(&self) {
        self.issued.inc();
    }

    /// Counts an ended session.
    pub fn session_ended(&self, by: EndedBy) {
        self.ended[by as usize].inc();
    }

    /// Says how many sessions are kept, if that is known.
    pub fn set_sessions(&self, count: Option<u64>) {
        #[expect(clippy::cast_precision_loss, reason = "so many no store keeps")]
        let count = count.map_or(f64::NAN, |count| count as f64);
        self.sessions.set(count);
    }

    /// Counts a connection as open until what it answers is dropped.
    #[must_use]
    pub fn connection_opened(&self, listener: Listener) -> OpenConnection {
        let open = self.open[listener as usize].clone();
        open.inc();
        OpenConnection(open)
    }

    /// Counts a connection that was told there are too many.
    pub fn connection_refused(&self, listener: Listener) {
        self.refused[listener as usize].inc();
    }

    /// Counts an HTTP request; `route` is the index of its template.
    pub fn http_request(&self, route: usize, method: &str, status: u16, took: Duration) {
        self.requests.observe(route, method, status, took);
    }

    /// Counts a call to the store; `failure` is the word for what failed, from a fixed set.
    pub fn store_call(
        &self,
        operation: StoreOperation,
        failure: Option<&'static str>,
        took: Duration,
    ) {
        let durations = match failure {
            None => &self.store_ok,
            Some(class) => {
                self.store_errors.get_or_create(&[("class", class)]).inc();
                &self.store_error
            }
        };
        durations[operation as usize].observe(took.as_secs_f64());
    }

    /// Says how many Redis servers answer for their part of the sessions and how many do not, and
    /// whether changes cannot be confirmed.
    pub fn set_redis(&self, serving: usize, lost: usize, is_unconfirmed: bool) {
        for (gauge, count) in self.redis.shards.iter().zip([serving, lost]) {
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        self.redis.unconfirmed.set(i64::from(is_unconfirmed));
    }

    /// All of it in the Prometheus text format, version 0.0.4.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let lost = (self.count_lost_lines)();
        self.log_lines_lost.inner().store(lost, Ordering::Relaxed);
        let mut open_metrics = String::new();
        encode(&mut open_metrics, &self.registry)?;
        Ok(text::from_open_metrics(&open_metrics))
    }
}

/// How the servers of a store in Redis are.
struct OfRedis {
    shards: [Gauge; SHARD_STATES.len()],
    unconfirmed: Gauge,
}

impl OfRedis {
    fn new(registry: &mut Registry) -> Self {
        Self {
            shards: labelled(
                registry,
                "redis_shards",
                "Redis servers that hold a part of the sessions, by whether they answer for it",
                "state",
                SHARD_STATES,
            ),
            unconfirmed: registered(
                registry,
                "redis_unconfirmed",
                "1 while changes cannot be confirmed by as many replicas as configured",
                Gauge::default(),
            ),
        }
    }
}

/// Counts as open until it is dropped.
pub struct OpenConnection(Gauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn registered<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

/// A family with one label, and the handle of each of its possible values.
fn labelled<M, const N: usize>(
    registry: &mut Registry,
    name: &str,
    help: &str,
    label: &'static str,
    values: [&'static str; N],
) -> [M; N]
where
    M: Clone + Default,
    Family<Labels<1>, M>: Metric,
{
    let family = registered(registry, name, help, Family::<Labels<1>, M>::default());
    values.map(|value| family.get_or_create_owned(&[(label, value)]))
}
