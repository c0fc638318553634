//! Which web pages may call the public listener from a browser: CSRF and CORS, both fed by
//! `--allowed-origins`, both by `tower-http`.
//!
//! [`refuse_foreign`] is the defence (Fetch Metadata and `Origin`, as in Go 1.25). [`Cors`] only
//! tells browsers whose pages may read the answers; it blocks nothing.

use std::convert::Infallible;
use std::time::Duration;

use axum::http::header::ACCESS_CONTROL_REQUEST_METHOD;
use axum::http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use futures_util::future::Either;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_http::cors::{AllowHeaders, CorsLayer};
use tower_http::csrf::{CsrfLayer, ProtectionError};

use super::allowed_origin::Origin;
use super::common::X_REQUEST_ID;
use super::error::ApiError;
use crate::task;

/// How much of a refused origin is logged, in bytes: a host's name has at most 253.
const MOST_OF_AN_ORIGIN: usize = 300;

/// Answers 403 to a browser's state-changing request from an origin that is neither our own nor
/// allowed.
pub(super) type RefuseForeign = CsrfLayer<fn(ProtectionError) -> Response>;

#[expect(
    clippy::expect_used,
    reason = "an `Origin` is one that the layer takes"
)]
pub(super) fn refuse_foreign(allowed_origins: &[Origin]) -> RefuseForeign {
    let trusting = |csrf: CsrfLayer, origin: &Origin| csrf.add_trusted_origin(origin.as_str());
    let csrf = allowed_origins.iter().try_fold(CsrfLayer::new(), trusting);
    csrf.expect("an `Origin` is one that the layer takes")
        .with_rejection_response(|_| ApiError::OriginRefused.into_response())
}

/// Lets pages of the allowed origins read the answers, and answers their preflights. All else goes
/// straight inside: the layer says 200 to any `OPTIONS`, whose ever it is, and a proxy that asks
/// with its client's method would take that for a yes.
pub(super) struct Cors {
    layer: CorsLayer,
    allowed: Vec<HeaderValue>,
}

impl Cors {
    pub(super) fn new(allowed_origins: &[Origin]) -> Self {
        let allowed = allowed_origins.iter().map(|origin| origin.header().clone());
        let allowed: Vec<HeaderValue> = allowed.collect();
        let layer = CorsLayer::new()
            .allow_origin(allowed.clone())
            .allow_credentials(true)
            .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::DELETE])
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers([X_REQUEST_ID])
            .max_age(Duration::from_hours(2))
            // The edge says `Vary: Origin` on every answer.
            .vary::<[HeaderName; 0]>([]);
        Self { layer, allowed }
    }

    /// The answer of `inner` to a request with this `Origin`, with what it says to the page that
    /// asks.
    pub(super) fn around<B: Send, A: Future<Output = Response> + Send>(
        &self,
        request: Request<B>,
        origin: Option<&HeaderValue>,
        inner: impl Fn(Request<B>) -> A + Send,
    ) -> impl Future<Output = Response> {
        if !self.is_for_a_page(&request, origin) {
            let is_foreign = |origin| !self.allowed.contains(origin);
            let is_refused_options =
                request.method() == Method::OPTIONS && origin.is_some_and(is_foreign);
            return Either::Left(inner(request).inspect(move |answer| {
                if answer.status() == StatusCode::FORBIDDEN || is_refused_options {
                    log_refusal(origin, answer.status());
                }
            }));
        }
        let inner = service_fn(move |request| inner(request).map(Ok::<_, Infallible>));
        let answered = self.layer.layer(inner).oneshot(request);
        // Boxed, or every connection would have room for it.
        let answer = Box::pin(answered.map(|Ok(answer)| answer));
        Either::Right(answer)
    }

    /// Whether a page of an allowed origin asks, or a browser asks beforehand on its behalf.
    fn is_for_a_page<B>(&self, request: &Request<B>, origin: Option<&HeaderValue>) -> bool {
        origin.is_some_and(|origin| self.allowed.contains(origin))
            && (request.method() != Method::OPTIONS
                || request
                    .headers()
                    .contains_key(ACCESS_CONTROL_REQUEST_METHOD))
    }
}

/// Says that a page of this origin asked, or some page whose browser does not name its origin.
fn log_refusal(origin: Option<&HeaderValue>, status: StatusCode) {
    let status = status.as_u16();
    task::rate_limit("origin", "refused").note(|| {
        let origin = origin.map_or(&[][..], HeaderValue::as_bytes);
        let origin = &origin[..origin.len().min(MOST_OF_AN_ORIGIN)];
        let origin = origin.escape_ascii().to_string();
        let peer = task::peer().map(|peer| peer.to_string());
        let peer = peer.unwrap_or_default();
        move |times| {
            tracing::warn!(
                status,
                origin,
                peer,
                times,
                "a page was refused: its origin is not in allowed-origins"
            );
        }
    });
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::header::{HOST, ORIGIN};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
    const OWN: &str = "neptun.test:8080";
    const ALLOWED: [&str; 2] = ["https://app.example", "http://localhost:3000"];

    /// A header's value: what is configured, what almost is, or any bytes at all.
    fn value(usual: &'static [&'static str]) -> impl Strategy<Value = Option<HeaderValue>> {
        let exact = proptest::sample::select(usual).prop_map(|text| text.as_bytes().to_vec());
        let almost = (exact.clone(), 0..40_usize, "[a-zA-Z0-9:/.@-]?", 0..3_usize).prop_map(
            |(mut bytes, place, new, gone)| {
                let from = place.min(bytes.len());
                let to = (from + gone).min(bytes.len());
                bytes.splice(from..to, new.into_bytes());
                bytes
            },
        );
        let any = vec(any::<u8>(), 0..40);
        let bytes = prop_oneof![2 => exact, 3 => almost, 1 => any];
        prop_oneof![
            1 => Just(None),
            4 => bytes.prop_map(|bytes| HeaderValue::from_bytes(&bytes).ok()),
        ]
    }

    /// The rule in plain words: Fetch Metadata if there is any, else the `Origin` against our
    /// own host; an allowed origin passes either way.
    fn may_pass(site: Option<&HeaderValue>, origin: Option<&HeaderValue>) -> bool {
        let site = site.map_or(&b""[..], HeaderValue::as_bytes);
        let origin = origin.map_or(&b""[..], HeaderValue::as_bytes);
        let is_allowed = ALLOWED.iter().any(|allowed| allowed.as_bytes() == origin);
        match site {
            b"same-origin" | b"none" => true,
            b"" => origin.is_empty() || is_allowed || is_own(origin),
            _ => is_allowed,
        }
    }

    fn is_own(origin: &[u8]) -> bool {
        let text = String::from_utf8_lossy(origin);
        let Some((scheme, rest)) = text.split_once("://") else {
            return false;
        };
        let is_web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
        is_web && rest.split(['/', '?', '#']).next() == Some(OWN)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn the_decision_equals_a_plain_reference(
            site in value(&["same-origin", "same-site", "cross-site", "none"]),
            origin in value(&["http://neptun.test:8080", "https://app.example",
                "http://localhost:3000", "null", "https://evil.example"]),
        ) {
            let routes = service_fn(|_: Request<Body>| async { Ok(StatusCode::OK.into_response()) });
            let guarded = refuse_foreign(&ALLOWED.map(|origin| origin.parse().unwrap()));
            let guarded = guarded.layer(routes);
            let mut request = Request::new(Body::empty());
            *request.method_mut() = Method::POST;
            let headers = request.headers_mut();
            headers.insert(HOST, HeaderValue::from_static(OWN));
            headers.extend(site.clone().map(|site| (SEC_FETCH_SITE, site)));
            headers.extend(origin.clone().map(|origin| (ORIGIN, origin)));
            let answer: Result<Response, Infallible> =
                guarded.oneshot(request).now_or_never().unwrap();
            let passed = answer.unwrap().status() == StatusCode::OK;
            prop_assert_eq!(passed, may_pass(site.as_ref(), origin.as_ref()));
        }
    }
}
