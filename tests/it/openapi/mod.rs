//! The `OpenAPI` document: valid, true of both listeners, and readable as a page.

mod document;
mod page;
mod schemathesis;

use crate::support::service::binary_with_token;
use crate::support::{Ask, Service};

/// With a sealed password, for the route that exists only with one.
fn service() -> Service {
    let mut command = binary_with_token();
    command.env(
        "NUXT_SESSION_PASSWORD",
        "a-password-of-at-least-32-characters",
    );
    Service::spawn(command)
}

fn document_of(service: &Service) -> serde_json::Value {
    let answer = Ask::get("/openapi.json").send(service.admin);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}
