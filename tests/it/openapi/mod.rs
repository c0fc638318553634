//! The `OpenAPI` document: valid, true of both listeners, and readable as a page.

mod document;
mod page;
mod schemathesis;

use crate::support::service::binary;
use crate::support::{ADMIN_TOKEN, Ask, Service};

/// With a sealed password, for the route that exists only with one.
fn service() -> Service {
    let mut command = binary();
    command.args(["--admin-token", ADMIN_TOKEN]);
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

/// A file for what a test writes.
fn scratch(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}
