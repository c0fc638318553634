//! From redis-rs' errors to the store's: a kind that decides the answer, and one fixed word.
//!
//! The only place that looks at an error of the client library or of the server. It never decides
//! what to do about one, except to say which replies mean that the connection leads to the wrong
//! place.

use redis::{ErrorKind, RedisError};

use crate::session::{StoreError, StoreErrorKind};

/// The word of an error that came from the connection itself.
const IO: &str = "io";

/// An error of redis-rs as the domain sees it.
pub(super) fn store_error(error: RedisError) -> StoreError {
    let class = class(&error);
    let kind = match class {
        "timeout" => StoreErrorKind::TimedOut,
        "noreplicas" => StoreErrorKind::Unconfirmed,
        _ => StoreErrorKind::Unavailable,
    };
    StoreError::new(kind, class).caused_by(error)
}

/// The server cannot be used now; `class` says why.
pub(super) const fn unavailable(class: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, class)
}

/// No answer within the call's deadline.
pub(super) const fn timed_out() -> StoreError {
    StoreError::new(StoreErrorKind::TimedOut, "timeout")
}

/// The change was applied, but not confirmed as was asked for.
pub(super) const fn unconfirmed() -> StoreError {
    StoreError::new(StoreErrorKind::Unconfirmed, "wait")
}

/// The connection broke under the command: an idempotent one may be sent again.
pub(super) fn is_broken_connection(error: &StoreError) -> bool {
    error.class() == IO
}

/// A server that says this will go on saying so to this connection: a former master, one that
/// loads its data, one whose password was changed. A new connection may lead elsewhere, or wait.
pub(super) fn another_connection_may_help(error: &StoreError) -> bool {
    matches!(
        error.class(),
        "readonly" | "loading" | "masterdown" | "noauth" | "protocol"
    )
}

fn class(error: &RedisError) -> &'static str {
    match error.kind() {
        ErrorKind::AuthenticationFailed => return "noauth",
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => return "protocol",
        ErrorKind::Io if error.is_timeout() => return "timeout",
        ErrorKind::Io => return IO,
        _ => {}
    }
    match error.code() {
        Some("READONLY") => "readonly",
        Some("LOADING") => "loading",
        Some("NOAUTH" | "WRONGPASS") => "noauth",
        Some("NOPERM") => "noperm",
        Some("OOM") => "oom",
        Some("MOVED" | "ASK") => "moved",
        Some("CLUSTERDOWN" | "TRYAGAIN") => "clusterdown",
        Some("MASTERDOWN") => "masterdown",
        Some("MISCONF") => "misconf",
        Some("NOREPLICAS") => "noreplicas",
        Some("BUSY") => "busy",
        // Servers before 7.0 wrap what a script ran into.
        _ if error.detail().is_some_and(|text| text.contains("-OOM ")) => "oom",
        _ => "server",
    }
}
