//! Answers to what never becomes a request: one connection too many, bytes that are no HTTP, a
//! head that is too large. In the shape of all other errors, as bytes.

use axum::body::{Bytes, to_bytes};
use axum::http::StatusCode;
use axum::http::header::CONTENT_LENGTH;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;

use super::common::put_common_headers;
use super::context::fresh_id;
use super::error::ApiError;

/// An answer to what never became a request.
pub struct Refusal(Response);

impl Refusal {
    /// The refusal that goes with `status`.
    #[must_use]
    pub fn of(status: StatusCode) -> Self {
        let error = match status {
            StatusCode::SERVICE_UNAVAILABLE => ApiError::TooManyConnections,
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => ApiError::HeadTooLarge,
            StatusCode::URI_TOO_LONG => ApiError::TargetTooLong,
            _ => ApiError::NotHttp,
        };
        let mut response = error.into_response();
        put_common_headers(response.headers_mut(), fresh_id().into());
        Self(response)
    }

    /// The whole answer.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        let status = self.0.status();
        let mut bytes = format!("HTTP/1.1 {status}\r\nconnection: close\r\n").into_bytes();
        let (headers, body) = self.into_parts();
        bytes.extend([&headers[..], b"\r\n", &body].concat());
        bytes
    }

    /// The HTTP library's own refusal, `said`, completed with headers and body; `None` if it
    /// says something else.
    #[must_use]
    pub fn completing(said: &[u8]) -> Option<Vec<u8>> {
        let said = std::str::from_utf8(said).ok()?;
        let status = said.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        let (before, after) = said.split_once("content-length: 0\r\n")?;
        let (headers, body) = Self::of(status).into_parts();
        Some([before.as_bytes(), &headers, after.as_bytes(), &body].concat())
    }

    /// The header lines and the body.
    fn into_parts(self) -> (Vec<u8>, Bytes) {
        let (parts, body) = self.0.into_parts();
        let body = to_bytes(body, usize::MAX).now_or_never();
        // An envelope is in memory, whole.
        let body = body.and_then(Result::ok).unwrap_or_default();
        let mut lines = Vec::new();
        for (name, value) in &parts.headers {
            lines.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        // The library writes this one, when it does the writing.
        lines.extend(format!("{CONTENT_LENGTH}: {}\r\n", body.len()).into_bytes());
        (lines, body)
    }
}
