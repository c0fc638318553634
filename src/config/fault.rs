//! What is wrong with settings, and how it is said: a line each, by the setting's name.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt;

use clap::{ArgMatches, Command};

use super::parse::Parsed;

/// What is wrong with one setting, in one line that names it.
#[derive(Debug)]
pub struct InvalidSetting {
    flag: Cow<'static, str>,
    problem: String,
}

impl InvalidSetting {
    pub(super) fn new(flag: impl Into<Cow<'static, str>>, problem: impl Into<String>) -> Self {
        let (flag, problem) = (flag.into(), problem.into());
        Self { flag, problem }
    }
}

impl fmt::Display for InvalidSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { flag, problem } = self;
        match &**flag {
            // Its flag is hidden.
            NUXT => write!(f, "NUXT_SESSION_PASSWORD: {problem}"),
            flag => write!(f, "--{flag} ({}): {problem}", variable_of(flag)),
        }
    }
}

impl std::error::Error for InvalidSetting {}

/// The password that is not this service's own setting.
pub(super) const NUXT: &str = "nuxt-session-password";

/// What every variable of ours begins with.
pub(super) const PREFIX: &str = "NEPTUN_AUTH_";

/// The environment variable of a flag.
#[must_use]
pub fn variable_of(flag: &str) -> String {
    format!("{PREFIX}{}", flag.replace('-', "_").to_uppercase())
}

/// A text as it can be shown on one line, whatever is in it.
#[must_use]
pub fn on_one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\'' | '\\' => line.push(c),
            c => line.extend(c.escape_debug()),
        }
    }
    line
}

/// Collects faults on the way; a setting with a fault has no value.
#[derive(Default)]
pub(super) struct Faults {
    found: Vec<InvalidSetting>,
    /// The settings whose text is broken: whatever else is wrong with them comes from that.
    broken: Vec<String>,
}

impl Faults {
    /// Those of the texts themselves, before anybody reads a meaning into them.
    pub(super) fn of_texts(command: &Command, matches: &ArgMatches) -> Self {
        let mut faults = Self::default();
        for arg in command.get_arguments() {
            let (id, flag) = (arg.get_id().as_str(), arg.get_long().unwrap_or_default());
            let texts = matches.try_get_raw(id).ok().flatten();
            let problem = texts
                .into_iter()
                .flatten()
                .find_map(|text| broken(flag, text));
            if let Some(problem) = problem {
                faults
                    .found
                    .push(InvalidSetting::new(flag.to_owned(), problem));
                faults.broken.push(flag.to_owned());
            }
        }
        faults
    }

    pub(super) fn add(&mut self, flag: &'static str, problem: impl Into<String>) {
        if !self.broken.iter().any(|broken| broken == flag) {
            self.found.push(InvalidSetting::new(flag, problem));
        }
    }

    pub(super) fn check<T>(&mut self, flag: &'static str, parsed: Parsed<T>) -> Option<T> {
        parsed.map_err(|problem| self.add(flag, problem)).ok()
    }

    pub(super) fn into_found(self) -> Vec<InvalidSetting> {
        self.found
    }
}

/// What is wrong with the text of any setting. Says nothing of what is in it, which may be secret.
fn broken(flag: &str, text: &OsStr) -> Option<&'static str> {
    let Some(text) = text.to_str() else {
        return Some("is not UTF-8 text");
    };
    // Nitro takes that password as it is, line break and all.
    let ends_the_line = text.ends_with(['\r', '\n']) && flag != NUXT;
    ends_the_line
        .then_some("ends with a line break, which is no part of it: take the CR or LF away")
}
