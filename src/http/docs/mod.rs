//! `GET /docs`: the API document as a page, out of the binary.
//!
//! One answer holds markup, style and script, and the browser is told to run and load nothing
//! else, save `/openapi.json` of this listener: an operator's browser asks nobody on the outside,
//! and a text in the document that looked like markup would do nothing.

use std::sync::LazyLock;

use axum::http::HeaderValue;
use axum::http::header::CONTENT_SECURITY_POLICY;
use axum::response::{Html, IntoResponse, Redirect};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
const MARKUP: &str = include_str!("page.html");

struct Page {
    html: String,
    policy: HeaderValue,
}

static PAGE: LazyLock<Page> = LazyLock::new(|| Page {
    html: MARKUP.replace("{style}", STYLE).replace("{script}", SCRIPT),
    policy: HeaderValue::try_from(policy())
        .unwrap_or(HeaderValue::from_static("default-src 'none'")),
});

/// Lets the browser take this very style and script, the document, and nothing else.
fn policy() -> String {
    let hash = |text: &str| STANDARD.encode(digest(&SHA256, text.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(STYLE),
        hash(SCRIPT)
    )
}

/// The API document as a page.
pub(super) async fn get() -> impl IntoResponse {
    let policy = [(CONTENT_SECURITY_POLICY, PAGE.policy.clone())];
    (policy, Html(PAGE.html.as_str()))
}

/// Whoever opens the listener in a browser wants this page.
pub(super) async fn lead_here() -> Redirect {
    Redirect::to("docs")
}
