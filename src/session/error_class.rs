//! What failed in a store, in one word for logs and metrics.
//!
//! Every store declares an enum of its own classes, so that all of them are known beforehand.

/// What failed. Its word is the value of a metric's label, so it never changes.
pub trait ErrorClass {
    /// The word: lower case, such as `readonly`.
    fn word(self) -> &'static str;
}

/// Declares an enum of error classes, each with its word. A doc comment is what the README says of
/// the class.
macro_rules! error_classes {
    (
        $(#[$attribute:meta])*
        $visibility:vis enum $name:ident {
            $($(#[doc = $text:literal])? $class:ident = $word:literal,)*
        }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $visibility enum $name {
            $($(#[doc = $text])? $class,)*
        }

        impl $name {
            /// All of them: word and doc comment.
            $visibility const ALL: &'static [(&'static str, &'static str)] =
                &[$(($word, concat!($($text)?)),)*];

            /// Its word.
            $visibility const fn word(self) -> &'static str {
                match self {
                    $(Self::$class => $word,)*
                }
            }
        }

        impl $crate::session::ErrorClass for $name {
            fn word(self) -> &'static str {
                Self::word(self)
            }
        }
    };
}

pub(crate) use error_classes;

error_classes! {
    /// The classes of every store.
    pub enum CommonClass {
        /// A call took longer than it may.
        Timeout = "timeout",
        /// Too much waits for the store already.
        Overloaded = "overloaded",
        /// The store has no room for another session.
        Full = "max_sessions",
    }
}
