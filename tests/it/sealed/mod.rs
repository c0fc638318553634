//! Sealed cookies: the opener by itself, and the service that revokes what it opens.

mod edges;
mod javascript;
mod malformed;
pub mod mint;
mod password;
mod properties;
mod service;
mod vectors;
mod warnings;

use neptun_auth::session::{Clock as _, SystemClock};
use serde_json::{Value, json};

/// The web app's.
pub const PASSWORD: &str = "the-web-apps-own-session-password";

pub fn now_ms() -> i64 {
    SystemClock.now().as_millis()
}

/// A payload of h3's shape.
pub fn payload(id: &str, user: &Value, created_at: i64) -> String {
    json!({ "id": id, "createdAt": created_at, "data": { "user": user } }).to_string()
}

/// The seal of a payload.
pub fn seal_of(payload: &str) -> String {
    mint::seal(PASSWORD, payload, None)
}

/// The seal of a session that began now.
pub fn sealed(id: &str, user: impl Into<Value>) -> String {
    seal_of(&payload(id, &json!({ "id": user.into() }), now_ms()))
}
