//! What a person who starts the service in a terminal is shown: where it is, and three commands
//! to paste. Scripts and containers never see it.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path;

use crate::config::{Config, reachable};
use crate::telemetry::LogFormat;

/// Shows it if a person looks at stderr: it is a terminal, and nobody asked for JSON on it.
pub(super) fn show(config: &Config, public: SocketAddr, admin: SocketAddr) {
    if config.log_format == LogFormat::Json || !io::stderr().is_terminal() {
        return;
    }
    let token = config.admin_tokens.first();
    let token = token.map(|_| token_in_shell(config.admin_token_file.as_deref()));
    let text = text(public, admin, &config.cookie.name, token.as_deref());
    // A terminal that is gone is no reason not to run.
    let _ = io::stderr().write_all(text.as_bytes());
}

/// How a shell comes by the admin token; the token itself is never shown.
fn token_in_shell(file: Option<&str>) -> String {
    let Some(file) = file else {
        // The other terminal may not have it, and says so then.
        return "${NEPTUN_AUTH_ADMIN_TOKEN:?is not set in this terminal}".to_owned();
    };
    let absolute = path::absolute(file).ok();
    let absolute = absolute.as_deref().and_then(path::Path::to_str);
    format!("$(grep -m1 . {})", quoted(absolute.unwrap_or(file)))
}

fn text(public: SocketAddr, admin: SocketAddr, cookie: &str, token: Option<&str>) -> String {
    let (public, admin) = (reachable(public), reachable(admin));
    let mut text = format!(
        "\n  public  http://{public}  logout and check\n  \
         admin   http://{admin}  sessions, health and metrics; never route it to the public\n\n"
    );
    if let Some(token) = token {
        let issue = quoted(&format!("{admin}/admin/sessions"));
        let logout = quoted(&format!("{public}/api/auth/logout"));
        let logout = format!(
            "  curl -X POST {logout} -b {}=\"$token\" -w '\\n'\n",
            quoted(cookie)
        );
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "  Try it in another terminal: issue a session, log it out (true), and again (false).\n\n  \
             token=$(curl -sS {issue} -H \"authorization: Bearer {token}\" \
             -H 'content-type: application/json' -d '{{\"user\":\"42\"}}' \
             | sed 's/.*\"token\":\"\\([^\"]*\\).*/\\1/')\n{logout}{logout}\n"
        );
    }
    text
}

/// A word that no shell reads anything into.
fn quoted(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/.:_-".contains(&byte);
    if text.bytes().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_would_read_something_into_is_quoted() {
        let public = "[::]:8080".parse().unwrap();
        let admin = "0.0.0.0:8081".parse().unwrap();
        let text = text(public, admin, "we$ird'", Some("$(cat x)"));
        assert!(text.contains("  public  http://[::1]:8080  "), "{text}");
        assert!(text.contains(" 127.0.0.1:8081/admin/sessions "), "{text}");
        assert!(text.contains(" '[::1]:8080/api/auth/logout' "), "{text}");
        assert!(text.contains(r#" -b 'we$ird'\'''="$token" "#), "{text}");
        assert_eq!(token_in_shell(Some("/a b")), "$(grep -m1 . '/a b')");
    }

    #[test]
    fn without_an_admin_token_there_is_nothing_to_paste() {
        let address = "127.0.0.1:8080".parse().unwrap();
        assert!(!text(address, address, "neptun-session", None).contains("curl"));
    }
}
