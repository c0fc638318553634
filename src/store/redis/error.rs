//! What can fail, in one word each: the label of the metric, the word in the log, the list in
//! `tests/deploy/README.md`, and what a call does about it.
//!
//! The only place that looks at an error of the client library or of the server.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

use redis::{ErrorKind, RedisError};

use super::url::Endpoint;
use crate::session::{ErrorClass, StoreError, StoreErrorKind};

words! {
    /// What failed.
    pub(in crate::store) enum Class: ErrorClass {
        Timeout = "timeout",
        Io = "io",
        Tls = "tls",
        Connecting = "connecting",
        Loading = "loading",
        /// connected to a replica
        ReadOnly = "readonly",
        /// the server that was asked is no longer the master
        Demoted = "demoted",
        MasterDown = "masterdown",
        NoAuth = "noauth",
        NoPerm = "noperm",
        /// the server lacks a command
        Unsupported = "unsupported",
        Oom = "oom",
        /// the server cannot write to its disk
        MisConf = "misconf",
        /// a script blocks it
        Busy = "busy",
        /// it belongs to a cluster: use `redis+cluster`
        Moved = "moved",
        ClusterDown = "clusterdown",
        /// no majority of the Sentinels names a master
        Sentinel = "sentinel",
        NoReplicas = "noreplicas",
        /// not confirmed by replicas
        Wait = "wait",
        /// readiness only
        Durability = "durability",
        Protocol = "protocol",
        /// not written by this service
        Record = "record",
        Stopped = "stopped",
        /// anything else; the cause is in the log
        Server = "server",
    }
}

impl Class {
    const fn kind(self) -> StoreErrorKind {
        match self {
            Self::Timeout => StoreErrorKind::TimedOut,
            Self::NoReplicas | Self::Wait | Self::Demoted => StoreErrorKind::Unconfirmed,
            _ => StoreErrorKind::Unavailable,
        }
    }

    /// A server that says this will go on saying so to this connection: a former master, one that
    /// loads its data, one whose password was changed. A new one may lead elsewhere, or wait.
    pub(super) const fn ends_connection(self) -> bool {
        matches!(
            self,
            Self::ReadOnly | Self::Loading | Self::MasterDown | Self::NoAuth | Self::Protocol
        )
    }

    /// The connection went away under the command: what only reads may be sent on another.
    pub(super) const fn may_read_again(self) -> bool {
        matches!(self, Self::Io | Self::ReadOnly | Self::Demoted)
    }

    /// Whether to look at once who is in charge.
    pub(super) const fn doubts_topology(self) -> bool {
        !matches!(
            self,
            Self::Oom | Self::NoPerm | Self::Unsupported | Self::Busy | Self::Record | Self::Server
        )
    }

    /// Whether the server said this of one command, and would serve others.
    pub(super) const fn is_of_one_command(self) -> bool {
        matches!(
            self,
            Self::NoPerm
                | Self::Oom
                | Self::MisConf
                | Self::Moved
                | Self::ClusterDown
                | Self::NoReplicas
        )
    }
}

/// Where a cluster's node says that a key is: then it has done nothing with it.
#[derive(Clone, Debug)]
pub(super) struct Redirection {
    /// Without a host it is that of the node which said so.
    pub(super) to: Endpoint,
    /// For this once, while the slot moves; or for good.
    pub(super) once: bool,
}

/// Something failed.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) class: Class,
    pub(super) redirection: Option<Redirection>,
    kind: StoreErrorKind,
    cause: Option<Arc<dyn Error + Send + Sync>>,
}

impl Failure {
    /// The same failure with what caused it.
    pub(super) fn because(self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let cause = Some(Arc::from(cause.into()));
        Self { cause, ..self }
    }

    /// The same failure of what was to confirm a change that had been applied.
    pub(super) fn of_confirmation(self) -> Self {
        let kind = StoreErrorKind::Unconfirmed;
        Self { kind, ..self }
    }

    /// The same failure of an attempt to connect: nothing was sent.
    pub(super) fn of_connecting(self) -> Self {
        let kind = StoreErrorKind::Unavailable;
        Self { kind, ..self }
    }

    /// The cause, for a line of the log: what a server said may hold anything.
    pub(super) fn cause(&self) -> String {
        let cause = self.cause.as_ref().map(ToString::to_string);
        printable(&cause.unwrap_or_default()).into_owned()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.cause(), self.class.word())
    }
}

/// Text of a server's, without what could make more of a line of the log than a line.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().any(char::is_control) {
        text.escape_debug().to_string().into()
    } else {
        text.into()
    }
}

impl From<Class> for Failure {
    fn from(class: Class) -> Self {
        Self {
            class,
            redirection: None,
            kind: class.kind(),
            cause: None,
        }
    }
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        Self {
            redirection: redirection(&error),
            ..Self::from(class(&error)).because(error)
        }
    }
}

impl From<redis::ParsingError> for Failure {
    fn from(error: redis::ParsingError) -> Self {
        RedisError::from(error).into()
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        RedisError::from(error).into()
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        let error = Self::new(failure.kind, failure.class);
        match &failure.cause {
            Some(_) => error.caused_by(failure.cause()),
            None => error,
        }
    }
}

impl From<Class> for StoreError {
    fn from(class: Class) -> Self {
        Failure::from(class).into()
    }
}

fn redirection(error: &RedisError) -> Option<Redirection> {
    let (address, _) = error.redirect_node()?;
    let (host, port) = address.rsplit_once(':')?;
    let to = Endpoint {
        host: host.to_owned(),
        port: port.parse().ok()?,
    };
    let once = error.code() == Some("ASK");
    Some(Redirection { to, once })
}

fn class(error: &RedisError) -> Class {
    match error.kind() {
        ErrorKind::AuthenticationFailed => return Class::NoAuth,
        ErrorKind::RESP3NotSupported => return Class::Unsupported,
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => return Class::Protocol,
        ErrorKind::Io if error.is_timeout() => return Class::Timeout,
        _ if is_of_tls(error) => return Class::Tls,
        ErrorKind::Io => return Class::Io,
        _ => {}
    }
    let says = |text: &str| error.detail().is_some_and(|detail| detail.contains(text));
    match error.code() {
        Some("READONLY") => Class::ReadOnly,
        Some("LOADING") => Class::Loading,
        Some("NOAUTH" | "WRONGPASS") => Class::NoAuth,
        Some("NOPERM") => Class::NoPerm,
        Some("OOM") => Class::Oom,
        Some("MOVED" | "ASK") => Class::Moved,
        Some("CLUSTERDOWN" | "TRYAGAIN") => Class::ClusterDown,
        Some("MASTERDOWN") => Class::MasterDown,
        Some("MISCONF") => Class::MisConf,
        Some("NOREPLICAS") => Class::NoReplicas,
        Some("BUSY") => Class::Busy,
        // A replica lets go of those who wait when it ceases to be the master.
        Some("UNBLOCKED") => Class::Demoted,
        _ if says("unknown command") => Class::Unsupported,
        // Servers before 7.0 wrap what a script ran into.
        _ if says("-OOM ") => Class::Oom,
        _ => Class::Server,
    }
}

/// Whether TLS failed, and not the network: then the error of rustls lies somewhere inside.
fn is_of_tls(error: &RedisError) -> bool {
    let mut inside: Option<&(dyn Error + 'static)> = error.source();
    while let Some(error) = inside {
        if error.is::<rustls::Error>() {
            return true;
        }
        let shared = error.downcast_ref::<Arc<dyn Error + Send + Sync>>();
        let shared = shared.map(|error| &**error as &(dyn Error + 'static));
        let io: Option<&io::Error> = error.downcast_ref();
        let wrapped = io.and_then(io::Error::get_ref).map(|error| error as _);
        inside = shared.or(wrapped).or_else(|| error.source());
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_lists_every_class_as_explained_here() {
        let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/deploy/README.md");
        let readme = std::fs::read_to_string(readme).unwrap();
        let (_, section) = readme.split_once("### Error classes").unwrap();
        let (_, rest) = section.split_once("In log and metric: ").unwrap();
        let listed: Vec<&str> = rest
            .split("\n\n")
            .next()
            .unwrap()
            .split_whitespace()
            .collect();
        let classes = Class::ALL
            .iter()
            .map(|(word, explanation)| match explanation.trim() {
                "" => format!("`{word}`"),
                explanation => format!("`{word}` ({explanation})"),
            });
        let classes: Vec<String> = classes.collect();
        assert_eq!(listed.join(" "), format!("{}.", classes.join(", ")));
    }
}
