//! What the binary does besides serving: it asks the service that runs, over its admin listener.
//!
//! For whoever operates it, also in containers that have neither a shell nor curl. These commands
//! take from the settings where the listener is and what lets them in, and nothing else.

mod healthcheck;
mod request;
mod sessions;
mod table;

pub use healthcheck::healthcheck;
pub use sessions::sessions;

/// What a command that asked the service came to; its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done, and that is certain.
    Done = 0,
    /// The service refused, did not answer, or could not confirm it.
    Failed = 1,
    /// Nobody could do what was asked for.
    WrongUse = 2,
    /// There was no such session.
    None = 3,
}

/// What to say of it on stderr, if there is anything, and what it came to.
#[derive(Debug)]
pub struct Report {
    /// A line for people.
    pub said: Option<String>,
    /// The exit code.
    pub outcome: Outcome,
}

impl Report {
    fn failed(problem: &dyn std::fmt::Display) -> Self {
        Self::of(Outcome::Failed, problem.to_string())
    }

    const fn of(outcome: Outcome, said: String) -> Self {
        let said = Some(said);
        Self { said, outcome }
    }

    const fn done() -> Self {
        let (said, outcome) = (None, Outcome::Done);
        Self { said, outcome }
    }
}
