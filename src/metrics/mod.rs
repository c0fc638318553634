//! Metrics: their names, labels and text, for Prometheus to scrape.
//!
//! Knows neither HTTP nor stores, which count what happens to them through the handles here, and
//! observes sessions. Every label has few possible values, none of them from a request, and every
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

use requests::Requests;
pub use requests::{CANCELLED, CountedRoute};

use crate::session::{EndReason, Observer};

/// Upper bounds of the histograms' buckets, in seconds: a call in memory takes microseconds, and
/// the longest default timeout is 10 s.
const BUCKETS: [f64; 19] = [
    5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1,
    0.25, 0.5, 1.0, 5.0, 10.0,
];

words! {
    /// A call to the store: the method of `SessionStore` of this name.
    #[expect(missing_docs, reason = "said above")]
    pub enum StoreOperation {
        Insert = "insert",
        Find = "find",
        Touch = "touch",
        Delete = "delete",
        List = "list",
        DeleteAll = "delete_all",
        Trim = "trim",
        RevokeSealed = "revoke_sealed",
        IsRevoked = "is_revoked",
        Sweep = "sweep",
        Ready = "ready",
    }
}

words! {
    /// How a logout ended.
    pub enum LogoutOutcome {
        /// A session was live and is over.
        Cleared = "cleared",
        /// None was live.
        NoSession = "no_session",
        /// No valid cookie came.
        Unauthorized = "unauthorized",
        /// A page of a foreign origin asked.
        Forbidden = "forbidden",
        /// It could not be confirmed.
        Error = "error",
    }
}

words! {
    /// How a check ended.
    pub enum CheckOutcome {
        /// The request has a live session.
        Active = "active",
        /// None does.
        Denied = "denied",
        /// The store could not tell.
        Unavailable = "unavailable",
    }
}

words! {
    /// A listener.
    #[expect(missing_docs, reason = "the words say it")]
    pub enum Listener {
        Public = "public",
        Admin = "admin",
    }
}

/// Whether a Redis server answers for its sessions, as a label.
const SHARD_STATES: [Word; 2] = [("serving", ""), ("lost", "")];

/// A value of a label, and what is said of it.
type Word = (&'static str, &'static str);

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
    logouts: [Counter; LogoutOutcome::ALL.len()],
    checks: [Counter; CheckOutcome::ALL.len()],
    issued: Counter,
    ended: [Counter; EndReason::ALL.len()],
    ready: Gauge,
    sessions: Gauge<f64, AtomicU64>,
    open: [Gauge; Listener::ALL.len()],
    refused: [Counter; Listener::ALL.len()],
    requests: Requests,
    store_ok: [Histogram; StoreOperation::ALL.len()],
    store_error: [Histogram; StoreOperation::ALL.len()],
    store_errors: Family<Labels<1>, Counter>,
    redis: OfRedis,
    log_lines_lost: Counter,
    count_lost_lines: fn() -> u64,
}

impl Metrics {
    /// All at zero. Requests are counted by the index of their route in `routes`.
    #[must_use]
    pub fn new(routes: &'static [CountedRoute]) -> Self {
        let mut registry = Registry::with_prefix("neptun_auth");
        let r = &mut registry;
        let [build_info]: [Gauge; 1] = labelled(
            r,
            "build_info",
            "The version that runs; always 1",
            "version",
            [(env!("CARGO_PKG_VERSION"), "")],
        );
        build_info.set(1);

        let store = registered(
            r,
            "store_operation_duration_seconds",
            "Calls to the session store",
            Family::<Labels<2>, Histogram, WithBuckets>::new_with_constructor(WithBuckets),
        );
        let store_as = |outcome| {
            let labels = |operation| [("operation", operation), ("outcome", outcome)];
            StoreOperation::ALL.map(|(operation, _)| store.get_or_create_owned(&labels(operation)))
        };
        let (store_ok, store_error) = (store_as("ok"), store_as("error"));

        Self {
            logouts: labelled(
                r,
                "logouts",
                "Logouts by how they ended",
                "outcome",
                LogoutOutcome::ALL,
            ),
            checks: labelled(
                r,
                "checks",
                "Checks by how they ended",
                "outcome",
                CheckOutcome::ALL,
            ),
            issued: registered(r, "sessions_issued", "Sessions issued", Counter::default()),
            ended: labelled(
                r,
                "sessions_ended",
                "Sessions ended before their time, by why",
                "reason",
                EndReason::ALL,
            ),
            ready: registered(
                r,
                "ready",
                "1 if /readyz says so too: the store answers, and no shutdown has begun",
                Gauge::default(),
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
                Listener::ALL,
            ),
            refused: labelled(
                r,
                "connections_refused",
                "Connections told that there are too many",
                "listener",
                Listener::ALL,
            ),
            store_errors: registered(
                r,
                "store_errors",
                "Failed calls to the session store, by what failed",
                Family::default(),
            ),
            redis: OfRedis::new(r),
            log_lines_lost: registered(
                r,
                "log_lines_lost",
                "Log lines that could not be written: their reader had stalled, or was gone",
                Counter::default(),
            ),
            count_lost_lines: || 0,
            requests: Requests::new(routes, r),
            store_ok,
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

    /// Says whether requests should be sent here.
    pub fn set_ready(&self, is_ready: bool) {
        self.ready.set(i64::from(is_ready));
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

    /// Counts an HTTP request; `route` is the index of its route.
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

impl Observer for Metrics {
    fn issued(&self) {
        self.issued.inc();
    }

    fn ended(&self, why: EndReason) {
        self.ended[why as usize].inc();
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
    values: [Word; N],
) -> [M; N]
where
    M: Clone + Default,
    Family<Labels<1>, M>: Metric,
{
    let family = registered(registry, name, help, Family::<Labels<1>, M>::default());
    values.map(|(value, _)| family.get_or_create_owned(&[(label, value)]))
}
