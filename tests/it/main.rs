//! The tests of the service from outside, in one binary.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod file;
