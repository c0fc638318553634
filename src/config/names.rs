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
        (ErrorKind::UnknownArgument, Some(flag)) => unknown_flag(command, flag),
        (ErrorKind::ArgumentConflict, _) if other_than(said, error).is_some() => {
            let other = other_than(said, error).unwrap_or_default();
            format!("{said}: not together with {other}")
        }
        (ErrorKind::ArgumentConflict, Some(flag)) => wrong(command, flag, "given twice"),
        (ErrorKind::InvalidValue, Some(flag)) => wrong(command, flag, "a value is missing"),
        (ErrorKind::MissingRequiredArgument, _) => {
            let lacking = match error.get(ContextKind::InvalidArg) {
                Some(ContextValue::Strings(lacking)) => lacking.join(" "),
                _ => String::new(),
            };
            format!("{lacking} is missing")
        }
        (ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand, None) => {
            let commands = commands(command, "").join(", ");
            format!("{said}: neither a flag nor a command; commands: {commands}")
        }
        _ => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            line.trim_start_matches("error: ").to_owned()
        }
    }
}

/// The other of two that exclude each other.
fn other_than<'a>(said: &str, error: &'a Error) -> Option<&'a str> {
    match error.get(ContextKind::PriorArg)? {
        ContextValue::String(other) if other != said => Some(other),
        _ => None,
    }
}

fn is_setting(command: &Command, flag: &str) -> bool {
    let is_it = |arg: &clap::Arg| arg.get_long() == Some(flag);
    command.get_arguments().any(is_it)
}

/// What is wrong with a flag; one that belongs to a command has no variable.
fn wrong(command: &Command, flag: &str, problem: &str) -> String {
    if is_setting(command, flag) {
        InvalidSetting::new(flag.to_owned(), problem).to_string()
    } else {
        format!("--{flag}: {problem}")
    }
}

fn unknown_flag(command: &Command, flag: &str) -> String {
    if is_setting(command, flag) {
        return format!("--{flag}: give it before the command");
    }
    match nearest(&with_all_flags(command), flag) {
        nearest if nearest == flag => format!("--{flag}: give it after its command"),
        nearest => format!("--{flag}: no such flag; the nearest is --{nearest}"),
    }
}

/// The same with the flags of all commands below.
fn with_all_flags(command: &Command) -> Command {
    let below = command.get_subcommands().flat_map(|below| {
        let all = with_all_flags(below);
        all.get_arguments().cloned().collect::<Vec<_>>()
    });
    command.clone().args(below)
}

/// Every command in full: `sessions list`.
fn commands(command: &Command, above: &str) -> Vec<String> {
    let below = command.get_subcommands().flat_map(|below| {
        let name = format!("{above}{}", below.get_name());
        match commands(below, &format!("{name} ")) {
            leaves if leaves.is_empty() => vec![name],
            leaves => leaves,
        }
    });
    below.collect()
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
