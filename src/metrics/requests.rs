//! Requests over HTTP: how long they took by route and method, and what they were answered, with
//! a table of the handles.

use std::sync::OnceLock;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{Labels, WithBuckets, registered};

/// The methods with a label of their own; the last stands for all others.
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "DELETE", "OPTIONS", "other"];

/// The status under which a request is counted whose client left before the answer.
pub const CANCELLED: u16 = 499;

/// The statuses with a place in the table; others are looked up.
const STATUSES: [u16; 17] = [
    200, 201, 204, 400, 401, 403, 404, 405, 408, 413, 414, 415, 422, 431, CANCELLED, 500, 503,
];

/// A route whose requests are counted.
pub struct CountedRoute {
    /// Its path, with names in braces for what differs: the label.
    pub template: &'static str,
    /// What it is known to answer, by method; counted from zero.
    pub answers: &'static [(&'static str, &'static [u16])],
}

impl CountedRoute {
    /// Whether durations are shown from the start: a histogram takes two kilobytes of every scrape,
    /// and nobody waits for the probes and pages of an operator.
    fn is_of_sessions(&self) -> bool {
        let of_sessions = ["/api/", "/admin/"];
        of_sessions
            .iter()
            .any(|part| self.template.starts_with(part))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: &'static str,
    method: &'static str,
    status: u16,
}

pub(super) struct Requests {
    routes: &'static [CountedRoute],
    durations: Family<Labels<2>, Histogram, WithBuckets>,
    answers: Family<Answered, Counter>,
    /// By route and method.
    handles: Box<[Handles]>,
}

#[derive(Default)]
struct Handles {
    duration: OnceLock<Histogram>,
    answers: [OnceLock<Counter>; STATUSES.len()],
}

impl Requests {
    pub(super) fn new(routes: &'static [CountedRoute], registry: &mut Registry) -> Self {
        let places = routes.len() * METHODS.len();
        let requests = Self {
            routes,
            durations: registered(
                registry,
                "http_request_duration_seconds",
                "From the end of a request's head to its answer, or until its client left",
                Family::new_with_constructor(WithBuckets),
            ),
            answers: registered(
                registry,
                "http_requests",
                "Requests by what they were answered; status 499 if the client left before",
                Family::default(),
            ),
            handles: (0..places).map(|_| Handles::default()).collect(),
        };
        for (route, known) in routes.iter().enumerate() {
            for (method, statuses) in known.answers {
                let is_usual = known.is_of_sessions() && *method != "HEAD";
                let method = method_index(method);
                if is_usual {
                    drop(requests.duration(route, method));
                }
                for status in *statuses {
                    drop(requests.answered(route, method, *status));
                }
            }
        }
        requests
    }

    pub(super) fn observe(&self, route: usize, method: &str, status: u16, took: Duration) {
        let method = method_index(method);
        let handles = &self.handles[route * METHODS.len() + method];
        let duration = || self.duration(route, method);
        let duration = handles.duration.get_or_init(duration);
        duration.observe(took.as_secs_f64());
        let answered = || self.answered(route, method, status);
        match STATUSES.iter().position(|known| *known == status) {
            Some(place) => handles.answers[place].get_or_init(answered).inc(),
            None => answered().inc(),
        };
    }

    fn duration(&self, route: usize, method: usize) -> Histogram {
        let route = self.routes[route].template;
        let labels = [("route", route), ("method", METHODS[method])];
        self.durations.get_or_create_owned(&labels)
    }

    fn answered(&self, route: usize, method: usize, status: u16) -> Counter {
        self.answers.get_or_create_owned(&Answered {
            route: self.routes[route].template,
            method: METHODS[method],
            status,
        })
    }
}

fn method_index(method: &str) -> usize {
    let others = METHODS.len() - 1;
    let known = &METHODS[..others];
    known
        .iter()
        .position(|known| *known == method)
        .unwrap_or(others)
}
