//! `GET /openapi.json`: the contract of both listeners, an `OpenAPI` 3.1 document.
//!
//! It is written by hand, in `openapi.json`. What depends on the settings is put in at start: the
//! version, the address of the public listener, the cookie, and whether there is a sign-out route.
//! The tests hold it against the routes and what they answer, in both directions.

use std::net::SocketAddr;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::cookie::SessionCookie;

const CONTRACT: &str = include_str!("openapi.json");

/// The document as it is sent.
#[derive(Clone)]
pub(super) struct Document(Bytes);

impl Document {
    /// The document of a service whose public listener is at `public`. Without sealed sessions it
    /// lacks the path `sign_out`.
    #[expect(clippy::expect_used, reason = "the contract is compiled in")]
    pub(super) fn new(cookie: &SessionCookie, public: SocketAddr, sign_out: &str) -> Self {
        let mut document: Value = serde_json::from_str(CONTRACT).expect("the contract is JSON");
        document["info"]["version"] = env!("CARGO_PKG_VERSION").into();
        let components = &mut document["components"];
        components["securitySchemes"]["cookie"]["name"] = cookie.name().into();
        components["headers"]["Set-Cookie"]["example"] =
            cookie.clearing().to_str().unwrap_or_default().into();

        let paths = document["paths"].as_object_mut().expect("it has paths");
        if cookie.seal_header().is_none() {
            paths.remove(sign_out);
        }
        for (path, item) in paths {
            if path.starts_with("/api/") {
                item["servers"][0]["url"] = json!(format!("http://{public}"));
            }
        }
        Self(document.to_string().into())
    }
}

pub(super) async fn get(State(Document(json)): State<Document>) -> impl IntoResponse {
    let json_type = HeaderValue::from_static("application/json");
    ([(CONTENT_TYPE, json_type)], json)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use axum::http::StatusCode;

    use super::super::error::{ApiError, Operation};
    use super::super::fields;
    use super::super::issue::{NO_LABEL, NOT_A_COUNT, NOT_IN_A_URL, TOO_LONG};
    use super::*;
    use crate::session::{CommonClass, StoreError, StoreErrorKind};

    /// Status and sentence of every error of a documented route.
    fn said() -> BTreeSet<(u16, String)> {
        let body = |status| ApiError::BadBody(status);
        let user = |problem| ApiError::bad_field("user", problem);
        let store = |operation, kind| {
            ApiError::Store(operation, StoreError::new(kind, CommonClass::Timeout))
        };
        let failed = |operation| store(operation, StoreErrorKind::Unavailable);
        let errors = [
            ApiError::NoValidSession,
            ApiError::OriginRefused,
            ApiError::AdminTokenMissing,
            ApiError::AdminTokenWrong,
            ApiError::ReaderTokenOnly,
            ApiError::NoSuchSession,
            ApiError::SealNotSpared,
            ApiError::MethodNotAllowed,
            ApiError::BadHost,
            ApiError::ForeignHost,
            ApiError::TargetTooLong,
            ApiError::BadUser,
            ApiError::BadTtl,
            body(StatusCode::BAD_REQUEST),
            body(StatusCode::PAYLOAD_TOO_LARGE),
            body(StatusCode::UNSUPPORTED_MEDIA_TYPE),
            body(StatusCode::UNPROCESSABLE_ENTITY),
            ApiError::bad_field("ttl", fields::NO_SUCH_FIELD),
            user(fields::GIVEN_TWICE),
            user(fields::IS_MISSING),
            user(fields::NOT_A_STRING),
            user(NOT_IN_A_URL),
            ApiError::bad_field("ttlSeconds", fields::NOT_WHOLE),
            ApiError::bad_field("cookie", TOO_LONG),
            ApiError::bad_field("keep", NOT_A_COUNT),
            ApiError::bad_field("persistent", fields::NOT_A_FLAG),
            ApiError::bad_field("label", NO_LABEL),
            ApiError::TooSlow,
            ApiError::NotHttp,
            ApiError::HeadTooLarge,
            ApiError::TooManyConnections,
            ApiError::ShuttingDown,
            failed(Operation::Logout),
            failed(Operation::Check),
            failed(Operation::Revoke),
            store(Operation::Issue, StoreErrorKind::Full),
            store(Operation::Issue, StoreErrorKind::Unconfirmed),
            ApiError::Internal,
        ];
        let said = errors.map(|error| (error.answer().0.as_u16(), error.message().into_owned()));
        said.into()
    }

    fn documented() -> BTreeSet<(u16, String)> {
        let document: Value = serde_json::from_str(CONTRACT).unwrap();
        let responses = document["components"]["responses"].as_object().unwrap();
        let contents = responses
            .values()
            .filter_map(|response| response.pointer("/content/application~1json/examples"));
        let bodies = contents
            .flat_map(|examples| examples.as_object().unwrap().values())
            .map(|example| &example["value"])
            .filter(|body| body["statusCode"].is_u64());
        bodies
            .map(|body| {
                let status = body["statusCode"].as_u64().unwrap();
                let message = body["data"]["message"].as_str().unwrap();
                (u16::try_from(status).unwrap(), message.to_owned())
            })
            .collect()
    }

    #[test]
    fn every_error_is_documented_in_the_words_in_which_it_is_said_and_no_other() {
        assert_eq!(documented(), said());
    }
}
