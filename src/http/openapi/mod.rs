//! `GET /openapi.json`: the `OpenAPI` 3.1 document of both listeners.
//!
//! It is put together from what stands on the handlers (`#[utoipa::path]`, read by the same calls
//! that build the routers), from [`routes`] (what each route answers) and [`answers`] (how an
//! answer is written down, errors from [`ApiError`](super::error::ApiError) itself), and [`finish`]
//! (what is true of every route of a listener). It is the document of this very instance: the
//! cookie has its configured name, and only routes that exist are in it. Answers no other question.

mod answers;
mod finish;
mod parameters;
mod routes;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use utoipa::OpenApi as _;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{OpenApi, RefOr};

use super::App;
use super::admin::{IssueRequest, Issued, Listed, ListedSession, Revoked};
use super::cookie::SessionCookie;
use super::error::Envelope;
use super::logout::SignedOut;
use super::ops::Health;
use super::route::Route;
use finish::{Finish, Listener};
pub(super) use parameters::{SessionInPath, UserInPath};
pub(super) use routes::{
    CheckAnswers, DocsAnswers, HealthAnswers, IssueAnswers, ListAnswers, LogoutAnswers,
    MetricsAnswers, OpenApiAnswers, ReadyAnswers, RevokeSessionAnswers, RevokeUserAnswers,
    SignOutAnswers,
};

/// The group of the routes that browsers, clients and proxies use.
pub(super) const SESSIONS: &str = "Sessions";
/// The group of the web app's own route.
pub(super) const SIGN_OUT: &str = "Web app";
/// The group of the routes behind the admin token.
pub(super) const ADMIN: &str = "Administration";
/// The group of the routes for whoever runs the service.
pub(super) const OPERATION: &str = "Operation";

/// What is said of the service as a whole.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "neptun-auth",
        description = "Ends sessions, truthfully: when logout answers `true`, that session is \
            over everywhere, at once, and stays over.\n\n\
            Two listeners: the public one (`/api/…`) for browsers, clients and reverse proxies, \
            and the admin one (everything else), which is never routed to the public. Every \
            error, whatever its status, has the shape of `Envelope`; 500 and 503 mean \"don't \
            know\" and never \"no\". `OPTIONS` is a 405 like any other method that a route does \
            not have, but for the preflight of an allowed origin's page. Send `X-Request-Id` or a \
            W3C `traceparent`, and find them in the log.\n\n\
            The web app's sign-out route, `DELETE /api/_auth/session`, is there, and in this \
            document, only if a `sealed-password` is set."
    ),
    tags(
        (name = SESSIONS, description = "Public listener: log out, and ask who is logged in"),
        (name = SIGN_OUT, description = "Public listener: what Neptun's web app calls by itself"),
        (name = ADMIN, description = "Admin listener: what login backends and operators do with sessions"),
        (name = OPERATION, description = "Admin listener: health, metrics and this document; no token needed")
    ),
    components(schemas(
        Envelope, Health, IssueRequest, Issued, Listed, ListedSession, Revoked, SignedOut
    ))
)]
struct Service;

/// The document as it is sent.
#[derive(Clone)]
pub(super) struct Document(Bytes);

impl Document {
    /// The document of `app`, from what its routers say of their routes.
    pub(super) fn of(app: &App, public: &OpenApi, admin: &OpenApi) -> Self {
        let mut service = Service::openapi();
        let components = service.components.get_or_insert_default();
        components.security_schemes = security_schemes(&app.0.cookie);
        let clearing = app.0.cookie.clearing();
        let mut document = Finish::new(&service, clearing.to_str().unwrap_or_default());
        document.add(public, &Listener::public(app.0.public_address));
        document.add(admin, &Listener::admin());
        Self(document.into_json().to_string().into())
    }
}

fn security_schemes(cookie: &SessionCookie) -> BTreeMap<String, RefOr<SecurityScheme>> {
    let mut session =
        "The session cookie. Of several, logout ends all; values that are not legal are ignored."
            .to_owned();
    if let Some(header) = cookie.seal_header() {
        let _ = write!(
            session,
            " A sealed session may also come in the header `{header}`."
        );
    }
    let session = ApiKey::Cookie(ApiKeyValue::with_description(cookie.name(), &session));
    let mut token = Http::new(HttpAuthScheme::Bearer);
    token.description = Some("The `admin-token`.".to_owned());
    BTreeMap::from([
        ("cookie".to_owned(), SecurityScheme::ApiKey(session).into()),
        ("bearer".to_owned(), SecurityScheme::Http(token).into()),
    ])
}

/// This document
#[utoipa::path(
    get,
    path = Route::OpenApi.template(),
    operation_id = "openapi",
    tag = OPERATION,
    responses(OpenApiAnswers)
)]
pub(super) async fn get(State(Document(json)): State<Document>) -> impl IntoResponse {
    let json_type = HeaderValue::from_static("application/json");
    ([(CONTENT_TYPE, json_type)], json)
}
