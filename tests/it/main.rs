//! Everything that is tested from outside, in one binary.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod conformance;
mod redis;
