//! The system's wall clock, watched by one that nobody sets.
//!
//! A wall clock can be set wrong and right again at any time, by an operator, by a time server, by
//! the host of a virtual machine. What was forgotten in between is not remembered again. So a
//! second clock runs beside it from the start of the process: the steady one, which shows what the
//! wall clock showed then plus the time that has passed since. While the two disagree nobody knows
//! which is right, and [`Moment`](super::Moment) has what follows from that. After an hour the
//! wall clock is believed: a machine that booted in 1970 must forget some day.
//!
//! The time that has passed is `CLOCK_BOOTTIME` and not [`Instant`](std::time::Instant), which
//! stands still while the machine sleeps: waking up would look like a wall clock that was set. Both
//! clocks are read without a system call.

use std::sync::atomic::{AtomicI64, Ordering};

use rustix::time::{ClockId, clock_gettime};

use super::clock::{Clock, Reading, SystemClock, Timestamp};
use crate::rate_limit::RateLimit;

/// Clocks this close, in milliseconds, agree: between two readings a thread may have had to wait.
const AGREED: i64 = 1_000;

/// How long the clocks disagree until the wall clock is believed, in milliseconds.
const BELIEVED_AFTER: i64 = 60 * 60 * 1_000;

/// The wall clock, and by how much it is ahead of the steady one.
pub struct WatchedClock {
    steady: SteadyClock,
    line: RateLimit,
}

impl WatchedClock {
    /// Both clocks show the same from now on, until somebody sets the wall clock.
    #[must_use]
    pub fn start() -> Self {
        Self {
            steady: SteadyClock::from(SystemClock.now(), since_boot()),
            line: RateLimit::default(),
        }
    }

    fn tell(&self, change: Change, ahead_by: i64) {
        let ahead_by_seconds = ahead_by / 1_000;
        match change {
            Change::Apart => self.line.note(|| {
                move |times| {
                    tracing::warn!(
                        ahead_by_seconds,
                        times,
                        "the clock was set: until it is set back, or for an hour, nothing is \
                         forgotten that would not be over without that"
                    );
                }
            }),
            Change::Believed => tracing::warn!(
                ahead_by_seconds,
                "the clock was set an hour ago and is believed from now on"
            ),
        }
    }
}

impl Clock for WatchedClock {
    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    fn read(&self) -> Reading {
        let mut now = SystemClock.now();
        let mut up = since_boot();
        if !self.steady.agrees(now, up) {
            // Perhaps this thread had to wait in between. Hardly twice.
            (now, up) = (SystemClock.now(), since_boot());
        }
        let (ahead_by, change) = self.steady.see(now, up);
        if let Some(change) = change {
            self.tell(change, ahead_by);
        }
        let ahead_by = match change {
            Some(Change::Believed) => 0,
            _ => ahead_by,
        };
        Reading { now, ahead_by }
    }
}

/// Milliseconds since the machine was started, those included in which it slept.
fn since_boot() -> i64 {
    let passed = clock_gettime(ClockId::Boottime);
    passed.tv_sec * 1_000 + passed.tv_nsec / 1_000_000
}

/// What happens between the clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// They disagree.
    Apart,
    /// They have disagreed for long: the steady clock now shows what the wall clock does.
    Believed,
}

/// The steady clock beside the wall clock, by readings it is given. Shared by all threads without
/// a lock: should two see a change at once, the next reading puts right what they made of it.
#[derive(Debug)]
struct SteadyClock {
    /// What the steady clock shows more than the time since boot.
    offset: AtomicI64,
    /// The time since boot at which the clocks were first seen to disagree, or [`AGREEING`].
    apart_since: AtomicI64,
}

const AGREEING: i64 = i64::MIN;

impl SteadyClock {
    const fn from(wall: Timestamp, up: i64) -> Self {
        Self {
            offset: AtomicI64::new(wall.as_millis() - up),
            apart_since: AtomicI64::new(AGREEING),
        }
    }

    fn ahead_by(&self, wall: Timestamp, up: i64) -> i64 {
        wall.as_millis() - up - self.offset.load(Ordering::Relaxed)
    }

    fn agrees(&self, wall: Timestamp, up: i64) -> bool {
        self.ahead_by(wall, up).abs() <= AGREED
    }

    /// By how much the wall clock is ahead, and what has just changed.
    fn see(&self, wall: Timestamp, up: i64) -> (i64, Option<Change>) {
        let since = self.apart_since.load(Ordering::Relaxed);
        if self.agrees(wall, up) {
            if since != AGREEING {
                self.apart_since.store(AGREEING, Ordering::Relaxed);
            }
            return (0, None);
        }
        let ahead_by = self.ahead_by(wall, up);
        if since == AGREEING {
            self.apart_since.store(up, Ordering::Relaxed);
            return (ahead_by, Some(Change::Apart));
        }
        if up - since < BELIEVED_AFTER {
            return (ahead_by, None);
        }
        self.offset.store(wall.as_millis() - up, Ordering::Relaxed);
        self.apart_since.store(AGREEING, Ordering::Relaxed);
        (ahead_by, Some(Change::Believed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    const START: i64 = 1_795_500_000_000;

    fn clock() -> SteadyClock {
        SteadyClock::from(Timestamp::from_millis(START), 5 * HOUR)
    }

    /// Sees the wall clock `ahead` of right, `passed` after the start.
    fn see(clock: &SteadyClock, passed: i64, ahead: i64) -> (i64, Option<Change>) {
        let wall = Timestamp::from_millis(START + passed + ahead);
        clock.see(wall, 5 * HOUR + passed)
    }

    #[test]
    fn clocks_that_go_alike_agree_and_so_do_readings_a_moment_apart() {
        let clock = clock();
        for passed in [0, MINUTE, DAY, 1_000 * DAY] {
            for ahead in [-AGREED, -1, 0, 1, AGREED] {
                assert_eq!(see(&clock, passed, ahead), (0, None));
            }
        }
    }

    #[test]
    fn a_wall_clock_that_was_set_is_ahead_or_behind_until_it_is_set_right() {
        let clock = clock();
        for (start, ahead) in [(0, 8 * DAY), (HOUR, -3 * DAY), (2 * HOUR, AGREED + 1)] {
            assert_eq!(see(&clock, start, ahead), (ahead, Some(Change::Apart)));
            assert_eq!(see(&clock, start + MINUTE, ahead), (ahead, None));
            assert_eq!(see(&clock, start + 59 * MINUTE, 0), (0, None));
        }
    }

    #[test]
    fn clocks_that_disagreed_for_an_hour_agree_on_what_the_wall_clock_shows() {
        let (clock, right) = (clock(), 20_000 * DAY);
        see(&clock, 0, right);
        assert_eq!(see(&clock, HOUR - 1, right), (right, None));
        assert_eq!(see(&clock, HOUR, right), (right, Some(Change::Believed)));
        assert_eq!(see(&clock, HOUR, right), (0, None));
        assert_eq!(see(&clock, 9 * DAY, right), (0, None));
        // And is watched again.
        let (wrong, apart) = (right - DAY, Some(Change::Apart));
        assert_eq!(see(&clock, 9 * DAY, wrong), (-DAY, apart));
    }

    #[test]
    fn an_hour_of_disagreement_is_one_without_a_break() {
        let clock = clock();
        for start in [0, 50 * MINUTE, 100 * MINUTE] {
            assert_eq!(see(&clock, start, DAY), (DAY, Some(Change::Apart)));
            assert_eq!(see(&clock, start + 40 * MINUTE, DAY), (DAY, None));
            assert_eq!(see(&clock, start + 41 * MINUTE, 0), (0, None));
        }
    }
}
