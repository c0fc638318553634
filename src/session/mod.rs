//! The domain: tokens, sessions, their lifetimes and the contract of a store.
//!
//! Knows neither HTTP nor any particular store nor the configuration, and depends on nothing
//! else of this crate.

mod clock;
mod credential;
mod list;
mod manager;
mod record;
pub mod sealed;
mod store;
mod token;

pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use credential::Seals;
pub use list::SessionList;
pub use manager::{
    EndReason, IssueError, Lifetimes, Observer, SessionEvent, SessionManager, Vouched,
};
pub use record::{InvalidUser, Moment, SealedSession, Session, User};
pub use store::{SessionStore, StoreError, StoreErrorKind};
pub use token::{HexId, InvalidSessionId, MAX_TOKEN_BYTES, SessionId, SessionToken, put_hex};
