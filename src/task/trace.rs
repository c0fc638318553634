//! The trace that a request is part of, as its caller says in W3C's `traceparent`.
//!
//! Only read, for the log: this service makes no spans of its own and passes no trace on.

use axum::http::header::{HeaderMap, HeaderName, HeaderValue};

/// The header that says it.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// `00-` trace id `-` parent id `-` flags
const LENGTH: usize = 55;

/// A valid `traceparent`. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct TraceParent(HeaderValue);

impl TraceParent {
    /// The one in `headers`, if there is exactly one and it is valid.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).into_iter();
        let value = values.next().filter(|value| is_valid(value.as_bytes()))?;
        values.next().is_none().then(|| Self(value.clone()))
    }

    /// 32 hex digits.
    pub(crate) fn trace_id(&self) -> &str {
        self.part(3, 35)
    }

    /// The id of the caller's span: 16 hex digits.
    pub(crate) fn span_id(&self) -> &str {
        self.part(36, 52)
    }

    fn part(&self, from: usize, to: usize) -> &str {
        let text = self.0.to_str().unwrap_or_default();
        text.get(from..to).unwrap_or_default()
    }
}

/// W3C Trace Context, 3.2: strict for version 00; of a later version, of which more may follow,
/// what 00 knows; ff is none.
fn is_valid(header: &[u8]) -> bool {
    let Some((head, rest)) = header.split_at_checked(LENGTH) else {
        return false;
    };
    let shape = head.iter().enumerate().all(|(place, byte)| match place {
        2 | 35 | 52 => *byte == b'-',
        _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
    });
    let is_zero = |id: &[u8]| id.iter().all(|digit| *digit == b'0');
    let end = match &head[..2] {
        b"00" => rest.is_empty(),
        b"ff" => false,
        _ => rest.first().is_none_or(|next| *next == b'-'),
    };
    shape && end && !is_zero(&head[3..35]) && !is_zero(&head[36..52])
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn what_is_valid_is_what_w3c_says() {
        let good = [
            GOOD,
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-comes",
        ];
        let bad = [
            "",
            "00",
            &GOOD[..54],
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 ",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.x",
            "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319cb-7ad6b7169203331-01",
        ];
        assert!(good.iter().all(|header| is_valid(header.as_bytes())));
        for header in bad {
            assert!(!is_valid(header.as_bytes()), "{header}");
        }
    }
}
