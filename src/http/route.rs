//! The routes, as the routers and the metrics know them: one name each, and nothing of a request
//! in it.

use crate::metrics::{CheckOutcome, LogoutOutcome, Metrics};

/// A route of either listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Logout,
    Check,
    SignOut,
    Sessions,
    Session,
    UserSessions,
    Healthz,
    Readyz,
    Metrics,
    OpenApi,
    Docs,
    Root,
    /// Any path that is none of ours.
    Other,
}

/// The templates of the routes, in the order of `Route`.
pub const ROUTES: &[&str] = &[
    "/api/auth/logout",
    "/api/auth/check",
    "/api/_auth/session",
    "/admin/sessions",
    "/admin/sessions/{id}",
    "/admin/users/{user}/sessions",
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/docs",
    "/",
    "other",
];

/// What the routes are known to answer, for metrics that begin at zero: index of the route,
/// method, status.
pub const ANSWERS: &[(usize, &str, u16)] = &[
    (Route::Logout as usize, "POST", 200),
    (Route::Logout as usize, "POST", 401),
    (Route::Logout as usize, "POST", 403),
    (Route::Logout as usize, "POST", 500),
    (Route::Check as usize, "GET", 204),
    (Route::Check as usize, "GET", 401),
    (Route::Check as usize, "GET", 503),
    (Route::Check as usize, "HEAD", 204),
    (Route::Check as usize, "HEAD", 401),
    (Route::Check as usize, "HEAD", 503),
    (Route::SignOut as usize, "DELETE", 200),
    (Route::SignOut as usize, "DELETE", 403),
    (Route::SignOut as usize, "DELETE", 500),
    (Route::Sessions as usize, "POST", 201),
    (Route::Sessions as usize, "POST", 503),
    (Route::Session as usize, "DELETE", 204),
    (Route::Session as usize, "DELETE", 404),
    (Route::Session as usize, "DELETE", 500),
    (Route::UserSessions as usize, "GET", 200),
    (Route::UserSessions as usize, "GET", 503),
    (Route::UserSessions as usize, "DELETE", 200),
    (Route::UserSessions as usize, "DELETE", 500),
    (Route::Healthz as usize, "GET", 200),
    (Route::Readyz as usize, "GET", 200),
    (Route::Readyz as usize, "GET", 503),
    (Route::Metrics as usize, "GET", 200),
    (Route::OpenApi as usize, "GET", 200),
    (Route::Docs as usize, "GET", 200),
    (Route::Root as usize, "GET", 303),
];

impl Route {
    /// The route of a request's path.
    pub(super) fn of(path: &str) -> Self {
        match path {
            "/api/auth/logout" => Self::Logout,
            "/api/auth/check" => Self::Check,
            "/api/_auth/session" => Self::SignOut,
            "/admin/sessions" => Self::Sessions,
            "/healthz" => Self::Healthz,
            "/readyz" => Self::Readyz,
            "/metrics" => Self::Metrics,
            "/openapi.json" => Self::OpenApi,
            "/docs" => Self::Docs,
            "/" => Self::Root,
            _ if path.starts_with("/admin/sessions/") => Self::Session,
            _ if path.starts_with("/admin/users/") => Self::UserSessions,
            _ => Self::Other,
        }
    }

    /// The path to give a router.
    pub(super) const fn template(self) -> &'static str {
        ROUTES[self as usize]
    }

    /// Counts what an answer's status says of how a logout or check ended. A 200 of a logout may
    /// be either of two things; its handler counts them.
    pub(super) fn count_outcome(self, status: u16, metrics: &Metrics) {
        match (self, status) {
            (Self::Logout | Self::SignOut, 401) => metrics.logout(LogoutOutcome::Unauthorized),
            (Self::Logout | Self::SignOut, 403) => metrics.logout(LogoutOutcome::Forbidden),
            (Self::Logout | Self::SignOut, 408 | 500..) => metrics.logout(LogoutOutcome::Error),
            (Self::Check, 204) => metrics.check(CheckOutcome::Active),
            (Self::Check, 401) => metrics.check(CheckOutcome::Denied),
            (Self::Check, 408 | 500..) => metrics.check(CheckOutcome::Unavailable),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_a_path_of_its_own_route() {
        for (index, template) in ROUTES.iter().enumerate() {
            assert_eq!(Route::of(template) as usize, index, "{template}");
        }
        assert_eq!(Route::of("/admin"), Route::Other);
    }
}
