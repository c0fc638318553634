//! A client that asks at a steady pace and notes how long each answer took.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Ask, Connection};

/// 50 requests a second.
const PACE: Duration = Duration::from_millis(20);

/// Asks until it is told to finish; any error but the expected 401 is a panic.
pub struct Probe {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Duration>>,
}

/// What a probe saw.
#[derive(Debug)]
pub struct Seen {
    pub count: usize,
    pub p99: Duration,
}

impl Probe {
    /// Every other request on a connection of its own, the rest on one that is kept.
    pub fn start(address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let ask = Ask::get("/api/auth/check");
            let mut kept = Connection::open(address);
            let mut latencies = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let begun = Instant::now();
                let answer = if latencies.len().is_multiple_of(2) {
                    kept.ask(&ask)
                } else {
                    ask.send(address)
                };
                assert_eq!(answer.status, 401, "{answer:?}");
                latencies.push(begun.elapsed());
                std::thread::sleep(PACE.saturating_sub(begun.elapsed()));
            }
            latencies
        });
        Self { stop, thread }
    }

    pub fn finish(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let mut latencies = self.thread.join().unwrap();
        latencies.sort_unstable();
        Seen {
            count: latencies.len(),
            p99: latencies[latencies.len() * 99 / 100],
        }
    }
}
