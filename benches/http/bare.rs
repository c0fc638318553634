//! The yardstick: axum as it comes, with the service's answers ready-made.

use std::net::SocketAddr;

use axum::Router;
use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};

/// Makes this benchmark's binary be the bare server, at the address that follows.
pub const FLAG: &str = "--bare-server-at";

const HASH: &str = "1a061647d59a73b13d2171e9be7fbc13e30d20124c0cde68dcfc6c09b1b02698";
const CLEARING: &str = "neptun-session=; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT";
const ENVELOPE: &str =
    r#"{"statusCode":401,"statusMessage":"Unauthorized","data":{"message":"No valid session"}}"#;

type Headers<const N: usize> = [(HeaderName, HeaderValue); N];

fn common() -> Headers<4> {
    [
        ("x-request-id", "ec762f561265c3710000000000000005"),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("vary", "Origin, Cookie"),
    ]
    .map(ready)
}

fn ready((name, value): (&'static str, &'static str)) -> (HeaderName, HeaderValue) {
    (
        HeaderName::from_static(name),
        HeaderValue::from_static(value),
    )
}

/// The one look at the request: which of the two ready-made answers is due.
async fn logout(headers: HeaderMap) -> Response {
    let json = ready(("content-type", "application/json"));
    if headers.contains_key(COOKIE) {
        // `true` and `false` differ by a byte; the service's answer to a live session is `true`.
        let set = ready(("set-cookie", CLEARING));
        ([json, set], common(), "true").into_response()
    } else {
        let challenge = ready(("www-authenticate", "Cookie"));
        (
            StatusCode::UNAUTHORIZED,
            [json, challenge],
            common(),
            ENVELOPE,
        )
            .into_response()
    }
}

async fn check() -> Response {
    let identity = [
        ("remote-user", "00000000"),
        ("remote-session", HASH),
        ("remote-auth-time", "1795733572"),
    ];
    let identity = identity.map(ready);
    (StatusCode::NO_CONTENT, identity, common()).into_response()
}

/// Serves until it is killed.
pub fn run() {
    let address = std::env::args()
        .skip_while(|argument| argument != FLAG)
        .nth(1);
    let address: SocketAddr = address.expect("an address").parse().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let router = Router::new()
            .route("/api/auth/logout", post(logout))
            .route("/api/auth/check", get(check));
        axum::serve(listener, router).await.unwrap();
    });
}
