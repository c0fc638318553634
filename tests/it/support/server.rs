//! A small HTTP server that a test fills in: an app, web pages, a login backend.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// A running server; ends with the test.
pub struct TestServer {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    _runtime: Runtime,
}

impl TestServer {
    pub fn start<H, F>(handler: H) -> Self
    where
        H: Fn(http::Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = http::Response<Body>> + Send + 'static,
    {
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let connections: Arc<AtomicUsize> = Arc::default();
        let requests: Arc<AtomicUsize> = Arc::default();
        let (taken_in, asked) = (Arc::clone(&connections), Arc::clone(&requests));
        runtime.spawn(async move {
            while let Ok((stream, _peer)) = listener.accept().await {
                taken_in.fetch_add(1, Ordering::SeqCst);
                let (handler, asked) = (handler.clone(), Arc::clone(&asked));
                let service = service_fn(move |request| {
                    asked.fetch_add(1, Ordering::SeqCst);
                    let answer = handler(request);
                    async { Ok::<_, Infallible>(answer.await) }
                });
                let stream = TokioIo::new(stream);
                tokio::spawn(http1::Builder::new().serve_connection(stream, service));
            }
        });
        Self {
            address,
            connections,
            requests,
            _runtime: runtime,
        }
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
