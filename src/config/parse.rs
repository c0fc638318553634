//! One setting's text to its value, with an error that says what would be right.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use tower_cookies::cookie::SameSite;
use tracing_subscriber::filter::{LevelFilter, Targets};

use crate::http::{InvalidOrigin, Origin};
use crate::session::{InvalidTtl, Timestamp, Ttl};
use crate::telemetry::LogFormat;

/// A value, or the end of the sentence "--flag: …".
pub(super) type Parsed<T> = Result<T, String>;

pub(super) fn address(text: &str) -> Parsed<SocketAddr> {
    // There is at least one.
    addresses(text).map(|all| all[0])
}

/// All that a name stands for.
pub(super) fn addresses(text: &str) -> Parsed<Vec<SocketAddr>> {
    let resolved = text.to_socket_addrs().ok().map(Vec::from_iter);
    resolved
        .filter(|all| !all.is_empty())
        .ok_or_else(|| format!("`{text}` is not an address such as 127.0.0.1:8080"))
}

/// Whether nobody but this machine reaches the admin listener, of which no token keeps them.
pub(super) fn guarded(address: SocketAddr) -> Parsed<()> {
    let is_guarded = address.ip().to_canonical().is_loopback();
    is_guarded.then_some(()).ok_or_else(|| {
        format!(
            "{address} can be reached from other machines; set --admin-token-file too, or listen \
             on a loopback address"
        )
    })
}

/// The address as a client on this machine says it: who listens on all is on the loopback one.
#[must_use]
pub fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

pub(super) fn duration(text: &str) -> Parsed<Duration> {
    let given = humantime::parse_duration(text)
        .map_err(|_| format!("`{text}` is not a duration such as 500ms, 90s or 7d"))?;
    let sane = given >= Duration::from_millis(1) && given <= days(36_500);
    sane.then_some(given)
        .ok_or_else(|| format!("`{text}` is not between 1ms and 36500d"))
}

pub(super) fn session_ttl(text: &str) -> Parsed<Ttl> {
    text.parse()
        .map_err(|invalid: InvalidTtl| format!("`{text}` {invalid}"))
}

pub(super) fn idle_timeout(text: &str) -> Parsed<Option<Duration>> {
    (text != "off").then(|| duration(text)).transpose()
}

/// A moment that has come.
pub(super) fn past_moment(text: &str) -> Parsed<Timestamp> {
    let moment = humantime::parse_rfc3339(text)
        .map_err(|_| format!("`{text}` is not a moment in UTC such as 2026-11-26T06:00:00Z"))?;
    if moment > SystemTime::now() {
        return Err(format!(
            "`{text}` is in the future: give a moment that has come, such as the present one"
        ));
    }
    Ok(moment.into())
}

const fn days(count: u64) -> Duration {
    Duration::from_secs(count * 24 * 60 * 60)
}

/// As it stands, if it is legal.
fn checked(text: &str, is_legal: bool, otherwise: &str) -> Parsed<String> {
    let legal = is_legal.then(|| text.to_owned());
    legal.ok_or_else(|| format!("`{text}` {otherwise}"))
}

/// `T` is one of the `NonZero`.
pub(super) fn count<T: FromStr>(text: &str) -> Parsed<T> {
    text.parse()
        .map_err(|_| format!("`{text}` is not a whole number from 1"))
}

pub(super) fn count_from_zero(text: &str) -> Parsed<usize> {
    text.parse()
        .map_err(|_| format!("`{text}` is not a whole number from 0"))
}

pub(super) fn redis_prefix(text: &str) -> Parsed<String> {
    // Braces would send all keys to one slot of a cluster, or none where it is expected.
    let legal = text
        .bytes()
        .all(|b| b.is_ascii_graphic() && b != b'{' && b != b'}');
    let is_legal = legal && !text.is_empty();
    checked(text, is_legal, "is not a prefix such as neptun-auth:")
}

/// Whether this is where a file is, and holds no user and password of a server.
pub(super) fn is_path(text: &str) -> bool {
    ["/", "./", "../"]
        .iter()
        .any(|begin| text.starts_with(begin))
        && !text.contains('@')
}

/// A URL without the user and password it may hold, and without options, which may hold another.
pub(super) fn without_secrets(url: &str) -> String {
    let (address, options) = url.split_once('?').unwrap_or((url, ""));
    let shown = match (address.split_once("://"), address.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://(redacted)@{host}"),
        _ => address.to_owned(),
    };
    let more = if options.is_empty() {
        ""
    } else {
        "?(redacted)"
    };
    shown + more
}

/// A variable's text as Nitro reads it, which is what `destr` makes of it: without one pair of
/// double quotes around it, else as it stands. What `destr` takes for a number or an object is no
/// password there, and stays as it is here.
pub(super) fn as_nitro_reads(variable: &str) -> String {
    let quoted = variable.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
    match quoted {
        Some(text) if !text.contains('\\') => text.to_owned(),
        // With a backslash, or with white space around the quotes, it has to be a JSON string.
        _ => serde_json::from_str(variable).unwrap_or_else(|_| variable.to_owned()),
    }
}

pub(super) fn boolean(text: &str) -> Parsed<bool> {
    text.parse()
        .map_err(|_| format!("`{text}` is neither true nor false"))
}

pub(super) fn cookie_name(text: &str) -> Parsed<String> {
    // RFC 9110's token, which RFC 6265 asks of a name.
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let is_legal = !text.is_empty() && text.bytes().all(token);
    checked(text, is_legal, "is not a cookie name")
}

pub(super) fn cookie_path(text: &str) -> Parsed<String> {
    let legal =
        text.starts_with('/') && text.bytes().all(|b| matches!(b, b' '..=b'~') && b != b';');
    checked(text, legal, "is not a path such as /")
}

pub(super) fn cookie_domain(text: &str) -> Parsed<String> {
    let label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_legal = text.split('.').all(label);
    let domain = checked(text, is_legal, "is not a domain such as example.com");
    domain.map(|domain| domain.to_ascii_lowercase())
}

pub(super) fn same_site(text: &str) -> Parsed<SameSite> {
    match text.to_ascii_lowercase().as_str() {
        "lax" => Ok(SameSite::Lax),
        "strict" => Ok(SameSite::Strict),
        "none" => Ok(SameSite::None),
        _ => Err(format!("`{text}` is not lax, strict or none")),
    }
}

pub(super) fn origins(text: &str) -> Parsed<Vec<Origin>> {
    let given = text.split(',').map(str::trim).filter(|one| !one.is_empty());
    let origin = |one: &str| {
        let parsed = one.parse();
        parsed.map_err(|wrong: InvalidOrigin| format!("`{one}` {wrong}"))
    };
    given.map(origin).collect()
}

pub(super) fn json_pointer(text: &str) -> Parsed<String> {
    let is_legal = text.starts_with('/');
    checked(
        text,
        is_legal,
        "is not a JSON pointer such as /data/user/id",
    )
}

pub(super) fn log_filter(text: &str) -> Parsed<Targets> {
    // A word alone would be taken for a part of the service, and a misspelt level switch the log off.
    let is_clear = |part: &str| {
        let (target, level) = part.split_once('=').unwrap_or(("all", part));
        !target.is_empty() && !level.is_empty() && level.parse::<LevelFilter>().is_ok()
    };
    let filter = text.split(',').all(is_clear).then(|| text.parse().ok());
    filter
        .flatten()
        .ok_or_else(|| format!("`{text}` is not a filter such as info or info,neptun_auth=debug"))
}

pub(super) fn log_format(text: &str) -> Parsed<LogFormat> {
    match text {
        "auto" => Ok(LogFormat::Auto),
        "human" => Ok(LogFormat::Human),
        "json" => Ok(LogFormat::Json),
        _ => Err(format!("`{text}` is not auto, human or json")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_a_person_would() {
        assert_eq!(duration("7d").unwrap(), days(7));
        assert_eq!(duration("500ms").unwrap(), Duration::from_millis(500));
        for bad in ["", "0s", "-1s", "7", "soon", "36501d"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert!(session_ttl("999ms").is_err());
        assert_eq!(idle_timeout("off").unwrap(), None);
    }

    #[test]
    fn a_cookie_attribute_that_could_inject_another_is_refused() {
        assert!(cookie_path("/a;Domain=b").is_err());
        assert!(cookie_path("a").is_err());
        assert!(cookie_name("a b").is_err());
        assert!(cookie_name("").is_err());
        assert!(cookie_domain(".example.com").is_err());
        assert!(cookie_domain("a;b").is_err());
        assert_eq!(cookie_domain("Example.com").unwrap(), "example.com");
    }
}
