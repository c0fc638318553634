//! The transport: what is asked over HTTP becomes a question to the domain and back.
//!
//! Knows the domain and never a store. [`public`] and [`admin()`] are the two listeners' services;
//! both begin with the edge (request id, common headers, deadline, panics) and end in a router.

mod admin;
mod check;
mod context;
mod cookie;
mod docs;
mod edge;
mod error;
mod fields;
mod host;
mod json;
mod logout;
mod middleware;
mod openapi;
mod ops;
mod origin;
mod refusal;
mod route;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, FromRef, Request};
use axum::response::Response;
use axum::routing::{any, delete, get, post};
use axum::{Router, middleware as axum_middleware};
use secrecy::SecretString;
use tower::Service;

pub use cookie::{CookieSettings, SessionCookie, Tokens};
pub use origin::InvalidOrigin;
pub use refusal::Refusal;

pub use route::{ANSWERS, ROUTES};

use crate::metrics::Metrics;
use crate::session::SessionManager;
pub use crate::task::describe_current;
use edge::{Edge, Guarded};
use error::ApiError;
use middleware::ReadSessionCookie;
use openapi::Document;
use origin::Shared;
use route::Route;

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

/// What the two listeners need. Cheap to clone, as each request does.
#[derive(Clone)]
pub struct App(Arc<Parts>);

struct Parts {
    sessions: Arc<SessionManager>,
    cookie: Arc<SessionCookie>,
    admin_token: Option<Arc<SecretString>>,
    draining: Draining,
    request_timeout: Duration,
    metrics: Arc<Metrics>,
    public_address: SocketAddr,
}

impl App {
    /// Puts the parts together; fails if the cookie's settings cannot be put in a header.
    /// `public_address` is for the API document: where clients of this machine find the service.
    pub fn new(
        sessions: Arc<SessionManager>,
        cookie: CookieSettings,
        admin_token: Option<SecretString>,
        draining: Draining,
        request_timeout: Duration,
        metrics: Arc<Metrics>,
        public_address: SocketAddr,
    ) -> Result<Self, axum::http::Error> {
        Ok(Self(Arc::new(Parts {
            sessions,
            cookie: Arc::new(SessionCookie::new(cookie)?),
            admin_token: admin_token.map(Arc::new),
            draining,
            request_timeout,
            metrics,
            public_address,
        })))
    }
}

/// What a listener serves: it answers every request, whatever happens.
pub trait HttpService<B>: Send + Sync + 'static {
    /// The answer to `request`, which `peer` has sent.
    fn answer(
        &self,
        request: axum::http::Request<B>,
        peer: IpAddr,
    ) -> impl Future<Output = Response> + Send;
}

/// What stands behind the edge, in front of the routes.
trait Inner: Send + Sync + 'static {
    fn answer(&self, request: Request) -> impl Future<Output = Response> + Send;
}

/// What stands behind the edge: routes, and what guards them.
trait Routes:
    Service<Request, Response = Response, Error = Infallible, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Routes for S where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// The public listener: logout and check, for pages of `allowed_origins` and for everyone who is
/// not a browser.
pub fn public<B>(
    app: &App,
    allowed_origins: &[String],
) -> Result<impl HttpService<B> + use<B>, InvalidOrigin>
where
    B: axum::body::HttpBody<Data = axum::body::Bytes, Error: Into<axum::BoxError>> + Send + 'static,
{
    let routes = public_routes(app)
        .method_not_allowed_fallback(other_method)
        .fallback(no_such_route)
        .with_state(app.clone());
    let routes = ReadSessionCookie::before(routes, &app.0.cookie);
    let routes = origin::refuse_foreign(routes, allowed_origins)?;
    let guarded = Guarded::new(routes, app.0.request_timeout);
    let shared = Shared::new(guarded, allowed_origins)?;
    Ok(Edge::new(shared, app, true))
}

fn public_routes(app: &App) -> Router<App> {
    let routes = Router::new()
        .route(Route::Logout.template(), post(logout::post))
        .route(Route::Check.template(), get(check::get));
    if app.0.cookie.seal_header().is_some() {
        routes.route(Route::SignOut.template(), delete(logout::sign_out))
    } else {
        routes
    }
}

/// The admin listener: sessions for login backends and operators, health for whoever runs it. One
/// that is `bound` to a loopback address answers to no foreign name.
pub fn admin<B>(app: &App, bound: SocketAddr) -> impl HttpService<B> + use<B>
where
    B: axum::body::HttpBody<Data = axum::body::Bytes, Error: Into<axum::BoxError>> + Send + 'static,
{
    let sessions = Router::new()
        .route(Route::Sessions.template(), post(admin::issue))
        .route(Route::Session.template(), delete(admin::revoke_session))
        .route(
            Route::UserSessions.template(),
            get(admin::list).delete(admin::revoke_user),
        )
        .route("/admin/{*rest}", any(no_such_route))
        .method_not_allowed_fallback(other_method)
        .layer(axum_middleware::from_fn_with_state(
            app.clone(),
            admin::require_token,
        ));
    let document = Document::new(&app.0.cookie, app.0.public_address);
    let document = get(openapi::get).with_state(document);
    let routes = sessions
        .route(Route::Healthz.template(), get(ops::healthz))
        .route(Route::Readyz.template(), get(ops::readyz))
        .route(Route::Metrics.template(), get(ops::metrics))
        .route(Route::OpenApi.template(), document)
        .route(Route::Docs.template(), get(docs::get))
        .route(Route::Root.template(), get(docs::lead_here))
        .method_not_allowed_fallback(other_method)
        .fallback(no_such_route)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(app.clone());
    let mut guarded = Guarded::new(routes, app.0.request_timeout);
    if bound.ip().is_loopback() {
        guarded = guarded.for_loopback_names();
    }
    Edge::new(guarded, app, false)
}

async fn no_such_route() -> ApiError {
    ApiError::NoSuchRoute
}

/// The router adds `Allow`.
async fn other_method() -> ApiError {
    ApiError::MethodNotAllowed
}

impl FromRef<App> for Arc<SessionManager> {
    fn from_ref(app: &App) -> Self {
        Self::clone(&app.0.sessions)
    }
}

impl FromRef<App> for Arc<SessionCookie> {
    fn from_ref(app: &App) -> Self {
        Self::clone(&app.0.cookie)
    }
}

impl FromRef<App> for Option<Arc<SecretString>> {
    fn from_ref(app: &App) -> Self {
        app.0.admin_token.clone()
    }
}

impl FromRef<App> for Draining {
    fn from_ref(app: &App) -> Self {
        app.0.draining.clone()
    }
}

impl FromRef<App> for Arc<Metrics> {
    fn from_ref(app: &App) -> Self {
        Self::clone(&app.0.metrics)
    }
}
