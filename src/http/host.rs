//! The name by which a request calls the admin listener.
//!
//! A web page can have its own name resolve to 127.0.0.1 and then read from a listener there as
//! from its own origin: the browser takes the two for one. What it cannot do is make the browser
//! send another `Host`.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::http::{HeaderValue, Request, Version};

/// Whether the request is meant for this machine by a name that nobody else can own: `localhost`,
/// a name under it, or a loopback address. HTTP/1.0 needs no name, and no browser speaks it.
pub(super) fn is_loopback<B>(request: &Request<B>) -> bool {
    // RFC 9112, 3.2.2: a target that is a whole URL says it in place of the header.
    let target = request.uri().authority().map(Authority::as_str);
    let header = || {
        let value = request.headers().get(HOST)?;
        // What is no text is no name either.
        Some(HeaderValue::to_str(value).unwrap_or_default())
    };
    match target.or_else(header) {
        Some(host) => is_loopback_name(host),
        None => request.version() < Version::HTTP_11,
    }
}

fn is_loopback_name(host: &str) -> bool {
    if let Some((address, port)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let is_loopback = address.parse() == Ok(Ipv6Addr::LOCALHOST);
        return is_loopback && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
    }
    let (name, port) = host.split_once(':').unwrap_or((host, ""));
    if !is_port(port) {
        return false;
    }
    if let Ok(address) = name.parse::<Ipv4Addr>() {
        return address.is_loopback();
    }
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let mut labels = name.rsplit('.');
    labels.next() == Some("localhost") && labels.all(is_label)
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_label(text: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !text.is_empty() && text.bytes().all(is_legal)
}

#[cfg(test)]
mod tests {
    use super::is_loopback_name;

    #[test]
    fn only_names_that_nobody_else_can_own_are_those_of_this_machine() {
        for own in [
            "localhost",
            "LocalHost:8081",
            "localhost.",
            "localhost.:8081",
            "app.localhost",
            "a.b_c.LOCALHOST:1",
            "127.0.0.1",
            "127.255.0.9:65535",
            "127.0.0.1:",
            "[::1]",
            "[::1]:8081",
            "[0:0:0:0:0:0:0:1]:8081",
        ] {
            assert!(is_loopback_name(own), "{own}");
        }
        for foreign in [
            "",
            ":8081",
            ".",
            "evil.example",
            "evil.example:8081",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evillocalhost",
            ".localhost",
            "a..localhost",
            "localhost..",
            "localhost@evil.example",
            "evil.example@localhost",
            "evil.example localhost",
            "evil.example/localhost",
            "evil.example,localhost",
            "localhost:x",
            "localhost:80:80",
            "localhost:-1",
            "0.0.0.0:8081",
            "10.0.0.1",
            "128.0.0.1",
            "2130706433",
            "127.1",
            "0177.0.0.1",
            "::1",
            "[::]",
            "[::2]",
            "[::1",
            "[::1]x",
            "[::1]:x",
            "[::1%lo]",
            "[127.0.0.1]",
            "[::ffff:10.0.0.1]",
        ] {
            assert!(!is_loopback_name(foreign), "{foreign}");
        }
    }
}
