//! What stands in the paths of the admin routes, for the document only: handlers parse it
//! themselves, because each answers differently to what makes no sense.

use utoipa::IntoParams;

/// `{user}`
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only the document reads it")]
pub(in crate::http) struct UserInPath {
    /// The user's name, percent-encoded where a path needs it.
    #[param(
        min_length = 1,
        max_length = 256,
        pattern = "^[!-~]([ -~]{0,254}[!-~])?$",
        example = "42"
    )]
    user: String,
}

/// `{id}`
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only the document reads it")]
pub(in crate::http) struct SessionInPath {
    /// The session's public name. Whatever is no such name names no session: 404.
    #[param(
        min_length = 64,
        max_length = 64,
        pattern = "^[0-9a-f]{64}$",
        example = "1a061647d59a73b13d2171e9be7fbc13e30d20124c0cde68dcfc6c09b1b02698"
    )]
    id: String,
}
