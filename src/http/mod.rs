//! The transport: what is asked over HTTP becomes a question to the domain and back.
//!
//! Knows the domain and never a store. [`public`] and [`admin`] are the two listeners' services;
//! both begin with the edge (request id, common headers, deadline, panics) and end in a router.

mod admin;
mod check;
mod context;
mod cookie;
mod edge;
mod error;
mod logout;
mod middleware;
mod ops;
mod origin;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, FromRef};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post};
use axum::{Router, middleware as axum_middleware};
use secrecy::SecretString;
use tower::Service;

pub use context::describe_current;
pub use cookie::CookieSettings;
pub use edge::Refusal;
pub use origin::InvalidOrigin;

use crate::session::SessionManager;
use cookie::SessionCookie;
use edge::{Edge, Guard};
use error::ApiError;
use middleware::ReadSessionCookie;

/// Largest body the admin listener reads, in bytes.
const MAX_BODY_BYTES: usize = 16 * 1024;

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

/// What the two listeners need.
#[derive(Clone)]
pub struct App {
    sessions: Arc<SessionManager>,
    cookie: Arc<SessionCookie>,
    admin_token: Option<Arc<SecretString>>,
    draining: Draining,
    request_timeout: Duration,
}

impl App {
    /// Puts the parts together; fails if the cookie's settings cannot be put in a header.
    pub fn new(
        sessions: Arc<SessionManager>,
        cookie: CookieSettings,
        admin_token: Option<SecretString>,
        draining: Draining,
        request_timeout: Duration,
    ) -> Result<Self, axum::http::Error> {
        Ok(Self {
            sessions,
            cookie: Arc::new(SessionCookie::new(cookie)?),
            admin_token: admin_token.map(Arc::new),
            draining,
            request_timeout,
        })
    }
}

/// What a listener serves: it answers every request, whatever happens.
pub trait HttpService<B>:
    Service<axum::http::Request<B>, Response = Response, Error = Infallible, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<B, S> HttpService<B> for S where
    S: Service<axum::http::Request<B>, Response = Response, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + Sync
        + 'static
{
}

/// The public listener: logout and check, for pages of `allowed_origins` and for everyone who is
/// not a browser.
pub fn public<B>(
    app: App,
    allowed_origins: &[String],
) -> Result<impl HttpService<B> + use<B>, InvalidOrigin>
where
    B: axum::body::HttpBody<Data = axum::body::Bytes, Error: Into<axum::BoxError>> + Send + 'static,
{
    let routes = Router::new()
        .route("/api/auth/logout", post(logout::post))
        .route("/api/auth/check", get(check::get))
        .route_layer(ReadSessionCookie(Arc::clone(&app.cookie)))
        .method_not_allowed_fallback(other_method)
        .fallback(no_such_route)
        .with_state(app.clone());
    let guarded = Guard::new(
        origin::refuse_foreign(routes, allowed_origins)?,
        app.request_timeout,
    );
    let shared = origin::share(guarded, allowed_origins)?;
    Ok(Edge::new(shared, app.draining, true))
}

/// The admin listener: sessions for login backends and operators, health for whoever runs it.
pub fn admin<B>(app: App) -> impl HttpService<B>
where
    B: axum::body::HttpBody<Data = axum::body::Bytes, Error: Into<axum::BoxError>> + Send + 'static,
{
    let sessions = Router::new()
        .route("/sessions", post(admin::issue))
        .route("/sessions/{id}", delete(admin::revoke_session))
        .route(
            "/users/{user}/sessions",
            get(admin::list).delete(admin::revoke_user),
        )
        .method_not_allowed_fallback(other_method)
        .fallback(no_such_route)
        .layer(axum_middleware::from_fn_with_state(
            app.clone(),
            admin::require_token,
        ));
    let routes = Router::new()
        .nest("/admin", sessions)
        .route("/healthz", get(ops::healthz))
        .route("/readyz", get(ops::readyz))
        .method_not_allowed_fallback(other_method)
        .fallback(no_such_route)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(app.clone());
    Edge::new(Guard::new(routes, app.request_timeout), app.draining, false)
}

async fn no_such_route() -> ApiError {
    ApiError::NoSuchRoute
}

/// The router adds `Allow`.
async fn other_method(method: Method) -> Response {
    if method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    ApiError::MethodNotAllowed.into_response()
}

impl FromRef<App> for Arc<SessionManager> {
    fn from_ref(app: &App) -> Self {
        Self::clone(&app.sessions)
    }
}

impl FromRef<App> for Arc<SessionCookie> {
    fn from_ref(app: &App) -> Self {
        Self::clone(&app.cookie)
    }
}

impl FromRef<App> for Option<Arc<SecretString>> {
    fn from_ref(app: &App) -> Self {
        app.admin_token.clone()
    }
}

impl FromRef<App> for Draining {
    fn from_ref(app: &App) -> Self {
        app.draining.clone()
    }
}
