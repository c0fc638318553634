//! The transport: what is asked over HTTP becomes a question to the domain and back.
//!
//! Knows the domain and never a store. [`public`] and [`admin()`] are the two listeners' services;
//! `edge` says what a request passes, `route` which routes there are.

mod admin;
mod allowed_origin;
mod bearer;
mod check;
mod common;
mod context;
mod cookie;
mod dispatch;
mod docs;
mod edge;
mod error;
mod fields;
mod host;
mod issue;
mod json;
mod listed;
mod logout;
mod middleware;
mod openapi;
mod ops;
mod origin;
mod own;
mod refusal;
mod route;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::FromRef;

pub use allowed_origin::{InvalidOrigin, Origin};
pub use bearer::BearerTokens;
pub use cookie::{CookieSettings, SessionCookie, Tokens};
pub use edge::{HttpService, admin, public};
pub use refusal::Refusal;
pub use route::ROUTES;

use crate::metrics::Metrics;
use crate::session::SessionManager;
pub use crate::task::describe_current;

/// Whether shutdown has begun; shared by everything that must know.
#[derive(Clone, Debug, Default)]
pub struct Draining(Arc<AtomicBool>);

impl Draining {
    /// From now on readiness is denied, and every answer closes its connection.
    pub fn begin(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn has_begun(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the two listeners need; their handlers name the parts that they use.
#[derive(Clone)]
#[expect(missing_docs, reason = "the types say it")]
pub struct App {
    pub sessions: Arc<SessionManager>,
    pub cookie: Arc<SessionCookie>,
    pub metrics: Arc<Metrics>,
    pub draining: Draining,
    pub tokens: Arc<BearerTokens>,
    pub request_timeout: Duration,
    /// Where clients of this machine find the service, for the API document.
    pub public_address: SocketAddr,
}

/// The same as the routers' state. The router clones it twice for each request, and so would each
/// part that it consisted of.
#[derive(Clone)]
struct AppState(Arc<App>);

impl From<&App> for AppState {
    fn from(app: &App) -> Self {
        Self(Arc::new(app.clone()))
    }
}

impl FromRef<AppState> for Arc<SessionManager> {
    fn from_ref(state: &AppState) -> Self {
        Self::clone(&state.0.sessions)
    }
}

impl FromRef<AppState> for Arc<SessionCookie> {
    fn from_ref(state: &AppState) -> Self {
        Self::clone(&state.0.cookie)
    }
}

impl FromRef<AppState> for Arc<Metrics> {
    fn from_ref(state: &AppState) -> Self {
        Self::clone(&state.0.metrics)
    }
}

impl FromRef<AppState> for Draining {
    fn from_ref(state: &AppState) -> Self {
        state.0.draining.clone()
    }
}
