//! Every setting of the service: its name, its default, what it means, and whether it is legal.
//!
//! [`Flags`] is what was said, on the command line or in the environment, as text; its field
//! docs are the `--help` text. [`Config`] is what it means. [`Flags::validate`] goes from one to
//! the other and lists every fault in one run. Fills the parts' own plain structs; starts nothing.

mod fault;
mod flags;
mod names;
mod parse;
mod secrets;
mod validate;

use std::net::SocketAddr;
use std::time::Duration;

use secrecy::SecretString;
use tracing_subscriber::filter::Targets;

pub use fault::{InvalidSetting, on_one_line, variable_of};
pub use flags::{Command, Flags, SessionsCommand};
pub use parse::reachable;

use crate::http::{CookieSettings, Origin};
use crate::session::{Lifetimes, Seals, Timeouts};
use crate::store::StoreConfig;
use crate::telemetry::LogFormat;

/// Where a client on this machine finds the admin listener, and what lets it in.
pub struct AdminListener {
    /// In the order in which they are to be tried.
    pub addresses: Vec<SocketAddr>,
    /// The first of the admin tokens.
    pub token: SecretString,
}

/// A configuration without faults.
pub struct Config {
    /// Address of the public listener.
    pub listen: SocketAddr,
    /// Address of the admin listener.
    pub admin_listen: SocketAddr,
    /// The bearer tokens of the admin routes, any of which is right.
    pub admin_tokens: Vec<SecretString>,
    /// Where they were read from, if it was a file.
    pub admin_token_file: Option<String>,
    /// Bearer tokens with which the admin routes can only be read.
    pub reader_tokens: Vec<SecretString>,
    /// Where sessions are kept.
    pub store: StoreConfig,
    /// How long the store is waited for.
    pub store_timeouts: Timeouts,
    /// How long sessions live.
    pub lifetimes: Lifetimes,
    /// The session cookie's name and attributes.
    pub cookie: CookieSettings,
    /// How sealed cookies are opened, if they are.
    pub seals: Option<Seals>,
    /// Origins of web pages that may call the public listener from a browser.
    pub allowed_origins: Vec<Origin>,
    /// What a connection and a request may cost.
    pub limits: Limits,
    /// Which log lines are written.
    pub log: Targets,
    /// How log lines look.
    pub log_format: LogFormat,
    /// The settings that are not at their default, ready to be logged: secrets are redacted.
    pub changed: Vec<String>,
    /// What is odd about the settings and no reason not to start.
    pub warnings: Vec<String>,
}

impl Config {
    /// Whether the admin listener may be where it turns out to be.
    pub fn allows_admin_listener(&self, bound: SocketAddr) -> Result<(), InvalidSetting> {
        if !self.admin_tokens.is_empty() {
            return Ok(());
        }
        parse::guarded(bound).map_err(|problem| InvalidSetting::new("admin-listen", problem))
    }
}

/// How many connections there may be, and how long each step of theirs may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most connections at once, on each listener for itself.
    pub max_connections: usize,
    /// From connect or the first byte of a request to the end of its head.
    pub header_timeout: Duration,
    /// For reading a body and answering, and again for the client to take the answer.
    pub request_timeout: Duration,
    /// Between requests.
    pub keep_alive_timeout: Duration,
    /// From the first signal to the exit.
    pub shutdown_timeout: Duration,
}
