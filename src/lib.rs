//! neptun-auth: a standalone HTTP service that ends sessions, truthfully.
//!
//! # The way of one logout
//!
//! ```text
//! server::accept      a connection is taken in, or told 503 at the cap
//! server::connection  hyper reads the request; the watch keeps its deadlines
//! http::edge          request id, Host and target, deadline, panics; on the way back the common headers
//! http::origin        a page of a foreign origin: 403
//! http::middleware    the cookie's values become SessionTokens in the request; 401 without one
//! http::logout        the handler: POST /api/auth/logout
//! task::to_the_end    from here on, a client that hangs up changes nothing
//! SessionManager::revoke        tokens become ids; one audit line for each session ended
//! SessionStore::delete          atomic; hands back what it removed, to exactly one caller
//! ```
//!
//! and back: whether any was live becomes `true` or `false` with the clearing cookie; a
//! [`StoreError`](session::StoreError) becomes the 500 in `http::error`, logged once, and the
//! client keeps its cookie.
//!
//! What every route answers is written down in `http/openapi.json`, which is served as a document
//! and a page.
//!
//! # Who may know whom
//!
//! ```text
//! main     -> server, config, telemetry, http, healthcheck
//! server   -> config, telemetry, http, store, session, metrics, rate_limit, task
//! config   -> the plain settings structs of server, http, store, session
//! http     -> session, metrics, deadline, rate_limit, task
//! store    -> session, metrics, deadline, rate_limit
//! session  -> deadline, rate_limit, task
//! task     -> rate_limit
//! metrics  -> session
//! deadline, rate_limit, words, healthcheck -> nothing of ours
//! telemetry -> how the config says that log lines look, the session's clock, rate_limit
//! ```
//!
//! `http` and `store` never name each other, and only `store::open` knows which backends there
//! are. `tests/it/modules.rs` keeps the rule.
//!
//! # What always holds
//!
//! - `true` is said only after the store confirmed the removal, and to exactly one caller.
//! - A store that does not know is a 500 or 503, never a "no".
//! - No token is stored, logged or compared; below `http` a session is its digest.

#[macro_use]
mod words;

pub mod config;
mod deadline;
pub mod healthcheck;
pub mod http;
pub mod metrics;
mod rate_limit;
pub mod server;
pub mod session;
pub mod store;
mod task;
pub mod telemetry;
