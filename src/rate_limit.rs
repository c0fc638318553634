//! Log lines for what may happen any number of times: the first is written at once, then at most
//! one in ten seconds, which says for how many it stands.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The least time between two lines about the same thing.
const INTERVAL: Duration = Duration::from_secs(10);

/// Decides when something that happens again and again is worth a line.
#[derive(Debug, Default)]
pub(crate) struct RateLimit(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    last_line: Option<Instant>,
    untold: u64,
}

impl RateLimit {
    /// It happened once more. If a line is due, for how many times it stands: all since the last
    /// line, this one included.
    pub(crate) fn note(&self) -> Option<u64> {
        let mut state = self.0.lock();
        state.untold += 1;
        let now = Instant::now();
        let is_due = state
            .last_line
            .is_none_or(|last| now.duration_since(last) >= INTERVAL);
        is_due.then(|| {
            state.last_line = Some(now);
            std::mem::take(&mut state.untold)
        })
    }
}
