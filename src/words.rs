//! Enums whose values have a word each, for logs and for the labels of metrics.

/// Declares such an enum. Its words never change: somebody's dashboard knows them.
/// `enum Name: ErrorClass` is one of the classes of a store.
macro_rules! words {
    (
        $(#[$attribute:meta])*
        $visibility:vis enum $name:ident $(: $class:ident)? {
            $($(#[doc = $text:literal])* $variant:ident = $word:literal,)*
        }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $visibility enum $name {
            $($(#[doc = $text])* $variant,)*
        }

        impl $name {
            /// The words in the order of the enum, each with what is said of it there.
            $visibility const ALL: [(&'static str, &'static str); [$($word),*].len()] =
                [$(($word, concat!($($text),*)),)*];

            /// The word.
            #[must_use]
            $visibility const fn word(self) -> &'static str {
                Self::ALL[self as usize].0
            }
        }

        $(impl $class for $name {
            fn word(self) -> &'static str {
                Self::word(self)
            }
        })?
    };
}
