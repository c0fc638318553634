//! How long a session may live.

use std::str::FromStr;
use std::time::Duration;

/// The absolute lifetime of a session: from a second to 36500 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ttl(Duration);

/// It is too short or too long to be a [`Ttl`], or no duration at all.
#[derive(Debug, thiserror::Error)]
#[error("is not between 1s and 36500d, written like 90s or 7d")]
pub struct InvalidTtl;

impl Ttl {
    /// As a span of time.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl TryFrom<Duration> for Ttl {
    type Error = InvalidTtl;

    fn try_from(span: Duration) -> Result<Self, InvalidTtl> {
        let legal = Duration::from_secs(1)..=Duration::from_hours(24 * 36_500);
        legal
            .contains(&span)
            .then_some(Self(span))
            .ok_or(InvalidTtl)
    }
}

impl FromStr for Ttl {
    type Err = InvalidTtl;

    fn from_str(text: &str) -> Result<Self, InvalidTtl> {
        let span = humantime::parse_duration(text);
        span.map_err(|_| InvalidTtl)?.try_into()
    }
}
