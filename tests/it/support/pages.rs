//! A web app of which only two pages exist: `/`, and `/login`, which passes on the cookie that the
//! service issued. Serves the README's JavaScript client too.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use serde_json::json;

use super::Service;
use super::server::TestServer;

const LOGOUT_MJS: &str = include_str!("../../clients/logout.mjs");

/// Running pages, on `localhost` and all names below it; they end with the test.
pub struct Pages {
    server: TestServer,
    set_cookie: Arc<Mutex<String>>,
}

impl Pages {
    pub fn start() -> Self {
        let set_cookie: Arc<Mutex<String>> = Arc::default();
        let current = Arc::clone(&set_cookie);
        let server = TestServer::start(move |request| {
            let answer = http::Response::builder();
            let answer = match request.uri().path() {
                "/login" => {
                    let cookie = current.lock().unwrap().clone();
                    let answer = answer.header("content-type", "text/html");
                    answer.header("set-cookie", cookie).body(Body::empty())
                }
                "/logout.mjs" => answer
                    .header("content-type", "text/javascript")
                    .body(Body::from(LOGOUT_MJS)),
                _ => answer
                    .header("content-type", "text/html")
                    .body(Body::empty()),
            };
            std::future::ready(answer.unwrap())
        });
        Self { server, set_cookie }
    }

    /// The origin of these pages under a name that resolves to this machine.
    pub fn origin(&self, host: &str) -> String {
        format!("http://{host}:{}", self.server.address.port())
    }

    /// From now on `/login` logs its caller in; the session's token.
    pub fn log_in_at(&self, service: &Service) -> String {
        let issued = service.issue_as(&json!({ "user": "42" }));
        issued["setCookie"]
            .as_str()
            .unwrap()
            .clone_into(&mut self.set_cookie.lock().unwrap());
        issued["token"].as_str().unwrap().to_owned()
    }
}
