//! The session cookie: how it is read, issued and cleared, in one place.
//!
//! Issued and cleared cookies are built by `tower-cookies` from the same attributes, because a
//! browser deletes a cookie only if name, domain and path match. Reading is done on the raw
//! header: `Cookies` of `tower-cookies` keeps one value per name, percent-decodes names (so that
//! `%73id` would shadow `sid`), and drops a whole header line for one non-UTF-8 byte in a
//! neighbour's cookie. Any of these would let a session live on that its client ended.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::{CONTENT_TYPE, COOKIE, HeaderMap, SET_COOKIE};
use axum::http::{HeaderName, HeaderValue};
use memchr::memchr;
use smallvec::SmallVec;
use tower_cookies::Cookie;
use tower_cookies::cookie::{SameSite, time};

use super::common::Prepared;
use crate::rate_limit::RateLimit;
use crate::session::SessionToken;
use crate::session::sealed::{SEAL_PREFIX, as_h3_reads, latin1, trimmed_as_h3_does};

/// How much of a foreign cookie's name is worth a place in the log.
const SHOWN_OF_A_NAME: usize = 64;

/// The tokens of a request; hardly any has more than one.
pub type Tokens = SmallVec<[SessionToken; 1]>;

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
    /// Whether its value may also be a seal, read as h3 does.
    pub accepts_seals: bool,
}

/// Reads, issues and clears the session cookie.
#[derive(Debug)]
pub struct SessionCookie {
    settings: CookieSettings,
    clearing: HeaderValue,
    cleared: Prepared,
    seal_header: Option<HeaderName>,
    foreign_seals: RateLimit,
}

impl SessionCookie {
    /// Fails if the settings cannot be put in a header; `config` lets no such settings through.
    pub fn new(settings: CookieSettings) -> Result<Self, axum::http::Error> {
        let seal_header = format!("x-{}-session", settings.name);
        let seal_header = HeaderName::try_from(seal_header.to_ascii_lowercase())?;
        let mut cookie = with_attributes(&settings, String::new());
        cookie.set_max_age(time::Duration::ZERO);
        cookie.set_expires(time::OffsetDateTime::UNIX_EPOCH);
        // There is one for as long as the process lives, so nothing counts who uses it.
        let clearing: &'static [u8] = cookie.to_string().leak().as_bytes();
        let clearing = HeaderValue::from_maybe_shared(Bytes::from_static(clearing))?;
        let seal_header = settings.accepts_seals.then_some(seal_header);
        let json = HeaderValue::from_static("application/json");
        let cleared = Prepared::new([(CONTENT_TYPE, json), (SET_COOKIE, clearing.clone())]);
        Ok(Self {
            settings,
            clearing,
            cleared,
            seal_header,
            foreign_seals: RateLimit::default(),
        })
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.settings.name
    }

    /// The header in which h3 looks for a seal before it looks at the cookie, if values may be
    /// seals.
    pub(super) fn seal_header(&self) -> Option<&HeaderName> {
        self.seal_header.as_ref()
    }

    /// The `Set-Cookie` that makes a client forget. The same for everyone, so built once.
    pub(super) fn clearing(&self) -> HeaderValue {
        self.clearing.clone()
    }

    /// All headers of a JSON answer that makes a client forget.
    pub(super) fn cleared(&self) -> HeaderMap {
        self.cleared.with([])
    }

    /// The `Set-Cookie` that gives a client its session for `ttl`.
    /// Without a `ttl` the browser keeps it until it is closed.
    pub(super) fn issued(&self, token: &SessionToken, ttl: Option<Duration>) -> String {
        let mut cookie = with_attributes(&self.settings, token.expose().to_owned());
        let max_age = |ttl| time::Duration::try_from(ttl).unwrap_or(time::Duration::MAX);
        cookie.set_max_age(ttl.map(max_age));
        cookie.to_string()
    }

    /// All that a request presents: the legal values of the cookie, and the seals in the header.
    pub(super) fn presented(&self, headers: &HeaderMap) -> Tokens {
        let mut tokens = self.values(headers);
        if let Some(name) = self.seal_header() {
            if tokens.is_empty() {
                self.warn_of_foreign_seal(headers);
            }
            let values = headers.get_all(name).into_iter();
            tokens.extend(values.filter_map(|value| header_seal(value.as_bytes())));
        }
        tokens
    }

    /// The legal values of all cookies of the name, over all `Cookie` headers, as they came;
    /// seals among them as h3 reads them.
    pub fn values(&self, headers: &HeaderMap) -> Tokens {
        cookies(headers)
            .filter_map(|pair| self.value(pair))
            .collect()
    }

    /// The same of one `Cookie` header that somebody else was sent.
    pub(super) fn values_in(&self, line: &[u8]) -> Tokens {
        pairs(line).filter_map(|pair| self.value(pair)).collect()
    }

    fn value(&self, pair: &[u8]) -> Option<SessionToken> {
        if let Some(seal) = self.seal_in(pair) {
            return Some(seal);
        }
        let name = self.settings.name.as_bytes();
        let after_name = pair.trim_ascii().strip_prefix(name)?;
        SessionToken::from_cookie_value(after_name.strip_prefix(b"=")?)
    }

    /// What h3 would take for a seal must be one here too, or a revoked one could hide behind
    /// spaces, quotes or percent signs that only the web app overlooks.
    fn seal_in(&self, pair: &[u8]) -> Option<SessionToken> {
        self.seal_header()?;
        let (name, value) = as_h3_splits(pair)?;
        (name == self.settings.name.as_bytes())
            .then(|| seal(value))
            .flatten()
    }

    /// A web app that keeps its session under another name (`nuxt-session`, unless configured)
    /// otherwise gets logouts that end nothing, and nobody is told.
    fn warn_of_foreign_seal(&self, headers: &HeaderMap) {
        let own = self.settings.name.as_str();
        let mut foreign = None;
        for (name, value) in cookies(headers).filter_map(as_h3_splits) {
            if name == own.as_bytes() {
                return;
            }
            if foreign.is_none() && seal(value).is_some() {
                foreign = Some(name);
            }
        }
        let Some(name) = foreign else {
            return;
        };
        self.foreign_seals.note(|| {
            let name = name[..name.len().min(SHOWN_OF_A_NAME)].escape_ascii();
            let message = format!(
                "`{name}` came with a seal, this service reads `{own}`: set --cookie-name to the web \
                 app's"
            );
            move |times| tracing::warn!(times, "{message}")
        });
    }
}

/// All cookies of a request, each as it stands between the semicolons.
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(COOKIE).into_iter();
    lines.flat_map(|line| pairs(line.as_bytes()))
}

/// What stands between the semicolons.
fn pairs(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let Some(end) = memchr(b';', line) else {
            return rest.take();
        };
        rest = Some(&line[end + 1..]);
        Some(&line[..end])
    })
}

/// A cookie's name and value as h3 takes them apart.
fn as_h3_splits(pair: &[u8]) -> Option<(&[u8], &[u8])> {
    let equals = memchr(b'=', pair)?;
    let (name, value) = (&pair[..equals], &pair[equals + 1..]);
    Some((trimmed_as_h3_does(name), trimmed_as_h3_does(value)))
}

fn seal(cookie_value: &[u8]) -> Option<SessionToken> {
    seal_of(&as_h3_reads(cookie_value))
}

/// h3 takes a header's value as it is.
fn header_seal(value: &[u8]) -> Option<SessionToken> {
    seal_of(&latin1(value.trim_ascii()))
}

fn seal_of(text: &str) -> Option<SessionToken> {
    text.starts_with(SEAL_PREFIX)
        .then(|| SessionToken::from_seal(text))
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

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn cookie() -> SessionCookie {
        let settings = CookieSettings {
            name: "sid".to_owned(),
            path: "/".to_owned(),
            domain: None,
            same_site: SameSite::Lax,
            secure: true,
            accepts_seals: false,
        };
        SessionCookie::new(settings).unwrap()
    }

    /// Header lines of what cookies are made of, and of any bytes at all.
    fn lines() -> impl Strategy<Value = Vec<HeaderValue>> {
        let usual: &[&str] = &[
            "sid", "=", ";", "; ", " ", "\t", "sid=", "abc", "%73id", "SID",
        ];
        let piece = prop_oneof![
            4 => proptest::sample::select(usual).prop_map(|text| text.as_bytes().to_vec()),
            1 => vec(any::<u8>(), 0..6),
            1 => (4090..4100_usize).prop_map(|length| vec![b'a'; length]),
        ];
        let line = vec(piece, 0..16).prop_filter_map("not a header's value", |pieces| {
            HeaderValue::from_bytes(&pieces.concat()).ok()
        });
        vec(line, 0..4)
    }

    /// One byte after the other, as RFC 6265 tells it.
    fn reference(line: &[u8]) -> Vec<String> {
        let mut values = Vec::new();
        let mut rest = line.to_vec();
        rest.push(b';');
        let mut pair = Vec::new();
        for byte in rest {
            if byte != b';' {
                pair.push(byte);
                continue;
            }
            let is_space = |byte: &u8| *byte == b' ' || *byte == b'\t';
            while pair.last().is_some_and(is_space) {
                pair.pop();
            }
            while pair.first().is_some_and(is_space) {
                pair.remove(0);
            }
            if pair.len() > 4 && pair.len() <= 4 + 4096 && pair[..4] == *b"sid=" {
                let value = &pair[4..];
                let is_octet = |byte: &u8| (0x21..0x7F).contains(byte) && !b"\",;\\".contains(byte);
                if value.iter().all(is_octet) {
                    values.push(String::from_utf8(value.to_vec()).unwrap());
                }
            }
            pair.clear();
        }
        values
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn the_values_found_equal_a_plain_reference(lines in lines()) {
            let mut headers = HeaderMap::new();
            for line in &lines {
                headers.append(COOKIE, line.clone());
            }
            let tokens = cookie().values(&headers);
            let found: Vec<&str> = tokens.iter().map(SessionToken::expose).collect();
            let expected: Vec<String> =
                lines.iter().flat_map(|line| reference(line.as_bytes())).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
