//! The session cookie: how it is read, issued and cleared, in one place.
//!
//! Issued and cleared cookies are built by `tower-cookies` from the same attributes, because a
//! browser deletes a cookie only if name, domain and path match. Reading is done on the raw
//! header: `Cookies` of `tower-cookies` keeps one value per name, percent-decodes names (so that
//! `%73id` would shadow `sid`), and drops a whole header line for one non-UTF-8 byte in a
//! neighbour's cookie. Any of these would let a session live on that its client ended.

use std::time::Duration;

use axum::http::HeaderValue;
use axum::http::header::{COOKIE, HeaderMap};
use time::OffsetDateTime;
use tower_cookies::Cookie;
use tower_cookies::cookie::SameSite;

use crate::session::SessionToken;

/// The session cookie's name and attributes, as configured.
#[derive(Clone, Debug)]
pub struct CookieSettings {
    /// Its name, compared byte for byte.
    pub name: String,
    /// Its `Path`.
    pub path: String,
    /// Its `Domain`; without one it belongs to the host alone.
    pub domain: Option<String>,
    /// Its `SameSite`.
    pub same_site: SameSite,
    /// Whether it is `Secure`: configured, never guessed from a request, since the proxy in
    /// front may speak https to the browser and http to us.
    pub secure: bool,
}

/// Reads, issues and clears the session cookie.
#[derive(Debug)]
pub(super) struct SessionCookie {
    settings: CookieSettings,
    clearing: HeaderValue,
}

impl SessionCookie {
    /// Fails if the settings cannot be put in a header; `config` lets no such settings through.
    pub(super) fn new(settings: CookieSettings) -> Result<Self, axum::http::Error> {
        let mut cookie = with_attributes(&settings, String::new());
        cookie.set_max_age(time::Duration::ZERO);
        cookie.set_expires(OffsetDateTime::UNIX_EPOCH);
        let clearing = HeaderValue::try_from(cookie.to_string())?;
        Ok(Self { settings, clearing })
    }

    /// The `Set-Cookie` that makes a client forget. The same for everyone, so built once.
    pub(super) fn clearing(&self) -> HeaderValue {
        self.clearing.clone()
    }

    /// The `Set-Cookie` that gives a client its session for `ttl`.
    pub(super) fn issued(&self, token: &SessionToken, ttl: Duration) -> String {
        let mut cookie = with_attributes(&self.settings, token.expose().to_owned());
        cookie.set_max_age(time::Duration::try_from(ttl).unwrap_or(time::Duration::MAX));
        cookie.to_string()
    }

    /// The legal values of all cookies of the name, over all `Cookie` headers, as they came.
    pub(super) fn values(&self, headers: &HeaderMap) -> Vec<SessionToken> {
        let name = self.settings.name.as_bytes();
        let lines = headers.get_all(COOKIE).into_iter();
        let pairs = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b';'));
        pairs
            .filter_map(|pair| pair.trim_ascii().strip_prefix(name)?.strip_prefix(b"="))
            .filter_map(SessionToken::from_cookie_value)
            .collect()
    }
}

fn with_attributes(settings: &CookieSettings, value: String) -> Cookie<'static> {
    let mut cookie = Cookie::new(settings.name.clone(), value);
    cookie.set_path(settings.path.clone());
    cookie.set_http_only(true);
    cookie.set_same_site(settings.same_site);
    cookie.set_secure(settings.secure);
    if let Some(domain) = &settings.domain {
        cookie.set_domain(domain.clone());
    }
    cookie
}
