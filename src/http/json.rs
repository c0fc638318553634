//! The JSON answers that must be cheap: the public listener's, and all errors.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderMap};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;

/// How many headers most answers have, those that the edge adds included. A map that grows costs
/// more than a session's look-up, and so does one for more than these: what takes more than a
/// kilobyte `malloc` does not keep at hand.
const ROOM: usize = 6;

/// An answer with this body, and a header of its own if it has one.
pub(super) fn json(
    status: StatusCode,
    header: Option<(HeaderName, HeaderValue)>,
    body: impl Into<Body>,
) -> Response {
    let mut headers = HeaderMap::with_capacity(ROOM);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.extend(header);
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
