//! Everything the service promises, tested from outside: over real sockets against the real
//! binary where that is possible, against the library where time or a store must misbehave.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test that cannot go on panics, and says what it saw"
)]
#![expect(
    unreachable_pub,
    reason = "in a binary `pub` says what the modules share"
)]

mod admin;
mod alerts;
mod backends;
mod banner;
mod browsers;
mod check;
mod cli;
mod clients;
mod clock;
mod compose;
mod conformance;
mod ext_authz;
mod faults;
mod file;
mod handed_over;
mod hostile;
mod kubernetes;
mod late;
mod log_floods;
mod log_reader;
mod login;
mod logout;
mod logs;
mod many_values;
mod metrics;
mod modules;
mod open_socket;
mod openapi;
mod origins;
mod overload;
mod own_sessions;
mod proxies;
mod readme;
mod redis;
mod sealed;
mod settings;
mod shutdown;
mod since;
mod slow;
mod support;
mod tokens;
mod traces;
mod web_app;
