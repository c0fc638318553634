//! The last pass over the document: what is true of every route of a listener, so that no handler
//! has to say it, and every error written down once.
//!
//! Works on the finished JSON, because a header that is always there (`required`) is more than
//! utoipa's types can say.

use std::net::SocketAddr;

use axum::http::StatusCode;
use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

/// A listener, as the document knows it.
pub(super) struct Listener {
    name: &'static str,
    server: Value,
    /// The headers of every answer.
    headers: &'static [&'static str],
}

impl Listener {
    /// The public one, at this address.
    pub(super) fn public(address: SocketAddr) -> Self {
        let server =
            json!({ "url": format!("http://{address}"), "description": "Public listener" });
        Self {
            name: "Public",
            server,
            headers: &[
                "X-Request-Id",
                "Cache-Control",
                "X-Content-Type-Options",
                "Vary",
                "Access-Control-Allow-Origin",
                "Access-Control-Allow-Credentials",
                "Access-Control-Expose-Headers",
            ],
        }
    }

    /// The admin one, from which the document comes.
    pub(super) fn admin() -> Self {
        Self {
            name: "Admin",
            server: json!({ "url": "/", "description": "Admin listener" }),
            headers: &["X-Request-Id", "Cache-Control", "X-Content-Type-Options"],
        }
    }
}

/// A document in the making.
pub(super) struct Finish<'a> {
    document: Value,
    clearing: &'a str,
}

impl<'a> Finish<'a> {
    /// A document without routes yet. `clearing` is the cookie that clears.
    pub(super) fn new(service: &OpenApi, clearing: &'a str) -> Self {
        let mut document = json!(service);
        document["components"]["headers"] = common_headers();
        Self { document, clearing }
    }

    /// Adds the routes of a listener.
    pub(super) fn add(&mut self, routes: &OpenApi, listener: &Listener) {
        for (path, mut item) in members(json!(routes.paths)) {
            let operations = item.as_object_mut().into_iter().flatten();
            for (method, operation) in operations {
                self.operation(operation, method == "head", listener);
            }
            item["servers"] = json!([listener.server]);
            self.document["paths"][path] = item;
        }
    }

    fn operation(&mut self, operation: &mut Value, is_head: bool, listener: &Listener) {
        if is_head {
            let name = operation["operationId"].as_str().unwrap_or_default();
            operation["operationId"] = format!("{name}Head").into();
        }
        for (status, response) in members(operation["responses"].take()) {
            let is_error = status.as_str() >= "400";
            let response = self.response(response, is_head, listener);
            let shared = if is_error && !is_head {
                let names = [
                    listener.name,
                    operation["operationId"].as_str().unwrap_or_default(),
                ];
                self.share(&status, response, names)
            } else {
                response
            };
            operation["responses"][status] = shared;
        }
    }

    fn response(&self, mut response: Value, is_head: bool, listener: &Listener) -> Value {
        if let Some(response) = response.as_object_mut().filter(|_| is_head) {
            response.remove("content");
        }
        for (name, header) in response["headers"].as_object_mut().into_iter().flatten() {
            // Whether the connection closes is between two neighbours and depends on why.
            header["required"] = (name != "Connection").into();
            if name == "Set-Cookie" {
                header["example"] = self.clearing.into();
            }
        }
        for name in listener.headers {
            let reference = format!("#/components/headers/{name}");
            response["headers"][*name] = json!({ "$ref": reference });
        }
        response
    }

    /// Puts an error among the components: one that is the same all over a listener under the
    /// listener's name, one that says more under the operation's.
    fn share(&mut self, status: &str, response: Value, [listener, operation]: [&str; 2]) -> Value {
        let examples = response.pointer("/content/application~1json/examples");
        let Some(examples) = examples.and_then(Value::as_object) else {
            return response;
        };
        let owner = if examples.len() == 1 {
            listener
        } else {
            operation
        };
        let reason = StatusCode::from_bytes(status.as_bytes()).ok();
        let reason = reason
            .and_then(|status| status.canonical_reason())
            .unwrap_or(status);
        let mut name = format!("{owner}.{}", reason.replace(' ', ""));
        let responses = &mut self.document["components"]["responses"];
        if responses.get(&name).is_some_and(|known| *known != response) {
            name = format!("{operation}.{name}");
        }
        let reference = format!("#/components/responses/{name}");
        responses[name] = response;
        json!({ "$ref": reference })
    }

    /// The document.
    pub(super) fn into_json(self) -> Value {
        self.document
    }
}

fn members(object: Value) -> Map<String, Value> {
    match object {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

fn common_headers() -> Value {
    let always = |description, schema, example: &str| json!({ "description": description, "schema": schema, "example": example, "required": true });
    let shared = |description, schema, example: &str| json!({ "description": description, "schema": schema, "example": example });
    let text = json!({ "type": "string" });
    let only = |value: &str| json!({ "type": "string", "const": value });
    let of_id = json!({ "type": "string", "pattern": "^[!-~]{1,128}$" });
    json!({
        "X-Request-Id": always(
            "The caller's own, if it sent a sane one; the same as in the log",
            of_id,
            "ec762f561265c3710000000000000005",
        ),
        "Cache-Control": always("Nothing is ever cached", only("no-store"), "no-store"),
        "X-Content-Type-Options": always("The type is as said", only("nosniff"), "nosniff"),
        "Vary": always("On the public listener: what the answer depends on", text.clone(), "Origin, Cookie"),
        "Access-Control-Allow-Origin": shared(
            "To a page of one of the `allowed-origins`: its origin, never `*`",
            text.clone(),
            "https://app.example.com",
        ),
        "Access-Control-Allow-Credentials": shared(
            "To such a page: that cookies may be sent",
            only("true"),
            "true",
        ),
        "Access-Control-Expose-Headers": shared(
            "To such a page: what it may read",
            text,
            "x-request-id",
        ),
    })
}
