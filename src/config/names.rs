//! The names of the settings: which flags and variables there are, and which of them was meant.

use std::env;
use std::ffi::OsStr;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, Error};

use super::fault::{InvalidSetting, PREFIX, on_one_line, variable_of};

/// What is wrong with how the command line is put together, in one line.
pub(super) fn misuse(command: &Command, error: &Error) -> String {
    let kinds = [ContextKind::InvalidArg, ContextKind::InvalidSubcommand];
    let said = kinds.iter().find_map(|kind| match error.get(*kind) {
        Some(ContextValue::String(said)) => Some(said.as_str()),
        _ => None,
    });
    let said = said.unwrap_or_default();
    // A flag comes with what its value is to be: `--listen <HOST:PORT>`.
    let word = said.split(' ').next().unwrap_or_default();
    match (error.kind(), word.strip_prefix("--")) {
        (ErrorKind::UnknownArgument, Some(flag)) => match nearest(command, flag) {
            nearest if nearest == flag => format!("--{flag}: give it before the command"),
            nearest => format!("--{flag}: no such flag; the nearest is --{nearest}"),
        },
        (ErrorKind::ArgumentConflict, Some(flag)) => {
            InvalidSetting::new(flag.to_owned(), "given twice").to_string()
        }
        (ErrorKind::InvalidValue, Some(flag)) => {
            InvalidSetting::new(flag.to_owned(), "a value is missing").to_string()
        }
        (ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand, None) => {
            let commands = command.get_subcommands().map(Command::get_name);
            let commands = commands.collect::<Vec<_>>().join(", ");
            format!("{said}: neither a flag nor a command; commands: {commands}")
        }
        _ => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            line.trim_start_matches("error: ").to_owned()
        }
    }
}

/// A warning for each variable in the environment that looks like a setting and is none.
pub(super) fn unknown_variables(command: &Command) -> Vec<String> {
    let mut warnings = Vec::new();
    for (name, value) in env::vars_os() {
        let name = name.to_string_lossy();
        let Some(rest) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let is_known = |arg: &clap::Arg| arg.get_env().is_some_and(|known| known == &*name);
        if command.get_arguments().any(is_known) || is_of_kubernetes(rest, &value) {
            continue;
        }
        let nearest = variable_of(nearest(command, &rest.replace('_', "-").to_lowercase()));
        let name = on_one_line(&name);
        warnings.push(format!("{name} is no setting; the nearest is {nearest}"));
    }
    warnings.sort();
    warnings
}

/// Whether Kubernetes makes this variable for a Service called `neptun-auth`, or for one whose
/// name begins so.
fn is_of_kubernetes(rest: &str, value: &OsStr) -> bool {
    let rest = format!("_{rest}_");
    let is_number = |after: &str| after.starts_with(|c: char| c.is_ascii_digit());
    rest.starts_with("_PORT_")
        || rest.ends_with("_SERVICE_HOST_")
        || rest.contains("_SERVICE_PORT_")
        || rest.split("_PORT_").skip(1).any(is_number)
        || (rest.ends_with("_PORT_") && value.to_string_lossy().contains("://"))
}

/// The flag that was most likely meant.
fn nearest<'a>(command: &'a Command, flag: &str) -> &'a str {
    let flags = command.get_arguments().filter(|arg| !arg.is_hide_set());
    let flags = flags.filter_map(clap::Arg::get_long);
    let likeness = |known: &str| strsim::normalized_damerau_levenshtein(known, flag);
    flags
        .max_by(|one, other| likeness(one).total_cmp(&likeness(other)))
        .unwrap_or_default()
}
