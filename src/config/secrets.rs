//! Secrets: where they are read from, and which tokens are good enough.

use std::fs::File;
use std::io::{ErrorKind, Read as _};

use clap::ArgMatches;
use clap::parser::ValueSource;
use secrecy::{ExposeSecret as _, SecretString};

use super::Flags;
use super::fault::Faults;
use super::parse::Parsed;

/// How much of a file of secrets is read, in bytes.
const MOST: u64 = 64 * 1024;

const TOKEN_NEEDED: &str = "at least 16 visible ASCII characters are needed, such as those that \
                            `openssl rand -hex 32` prints";

impl Flags {
    /// The tokens of the admin routes, any of which is right; none if none is configured.
    pub(super) fn admin_tokens(
        &self,
        faults: &mut Faults,
        matches: &ArgMatches,
    ) -> Vec<SecretString> {
        let is_flag = |id| matches.value_source(id) == Some(ValueSource::CommandLine);
        let mut given = (self.admin_token.as_ref(), self.admin_token_file.as_ref());
        // A flag wins over a variable, also over that of the other form.
        match (is_flag("admin_token"), is_flag("admin_token_file")) {
            (true, false) => given.1 = None,
            (false, true) => given.0 = None,
            _ => {}
        }
        match given {
            (None, None) => Vec::new(),
            (Some(_), Some(_)) => {
                faults.add(
                    "admin-token",
                    "given twice, by value and by file; give the file alone",
                );
                Vec::new()
            }
            (Some(token), None) => {
                let token = SecretString::from(token.as_str());
                let token = is_a_token(&token).then_some(token);
                let token = token.ok_or_else(|| TOKEN_NEEDED.to_owned());
                faults.check("admin-token", token).into_iter().collect()
            }
            (None, Some(path)) => {
                let tokens = faults.check("admin-token-file", tokens_of_file(path));
                tokens.unwrap_or_default()
            }
        }
    }

    /// The tokens of those who may only look, none of which may do more.
    pub(super) fn reader_tokens(
        &self,
        faults: &mut Faults,
        admin_tokens: &[SecretString],
    ) -> Vec<SecretString> {
        let tokens = self.reader_token_file.as_deref().map(tokens_of_file);
        let tokens = faults.check("reader-token-file", tokens.transpose());
        let tokens = tokens.flatten().unwrap_or_default();
        let text = SecretString::expose_secret;
        let is_admin = |token| admin_tokens.iter().any(|admin| text(admin) == text(token));
        if let Some(position) = tokens.iter().position(is_admin) {
            let problem = format!("token {} is an admin token too", position + 1);
            faults.add("reader-token-file", problem);
        }
        tokens
    }
}

fn is_a_token(token: &SecretString) -> bool {
    let text = token.expose_secret();
    text.len() >= 16 && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn tokens_of_file(path: &str) -> Parsed<Vec<SecretString>> {
    let tokens = of_file(path)?;
    match tokens.iter().position(|token| !is_a_token(token)) {
        None if !tokens.is_empty() => Ok(tokens),
        Some(position) if tokens.len() > 1 => {
            Err(format!("token {} of {path}: {TOKEN_NEEDED}", position + 1))
        }
        _ => Err(TOKEN_NEEDED.to_owned()),
    }
}

/// The secrets in a file, one a line. The line breaks, and the byte-order mark that some editors
/// begin a file with, are no part of them.
pub(super) fn of_file(path: &str) -> Parsed<Vec<SecretString>> {
    let mut text = String::new();
    // It may be a pipe, which has no size to ask for.
    let read = File::open(path).and_then(|file| file.take(MOST).read_to_string(&mut text));
    read.map_err(|error| {
        let advice = match error.kind() {
            ErrorKind::NotFound => "give the path of an existing file",
            ErrorKind::PermissionDenied => "let the user that runs this service read it",
            ErrorKind::InvalidData => "a secret is text on a line of its own",
            _ => "give the path of a text file",
        };
        format!("cannot read {path}: {error}; {advice}")
    })?;
    if text.len() as u64 == MOST {
        return Err(format!(
            "{path} is larger than any file of secrets: name the right one"
        ));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let lines = text.split(['\r', '\n']).filter(|line| !line.is_empty());
    Ok(lines.map(SecretString::from).collect())
}
