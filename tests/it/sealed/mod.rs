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
use serde_json::json;

/// The seal of a session that began now.
pub fn fresh_seal(password: &str, id: &str, user: &str) -> String {
    let now = SystemClock.now().as_millis();
    let payload = json!({ "id": id, "createdAt": now, "data": { "user": { "id": user } } });
    mint::seal(password, &payload.to_string(), None)
}
