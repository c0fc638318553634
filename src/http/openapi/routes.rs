//! What each route answers, for the document: one type for each, named on its handler.

use axum::http::StatusCode;
use serde_json::{Value, json};
use utoipa::IntoResponses;

use super::super::admin::{Issued, Listed, NOT_IN_A_URL, Revoked};
use super::super::docs;
use super::super::error::{ApiError, Operation};
use super::super::fields::{GIVEN_TWICE, IS_MISSING, NO_SUCH_FIELD, NOT_A_STRING, NOT_WHOLE};
use super::super::logout::SignedOut;
use super::super::ops::Health;
use super::answers::{Answers, Responses};
use crate::session::{StoreError, StoreErrorKind};

/// Declares the types and what they answer.
macro_rules! answers {
    ($($(#[$doc:meta])* $name:ident => $answers:expr;)*) => {$(
        $(#[$doc])*
        pub(in crate::http) struct $name;

        impl IntoResponses for $name {
            fn responses() -> Responses {
                $answers.build()
            }
        }
    )*};
}

answers! {
    /// Of `logout`.
    LogoutAnswers => clearing(Answers::of_any_route().json::<bool>(
        StatusCode::OK,
        "All sessions presented are over; `true` if any of them was live until now",
        &[("ended", json!(true)), ("nothingToEnd", json!(false))],
    ))
    .errors([ApiError::NoValidSession, ApiError::OriginRefused, failed(Operation::Logout)]);

    /// Of `signOut`.
    SignOutAnswers => clearing(Answers::of_any_route().json::<SignedOut>(
        StatusCode::OK,
        "All sessions presented are over, if there were any",
        &[("signedOut", json!({ "loggedOut": true }))],
    ))
    .errors([ApiError::OriginRefused, failed(Operation::Logout)]);

    /// Of `check`.
    CheckAnswers => Answers::of_any_route()
        .empty(StatusCode::NO_CONTENT, "A live session vouches for the request")
        .with("Remote-User", "The user whose session it is", "42")
        .with("Remote-Session", "The session's public name", ID)
        .errors([ApiError::NoValidSession, failed(Operation::Check)]);

    /// Of `issueSession`.
    IssueAnswers => behind_the_token()
        .json::<Issued>(StatusCode::CREATED, "The session", &[("issued", issued())])
        .errors([
            ApiError::BadBody(StatusCode::BAD_REQUEST),
            ApiError::BadBody(StatusCode::PAYLOAD_TOO_LARGE),
            ApiError::BadBody(StatusCode::UNSUPPORTED_MEDIA_TYPE),
            ApiError::BadBody(StatusCode::UNPROCESSABLE_ENTITY),
            ApiError::bad_field("ttl", NO_SUCH_FIELD),
            ApiError::bad_field("user", GIVEN_TWICE),
            ApiError::bad_field("user", IS_MISSING),
            ApiError::bad_field("user", NOT_A_STRING),
            ApiError::BadUser,
            ApiError::bad_field("user", NOT_IN_A_URL),
            ApiError::bad_field("ttlSeconds", NOT_WHOLE),
            ApiError::BadTtl,
            failed(Operation::Issue),
            ApiError::Store(Operation::Issue, StoreError::new(StoreErrorKind::Full, "")),
            ApiError::Store(Operation::Issue, StoreError::new(StoreErrorKind::Unconfirmed, "")),
        ]);

    /// Of `listSessions`.
    ListAnswers => behind_the_token()
        .json::<Listed>(
            StatusCode::OK,
            "The user's live sessions",
            &[
                ("one", json!({ "sessions": [listed()], "truncated": false })),
                ("none", json!({ "sessions": [], "truncated": false })),
            ],
        )
        .errors([ApiError::BadUser, failed(Operation::List)]);

    /// Of `revokeSessions`.
    RevokeUserAnswers => behind_the_token()
        .json::<Revoked>(
            StatusCode::OK,
            "The user is logged out everywhere",
            &[("revoked", json!({ "revoked": 2 }))],
        )
        .errors([ApiError::BadUser, failed(Operation::Revoke)]);

    /// Of `revokeSession`.
    RevokeSessionAnswers => behind_the_token()
        .empty(StatusCode::NO_CONTENT, "The session is over")
        .errors([ApiError::NoSuchSession, failed(Operation::Revoke)]);

    /// Of `health`.
    HealthAnswers => healthy("The process lives");

    /// Of `ready`.
    ReadyAnswers => healthy("The store answers").errors([
        ApiError::NotReady(StoreError::new(StoreErrorKind::Unavailable, "")),
        ApiError::ShuttingDown,
    ]);

    /// Of `metrics`.
    MetricsAnswers => of_admin().text(
        "text/plain; version=0.0.4",
        "All metrics in the Prometheus text format",
        "# HELP neptun_auth_logouts_total Logouts by how they ended.\n\
         # TYPE neptun_auth_logouts_total counter\n\
         neptun_auth_logouts_total{outcome=\"cleared\"} 1\n",
    );

    /// Of `openapi`.
    OpenApiAnswers => of_admin().json::<Value>(
        StatusCode::OK,
        "An OpenAPI 3.1 document",
        &[("beginning", json!({ "openapi": "3.1.0" }))],
    );

    /// Of `docs`.
    DocsAnswers => of_admin()
        .text("text/html; charset=utf-8", "A page that shows `/openapi.json`", "<!doctype html>\n")
        .with("Content-Security-Policy", "Nothing from elsewhere", docs::policy());
}

const ID: &str = "1a061647d59a73b13d2171e9be7fbc13e30d20124c0cde68dcfc6c09b1b02698";

/// The store failed in this.
fn failed(operation: Operation) -> ApiError {
    ApiError::Store(operation, StoreError::new(StoreErrorKind::Unavailable, ""))
}

/// The answer carries the clearing cookie.
fn clearing(answers: Answers) -> Answers {
    let description = "Makes the client forget its cookie";
    // The example becomes the configured cookie.
    answers.with("Set-Cookie", description, "")
}

/// Of any route of the admin listener.
fn of_admin() -> Answers {
    Answers::of_any_route().errors([ApiError::ForeignHost])
}

fn behind_the_token() -> Answers {
    of_admin().errors([ApiError::AdminTokenWrong, ApiError::AdminTokenMissing])
}

fn healthy(description: &str) -> Answers {
    let example = [("ok", json!({ "status": "ok" }))];
    of_admin().json::<Health>(StatusCode::OK, description, &example)
}

fn issued() -> Value {
    json!({
        "id": ID,
        "user": "42",
        "token": "uwZ2_tjRW5StmcmfoCnr6j1Vs_Clo6BgVxeszfZWCNc",
        "setCookie": "neptun-session=uwZ2_tjRW5StmcmfoCnr6j1Vs_Clo6BgVxeszfZWCNc; HttpOnly; \
            SameSite=Lax; Secure; Path=/; Max-Age=3600",
        "createdAt": "2026-11-24T05:52:27.681Z",
        "expiresAt": "2026-11-24T06:52:27.681Z",
    })
}

fn listed() -> Value {
    json!({
        "id": ID,
        "user": "42",
        "createdAt": "2026-11-24T05:52:27.681Z",
        "lastSeenAt": "2026-11-24T06:10:03.204Z",
        "expiresAt": "2026-11-24T06:52:27.681Z",
    })
}
