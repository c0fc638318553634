//! What failed in a store, in one word for logs and metrics.

/// One of the classes of a store, each of which declares an enum of its own with `words!`.
pub trait ErrorClass {
    /// The word: lower case, such as `readonly`.
    fn word(self) -> &'static str;
}

words! {
    /// The classes of every store.
    pub enum CommonClass: ErrorClass {
        /// A call took longer than it may.
        Timeout = "timeout",
        /// Too much waits for the store already.
        Overloaded = "overloaded",
        /// The store has no room for another session.
        Full = "max_sessions",
    }
}
