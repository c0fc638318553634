//! Time as a parameter: the one place of the domain that reads a clock.
//!
//! [`SessionManager`](super::SessionManager) asks a [`Clock`] once per call and hands the answer
//! down; stores never read a clock, so tests move time with [`ManualClock`] instead of sleeping.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;

/// A moment: whole milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
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

/// RFC 3339, UTC, to the millisecond: `2026-11-24T05:52:27.174Z`. By hand, since every log line
/// has one.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0.div_euclid(1000), self.0.rem_euclid(1000));
        let moment = OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| fmt::Error)?;
        let mut text = *b"0000-00-00T00:00:00.000Z";
        put_decimal(
            &mut text[..4],
            u16::try_from(moment.year()).unwrap_or_default(),
        );
        put_decimal(&mut text[5..7], u8::from(moment.month()).into());
        put_decimal(&mut text[8..10], moment.day().into());
        put_decimal(&mut text[11..13], moment.hour().into());
        put_decimal(&mut text[14..16], moment.minute().into());
        put_decimal(&mut text[17..19], moment.second().into());
        put_decimal(&mut text[20..23], u16::try_from(millis).unwrap_or_default());
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

/// Writes the last digits of `number`, as many as there is room for.
fn put_decimal(digits: &mut [u8], mut number: u16) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789"[usize::from(number % 10)];
        number /= 10;
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
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp(whole_millis(since_epoch))
    }
}

/// A clock that stands still until it is told to move; for tests.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that shows `start`.
    #[must_use]
    pub const fn at(start: Timestamp) -> Self {
        Self(AtomicI64::new(start.0))
    }

    /// Moves the clock forward by `span`.
    pub fn advance(&self, span: Duration) {
        self.0.fetch_add(whole_millis(span), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use time::format_description::well_known::Rfc3339;

    use super::*;

    #[test]
    fn a_moment_is_written_as_rfc_3339_has_it() {
        for millis in [0, 951_827_696_789, 1_795_500_000_001, 253_402_300_799_999] {
            let written = Timestamp::from_millis(millis).to_string();
            let read = OffsetDateTime::parse(&written, &Rfc3339).unwrap();
            assert_eq!(read.unix_timestamp_nanos(), i128::from(millis) * 1_000_000);
            assert_eq!(written.len(), 24);
        }
    }
}
