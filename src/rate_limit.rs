//! Log lines for what may happen any number of times: the first is written at once, then at most
//! one in ten seconds, which says for how many it stands.
//!
//! No event goes untold: those that no later one tells of, [`tell_when_due`] does when the ten
//! seconds are over, and [`tell_now`] at the end of the service. So the counts of all lines about
//! a thing add up to how often it happened.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The least time between two lines about the same thing.
const INTERVAL: Duration = Duration::from_secs(10);

/// How often to look for lines that are due.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Those of which a line is still to come.
static OWING: Mutex<Vec<RateLimit>> = Mutex::new(Vec::new());

/// Decides when something that happens again and again is worth a line.
#[derive(Clone, Default)]
pub(crate) struct RateLimit(Arc<Mutex<LimitState>>);

#[derive(Default)]
struct LimitState {
    last_line: Option<Instant>,
    untold: u64,
    /// Writes the line that is still to come.
    owed: Option<Box<dyn FnOnce(u64) + Send>>,
}

impl LimitState {
    fn is_due(&self) -> bool {
        self.last_line.is_none_or(|last| last.elapsed() >= INTERVAL)
    }

    /// A line is written now; for how many times it stands.
    fn begin_line(&mut self) -> u64 {
        self.last_line = Some(Instant::now());
        self.owed = None;
        std::mem::take(&mut self.untold)
    }
}

impl RateLimit {
    /// It happened once more. `line` makes what writes a line, which is told for how many times
    /// the line stands: now, or once the next is due. It is not called if another does already.
    pub(crate) fn note<L>(&self, line: impl FnOnce() -> L)
    where
        L: FnOnce(u64) + Send + 'static,
    {
        let mut state = self.0.lock();
        state.untold += 1;
        if state.is_due() {
            let times = state.begin_line();
            // Not under the lock: a line may have to wait for whoever reads the log.
            drop(state);
            line()(times);
        } else if state.owed.is_none() {
            state.owed = Some(Box::new(line()));
            drop(state);
            OWING.lock().push(self.clone());
        }
    }

    /// Writes the line that is owed, if it is due or need not be; says whether one is still owed.
    fn tell(&self, need_not_be_due: bool) -> bool {
        let mut state = self.0.lock();
        if !need_not_be_due && !state.is_due() {
            return state.owed.is_some();
        }
        if let Some(line) = state.owed.take() {
            let times = state.begin_line();
            drop(state);
            line(times);
        }
        false
    }
}

impl fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RateLimit")
    }
}

/// One for each of several things that are told apart. They must be few, and no client's choice.
pub(crate) struct RateLimits<K>(Mutex<BTreeMap<K, RateLimit>>);

impl<K: Ord> RateLimits<K> {
    /// For things of which none has happened yet.
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// That of one thing.
    pub(crate) fn of(&self, thing: K) -> RateLimit {
        self.0.lock().entry(thing).or_default().clone()
    }
}

impl<K> fmt::Debug for RateLimits<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RateLimits")
    }
}

/// Writes the lines that come due while it is polled.
pub(crate) async fn tell_when_due() {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    loop {
        looks.tick().await;
        tell_owed(false);
    }
}

/// Writes all lines that are owed.
pub(crate) fn tell_now() {
    tell_owed(true);
}

fn tell_owed(need_not_be_due: bool) {
    let mut owing = std::mem::take(&mut *OWING.lock());
    owing.retain(|limit| limit.tell(need_not_be_due));
    OWING.lock().append(&mut owing);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_of_all_lines_add_up_to_how_often_it_happened() {
        let limit = RateLimit::default();
        let lines = Arc::<Mutex<Vec<u64>>>::default();
        let note = || {
            let lines = Arc::clone(&lines);
            limit.note(|| move |times| lines.lock().push(times));
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).for_each(|_| note()));
            }
        });
        assert_eq!(*lines.lock(), [1], "the others have to wait");
        tell_owed(false);
        assert_eq!(*lines.lock(), [1]);
        tell_now();
        assert_eq!(*lines.lock(), [1, 3999]);
        tell_now();
        assert_eq!(lines.lock().len(), 2, "all has been told");
    }
}
