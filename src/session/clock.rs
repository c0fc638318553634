//! Time as a parameter: the one place of the domain that reads a clock.
//!
//! [`SessionManager`](super::SessionManager) asks a [`Clock`] once per call and hands the answer
//! down; stores never read a clock, so tests move time instead of sleeping.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment: whole milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The beginning of time.
    pub const MIN: Self = Self(i64::MIN);

    /// The moment `millis` milliseconds after the Unix epoch (before it, if negative).
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This moment plus `span`; the end of time if that cannot be represented.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(whole_millis(span)))
    }

    /// This moment minus `span`; the beginning of time if that cannot be represented.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(whole_millis(span)))
    }

    /// How long after `earlier` this moment is; nothing if it is before.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let millis = self.0.saturating_sub(earlier.0);
        Duration::from_millis(u64::try_from(millis).unwrap_or_default())
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        Self(whole_millis(
            time.duration_since(UNIX_EPOCH).unwrap_or_default(),
        ))
    }
}

/// RFC 3339, UTC, to the millisecond: `2026-11-24T05:52:27.174Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No clock of ours shows a moment before the epoch.
        let since_epoch = Duration::from_millis(u64::try_from(self.0).unwrap_or_default());
        humantime::format_rfc3339_millis(UNIX_EPOCH + since_epoch).fmt(f)
    }
}

fn whole_millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// How far apart the clocks of machines that work together may be.
pub const CLOCK_SKEW: Duration = Duration::from_mins(1);

/// Where "now" comes from.
pub trait Clock: Send + Sync + 'static {
    /// The current moment.
    fn now(&self) -> Timestamp;

    /// The current moment, and how far it is ahead of a clock that nobody sets. A clock that
    /// nobody sets itself is not.
    fn read(&self) -> Reading {
        Reading {
            now: self.now(),
            ahead_by: 0,
        }
    }
}

/// What the clocks show at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// By the wall clock.
    pub now: Timestamp,
    /// By how many milliseconds the wall clock is ahead of the steady one (behind it, if
    /// negative).
    pub ahead_by: i64,
}

/// The operating system's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        SystemTime::now().into()
    }
}
