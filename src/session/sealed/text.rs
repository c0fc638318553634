//! What the bytes of a cookie or a header mean to h3.

use std::borrow::Cow;

/// A cookie's value as h3 hands it to iron: without quotes and percent-decoded, so that
/// `"Fe26.2%2A…"` is as good there as the plain seal. What opens for h3 must open for us, or a
/// logout would answer `false` and leave a session alive.
///
/// The oddities are cookie-es's: a leading quote costs the last character too, whatever it is, and
/// a value that does not decode is taken as it stands. Bytes beyond ASCII are Latin-1, as Node
/// reads headers.
#[must_use]
pub fn as_h3_reads(raw: &[u8]) -> Cow<'_, str> {
    let raw = match raw {
        [b'"', unquoted @ .., _] => unquoted,
        [b'"'] => &[],
        _ => raw,
    };
    let text = latin1(raw);
    match decode_uri_component(&text) {
        Some(decoded) => Cow::Owned(decoded),
        None => text,
    }
}

/// A cookie's name or value without what JavaScript's `trim` takes for space around it, which in
/// Latin-1 includes the no-break space.
#[must_use]
pub fn trimmed_as_h3_does(mut raw: &[u8]) -> &[u8] {
    const fn is_space(byte: u8) -> bool {
        matches!(byte, b'\t'..=b'\r' | b' ' | 0xA0)
    }
    while let [first, rest @ ..] = raw
        && is_space(*first)
    {
        raw = rest;
    }
    while let [rest @ .., last] = raw
        && is_space(*last)
    {
        raw = rest;
    }
    raw
}

/// Bytes as Node reads headers.
#[must_use]
pub fn latin1(raw: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(raw) {
        Ok(text) if text.is_ascii() => Cow::Borrowed(text),
        _ => raw.iter().copied().map(char::from).collect(),
    }
}

/// JavaScript's `decodeURIComponent`; `None` where it throws, or has nothing to decode.
fn decode_uri_component(text: &str) -> Option<String> {
    if !text.contains('%') {
        return None;
    }
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex_digit(bytes.next()?)? << 4 | hex_digit(bytes.next()?)?,
            _ => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16)?.try_into().ok()
}
