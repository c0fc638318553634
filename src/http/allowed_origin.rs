//! An origin as `--allowed-origins` has it.

use std::str::FromStr;

use axum::http::HeaderValue;
use tower_http::csrf::CsrfLayer;
use url::Url;

/// The origin of web pages. It is compared byte for byte with what browsers send, so anything they
/// never send is a mistake that would only show as a refused request.
#[derive(Clone, Debug)]
pub struct Origin(HeaderValue);

/// Why a text is no [`Origin`].
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InvalidOrigin(String);

impl Origin {
    /// As it stands in a header.
    #[must_use]
    pub const fn header(&self) -> &HeaderValue {
        &self.0
    }

    /// As a text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        let wrong = |why: &str| Err(InvalidOrigin(why.to_owned()));
        let url = Url::parse(text).ok();
        let Some(url) = url.filter(|url| matches!(url.scheme(), "http" | "https")) else {
            return wrong("is not an origin such as https://app.example.com");
        };
        // A browser reads the address of a page the same way and sends what comes out.
        let sent = url.origin().ascii_serialization();
        if text != sent {
            return wrong(&format!("is not as browsers send it, which is {sent}"));
        }
        let host = url.host_str().unwrap_or_default();
        if !host.starts_with('[') && !host.split('.').all(is_label) {
            return wrong("names no host; give each origin by itself, without wildcards");
        }
        if url.port() == Some(0) {
            return wrong("has a port that no page comes from");
        }
        let is_usable = CsrfLayer::new().add_trusted_origin(text).is_ok();
        match HeaderValue::try_from(text) {
            Ok(header) if is_usable => Ok(Self(header)),
            _ => wrong("is not an origin such as https://app.example.com"),
        }
    }
}

/// A part of a host's name as it can be looked up.
fn is_label(label: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=63).contains(&label.len()) && label.bytes().all(is_legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_that_no_browser_would_send_is_refused() {
        for good in [
            "https://a.example",
            "http://localhost:3000",
            "http://[::1]:8080",
            "http://127.0.0.1",
            "https://xn--bcher-kva.example",
            "https://a_b.example:8443",
            "https://1.example",
            "http://a.example:443",
        ] {
            let origin: Origin = good.parse().unwrap();
            assert_eq!(origin.as_str(), good);
        }
        for bad in [
            "*",
            "null",
            "a.example",
            "https://",
            "https://a.example/",
            "https://A.example",
            "https://a.example:443",
            "http://a.example:80",
            "https://u@a.example",
            "ftp://a.example",
            "https://a.example?x",
            "https://a.example:",
            "https://a.example.",
            "https://*.example.com",
            "https://*",
            "https://a.*",
            "http://localhost:*",
            "https://.example.com",
            "https://a..example",
            "https://..",
            "https://a.example:99999",
            "https://a.example:65536",
            "https://a.example:0",
            "https://a.example:08443",
            "https://a.example:+1",
            "https://a.example: 1",
            "https:///a.example",
            "https:a.example",
            "https:\\\\a.example",
            "https://a.example\\",
            "https://a.example#x",
            "https://a example",
            "https://a%2eexample",
            "https://b\u{fc}cher.example",
            "https://a,b",
            "https://127.1",
            "https://127.0.0.01",
            "https://2130706433",
            "https://256.0.0.1",
            "https://a.1",
            "http://[0:0:0:0:0:0:0:1]",
            "http://[::FFFF:1.2.3.4]",
            "http://[::1%25lo]",
            "http://::1",
            "http://[]",
            "https://a\n.example",
            "file://",
            "chrome-extension://abc",
        ] {
            assert!(bad.parse::<Origin>().is_err(), "{bad}");
        }
    }
}
