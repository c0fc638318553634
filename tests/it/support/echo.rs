//! The app behind a proxy: answers every request with what it was asked, as JSON.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::{Body, to_bytes};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::Answer;

/// A running app; ends with the test.
pub struct EchoApp {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    _runtime: Runtime,
}

impl EchoApp {
    pub fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let app = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            requests: Arc::default(),
            _runtime: runtime,
        };
        let (connections, requests) = (Arc::clone(&app.connections), Arc::clone(&app.requests));
        app._runtime.spawn(async move {
            while let Ok((stream, _peer)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                let requests = Arc::clone(&requests);
                let service = service_fn(move |request| {
                    requests.fetch_add(1, Ordering::SeqCst);
                    echo(request)
                });
                let stream = TokioIo::new(stream);
                tokio::spawn(http1::Builder::new().serve_connection(stream, service));
            }
        });
        app
    }

    /// How many connections it has been asked over.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// How many requests have reached it.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

async fn echo(request: http::Request<Incoming>) -> Result<http::Response<Body>, Infallible> {
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
    Ok(answer.body(Body::from(seen.to_string())).unwrap())
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

    /// All values of a header; names are compared as a CGI-like app would, where `-` is `_`.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let headers = self.0["headers"].as_array().unwrap().iter();
        headers
            .filter(|header| header[0].as_str().unwrap().replace('_', "-") == name)
            .map(|header| header[1].as_str().unwrap())
            .collect()
    }
}
