//! What a check pays for others' durable logouts: its median alone, and while 64 clients log out
//! of sessions in a file. The writing is measured against a memory store that is asked the same.

use std::path::PathBuf;

use super::load::{Load, median, request};
use super::servers::Server;

const LOGOUTS: usize = 20_000;
const CHECKS: usize = 100;
const ROUNDS: usize = 15;

/// Prints the table.
pub fn report() {
    let place = std::env::var_os("NEPTUN_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let place = place.join(format!("neptun-bench-http-{}", std::process::id()));
    let store = format!("file:{}", place.join("sessions").display());
    println!("| store | check, p50 alone | while 64 log out | ratio | logouts a second |");
    println!("|---|---|---|---|---|");
    for store in ["memory:", &store] {
        let service = Server::service(&[], &["--store", store]);
        let checks = Checks::of(&service);
        let (mut alone, mut beside) = (Vec::new(), Vec::new());
        let (mut ratios, mut rates) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let before = checks.p50();
            let (during, rate) = while_logging_out(&service, &checks);
            ratios.push(during / before);
            alone.push(before);
            beside.push(during);
            rates.push(rate);
        }
        let name = store.split_once(':').map_or(store, |(name, _)| name);
        println!(
            "| {name} | {:.0} us | {:.0} us | {:.2} | {:.0} |",
            median(&mut alone),
            median(&mut beside),
            median(&mut ratios),
            median(&mut rates),
        );
    }
    std::fs::remove_dir_all(place).unwrap();
}

struct Checks {
    load: Load,
    requests: Vec<Vec<u8>>,
}

impl Checks {
    fn of(service: &Server) -> Self {
        let token = &service.issue(1)[0];
        Self {
            load: Load::new(service.public).with_connections(1),
            requests: vec![request("GET", "/api/auth/check", Some(token)); CHECKS],
        }
    }

    /// In microseconds.
    fn p50(&self) -> f64 {
        let slice = self.load.run(&self.requests, b"HTTP/1.1 204");
        slice.p50.as_secs_f64() * 1e6
    }
}

/// The median of the checks, and how many logouts a second there were beside them.
fn while_logging_out(service: &Server, checks: &Checks) -> (f64, f64) {
    let tokens = service.issue(LOGOUTS);
    let requests: Vec<Vec<u8>> = tokens
        .iter()
        .map(|token| request("POST", "/api/auth/logout", Some(token)))
        .collect();
    std::thread::scope(|scope| {
        let logouts = scope.spawn(|| Load::new(service.public).run(&requests, b"HTTP/1.1 200"));
        let mut medians = Vec::new();
        while medians.is_empty() || !logouts.is_finished() {
            medians.push(checks.p50());
        }
        // The last may have seen the end of it.
        if medians.len() > 1 {
            medians.pop();
        }
        (median(&mut medians), logouts.join().unwrap().per_second())
    })
}
