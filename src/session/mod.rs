//! The domain: tokens, sessions, their lifetimes and the contract of a store.
//!
//! Knows neither HTTP nor any particular store nor the configuration.

mod audit;
mod clock;
mod credential;
mod error_class;
mod list;
mod manager;
mod not_before;
mod record;
pub mod sealed;
mod spared;
mod store;
mod token;
mod ttl;
mod watched_clock;

pub use audit::{EndReason, Observer};
pub use clock::{CLOCK_SKEW, Clock, Reading, SystemClock, Timestamp};
pub use credential::Seals;
pub use error_class::{CommonClass, ErrorClass};
pub use list::SessionList;
pub use manager::{
    Identity, IssueError, Issued, Lifetimes, Login, OwnError, SessionManager, Timeouts,
};
pub use not_before::NotBefore;
pub use record::{InvalidLabel, InvalidUser, Label, Moment, SealedSession, Session, User};
pub use spared::{Spared, Trim};
pub use store::{Ended, SessionStore, StoreError, StoreErrorKind};
pub use token::{InvalidSessionId, MAX_TOKEN_BYTES, SessionId, SessionToken};
pub use ttl::{InvalidTtl, Ttl};
pub use watched_clock::WatchedClock;
