//! The histograms of HTTP requests, with a table of handles by route, method and status.

use std::sync::OnceLock;
use std::time::Duration;

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

use super::WithBuckets;

/// The methods with a label of their own; the last stands for all others.
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "DELETE", "OPTIONS", "other"];

/// The status under which a request is counted whose client left before the answer.
pub const CANCELLED: u16 = 499;

/// The statuses with a place in the table; others are looked up.
const STATUSES: [u16; 17] = [
    200, 201, 204, 400, 401, 403, 404, 405, 408, 413, 414, 415, 422, 431, CANCELLED, 500, 503,
];

type Labels = [(&'static str, String); 3];

/// Durations by route, method and status.
pub(super) struct Requests {
    routes: &'static [&'static str],
    family: Family<Labels, Histogram, WithBuckets>,
    handles: Box<[OnceLock<Histogram>]>,
}

impl Requests {
    pub(super) fn new(routes: &'static [&'static str], expected: &[(usize, &str, u16)]) -> Self {
        let places = routes.len() * METHODS.len() * STATUSES.len();
        let requests = Self {
            routes,
            family: Family::new_with_constructor(WithBuckets),
            handles: (0..places).map(|_| OnceLock::new()).collect(),
        };
        for &(route, method, status) in expected {
            requests.create(route, method_index(method), status);
        }
        requests
    }

    pub(super) fn family(&self) -> Family<Labels, Histogram, WithBuckets> {
        self.family.clone()
    }

    pub(super) fn observe(&self, route: usize, method: &str, status: u16, took: Duration) {
        let method = method_index(method);
        let create = || self.create(route, method, status);
        let seconds = took.as_secs_f64();
        match STATUSES.iter().position(|known| *known == status) {
            Some(place) => {
                let row = route * METHODS.len() + method;
                let handle = &self.handles[row * STATUSES.len() + place];
                handle.get_or_init(create).observe(seconds);
            }
            None => create().observe(seconds),
        }
    }

    fn create(&self, route: usize, method: usize, status: u16) -> Histogram {
        self.family.get_or_create_owned(&[
            ("route", self.routes[route].to_owned()),
            ("method", METHODS[method].to_owned()),
            ("status", status.to_string()),
        ])
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
