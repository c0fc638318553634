//! The headers of every answer, and whole sets of headers for the answers that are given most.

use axum::http::header::{CACHE_CONTROL, VARY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// The header that carries a request's id, both ways.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// In place of a value that is known only with the request.
const NOT_KNOWN: HeaderValue = HeaderValue::from_static("");

/// Puts the common headers into those of an answer to the request of this `id`.
pub(super) fn put_common_headers(headers: &mut HeaderMap, id: HeaderValue) {
    headers.insert(X_REQUEST_ID, id);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

/// The same for the public listener, whose answers depend on the caller's origin and cookie.
pub(super) fn put_public_headers(headers: &mut HeaderMap, id: HeaderValue) {
    if let Some((name, value)) = headers.iter_mut().next()
        && *name == X_REQUEST_ID
    {
        // A prepared set; no other begins with it.
        *value = id;
        return;
    }
    put_common_headers(headers, id);
    headers.insert(VARY, HeaderValue::from_static("Origin, Cookie"));
}

/// All headers of an answer of the public listener that is given often. They are copied for each,
/// which hashes no name, and so takes less than half the time of putting them together.
#[derive(Debug)]
pub(super) struct Prepared(HeaderMap);

impl Prepared {
    /// Those of every answer, and these.
    pub(super) fn new<const N: usize>(own: [(HeaderName, HeaderValue); N]) -> Self {
        let mut others = HeaderMap::new();
        put_public_headers(&mut others, NOT_KNOWN);
        let mut headers = HeaderMap::from_iter([(X_REQUEST_ID, NOT_KNOWN)]);
        headers.extend(own);
        headers.extend(others);
        Self(headers)
    }

    /// Those of every answer, and these, whose values are known with each request.
    pub(super) fn with_names<const N: usize>(own: [HeaderName; N]) -> Self {
        Self::new(own.map(|name| (name, NOT_KNOWN)))
    }

    /// For one answer, with these `values` of its own.
    pub(super) fn with<const N: usize>(&self, values: [HeaderValue; N]) -> HeaderMap {
        let mut headers = self.0.clone();
        for (place, value) in headers.values_mut().skip(1).zip(values) {
            *place = value;
        }
        headers
    }
}
