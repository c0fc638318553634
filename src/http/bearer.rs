//! Who may ask under `/admin`, and for what: bearer tokens.

use std::sync::Arc;

use axum::body::HttpBody as _;
use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use ring::digest::{Digest, SHA256, digest};
use secrecy::{ExposeSecret as _, SecretString};
use subtle::{Choice, ConstantTimeEq as _};

use super::error::ApiError;

/// Largest body the admin listener reads, in bytes.
pub(super) const MAX_BODY_BYTES: usize = 64 * 1024;

/// The tokens that let somebody in under `/admin`, as digests.
#[derive(Default)]
pub struct BearerTokens {
    admins: Vec<Digest>,
    readers: Vec<Digest>,
}

impl BearerTokens {
    /// `admins` may do everything, `readers` may look. Without any of them nobody is let in.
    #[must_use]
    pub fn new(admins: &[SecretString], readers: &[SecretString]) -> Self {
        let digests = |tokens: &[SecretString]| {
            let secrets = tokens.iter().map(SecretString::expose_secret);
            secrets
                .map(|secret| digest(&SHA256, secret.as_bytes()))
                .collect()
        };
        Self {
            admins: digests(admins),
            readers: digests(readers),
        }
    }

    fn let_in(&self, given: Option<&[u8]>, method: &Method) -> Result<(), ApiError> {
        if self.admins.is_empty() && self.readers.is_empty() {
            return Err(ApiError::AdminTokenMissing);
        }
        let given = digest(&SHA256, given.ok_or(ApiError::AdminTokenWrong)?);
        let (is_admin, is_reader) = (
            is_among(&self.admins, &given),
            is_among(&self.readers, &given),
        );
        match (is_admin, is_reader) {
            (true, _) => Ok(()),
            (false, true) if method == Method::GET => Ok(()),
            (false, true) => Err(ApiError::ReaderTokenOnly),
            (false, false) => Err(ApiError::AdminTokenWrong),
        }
    }
}

/// Digests are compared, all of them and to their end: neither the length of a token nor which one
/// it is like shows in the time it takes.
fn is_among(known: &[Digest], given: &Digest) -> bool {
    let is_any = |any: Choice, one: &Digest| any | one.as_ref().ct_eq(given.as_ref());
    known.iter().fold(Choice::from(0), is_any).into()
}

/// Lets only requests through that have a token for what they ask.
pub(super) async fn require_token(
    State(tokens): State<Arc<BearerTokens>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let header = request.headers().get(AUTHORIZATION);
    let given = header.and_then(|value| bearer_token(value.as_bytes()));
    tokens.let_in(given, request.method())?;
    // Said at once, and not after the client has sent what nobody will read.
    if request.body().size_hint().lower() > MAX_BODY_BYTES as u64 {
        return Err(ApiError::BadBody(StatusCode::PAYLOAD_TOO_LARGE));
    }
    Ok(next.run(request).await)
}

/// RFC 9110: the scheme's name is case-insensitive and followed by spaces.
fn bearer_token(header: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = header.split_at_checked(6)?;
    let is_bearer = scheme.eq_ignore_ascii_case(b"bearer") && rest.starts_with(b" ");
    is_bearer.then(|| rest.trim_ascii())
}
