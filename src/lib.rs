//! neptun-auth: a standalone HTTP service that ends sessions, truthfully.
//!
//! # The way of one logout
//!
//! ```text
//! server::accept      serves a connection within the limit, answers 503 to one over it
//! server::connection  hyper reads the request; its deadlines are watched beside it
//! http::edge          request id, count, common headers; behind CORS: Host, target, deadline, panics
//! http::origin        CORS: which pages may read the answer; CSRF: 403 to a page of a foreign origin
//! http::middleware    the cookie's values become SessionTokens; 401 without one
//! http::dispatch      picks the handler; what is asked less often goes through axum's router
//! http::logout        the handler: POST /api/auth/logout
//! task::to_the_end    what has to be waited for: a client that hangs up changes nothing
//! SessionManager::revoke        tokens become ids; one audit line for each session ended
//! store::Instrumented           counts the call
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
//! main      -> server, cli, config, telemetry, http
//! server    -> config, telemetry, http, store, metrics, session, task, rate_limit
//! config    -> telemetry, http, store, session: fills their plain settings structs, owns the limits
//! telemetry -> rate_limit; owns how log lines look
//! http      -> metrics, session, task, deadline, rate_limit
//! store     -> metrics, session, deadline, rate_limit
//! metrics   -> session, which it observes
//! session   -> task, deadline, rate_limit
//! task      -> rate_limit
//! cli       -> config
//! deadline, rate_limit, words -> nothing of ours
//! ```
//!
//! No arrow leads back, between modules or between the files of one. `http` and `store` never name
//! each other, and only `store::open` knows which backends there are. `tests/it/modules.rs` keeps
//! the rule.
//!
//! # What always holds
//!
//! - `true` is said only after the store confirmed the removal, and to exactly one caller.
//! - A store that does not know is a 500 or 503, never a "no".
//! - No token is stored, logged or compared; below `http` a session is its digest.

#[macro_use]
mod words;

pub mod cli;
pub mod config;
mod deadline;
pub mod http;
pub mod metrics;
mod rate_limit;
pub mod server;
pub mod session;
pub mod store;
mod task;
pub mod telemetry;
