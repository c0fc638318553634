//! `neptun-auth healthcheck`: whether the service is ready.

use std::net::SocketAddr;
use std::time::Duration;

use super::Report;
use super::request::Request;

/// For each of connecting, asking and being answered.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks `/readyz` of the admin listener, at the first of its `addresses` where anybody answers.
#[must_use]
pub fn healthcheck(addresses: &[SocketAddr]) -> Report {
    match Request::get("/readyz".to_owned()).send(addresses, PATIENCE) {
        Ok(answer) if answer.status == 200 => Report::done(),
        Ok(answer) => Report::failed(&format!("not ready: {}", answer.status_line)),
        Err(silence) => Report::failed(&silence),
    }
}
