//! The app behind a proxy: answers every request with what it was asked, as JSON.

use std::ops::Deref;

use axum::body::{Body, to_bytes};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::Answer;
use super::server::TestServer;

/// A running app; ends with the test.
pub struct EchoApp(TestServer);

impl EchoApp {
    pub fn start() -> Self {
        Self(TestServer::start(echo))
    }
}

impl Deref for EchoApp {
    type Target = TestServer;

    fn deref(&self) -> &TestServer {
        &self.0
    }
}

async fn echo(request: http::Request<Incoming>) -> http::Response<Body> {
    let (head, body) = request.into_parts();
    let body = to_bytes(Body::new(body), usize::MAX).await.unwrap();
    let headers = head.headers.iter();
    let headers: Vec<Value> = headers
        .map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]))
        .collect();
    let seen = json!({
        "method": head.method.as_str(),
        "target": head.uri.to_string(),
        "headers": headers,
        "body": String::from_utf8_lossy(&body),
    });
    let answer = http::Response::builder().header("content-type", "application/json");
    answer.body(Body::from(seen.to_string())).unwrap()
}

/// A request as the app saw it.
#[derive(Debug)]
pub struct Seen(Value);

impl Seen {
    /// From the app's answer, through whichever proxy.
    pub fn by_app(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{answer:?}");
        Self(answer.json())
    }

    pub fn method(&self) -> &str {
        self.0["method"].as_str().unwrap()
    }

    pub fn target(&self) -> &str {
        self.0["target"].as_str().unwrap()
    }

    pub fn body(&self) -> &str {
        self.0["body"].as_str().unwrap()
    }

    /// Whether any header's name or value has `text` in it.
    pub fn has(&self, text: &str) -> bool {
        self.0["headers"].to_string().contains(text)
    }

    /// All values of a header; names are compared as CGI-like apps and PHP would, where `-`, `.` and
    /// `_` are one.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let headers = self.0["headers"].as_array().unwrap().iter();
        headers
            .filter(|header| header[0].as_str().unwrap().replace(['_', '.'], "-") == name)
            .map(|header| header[1].as_str().unwrap())
            .collect()
    }
}
