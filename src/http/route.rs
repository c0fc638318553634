//! The routes, each listed once: the routers take its path from here, the metrics its labels, and
//! the API document is held against it.

use axum::Router;
use axum::extract::State;
use axum::http::Method;
use axum::routing::{delete, get, post};

use super::middleware::Answer;
use super::openapi::Document;
use super::{App, AppState, admin, check, docs, issue, logout, openapi, ops, own};
use crate::metrics::{CheckOutcome, CountedRoute, LogoutOutcome, Metrics};

macro_rules! routes {
    ($($route:ident $template:literal $($method:literal [$($status:literal)*])*;)*) => {
        /// A route of either listener.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Route {
            $($route,)*
        }

        /// The routes, in the order of `Route`, with what they are known to answer.
        pub const ROUTES: &[CountedRoute] = &[$(
            CountedRoute {
                template: $template,
                answers: &[$(($method, &[$($status),*]),)*],
            },
        )*];

        impl Route {
            const ALL: &[Self] = &[$(Self::$route,)*];
        }
    };
}

routes! {
    Logout "/api/auth/logout" "POST" [200 401 403 500];
    Check "/api/auth/check" "GET" [204 401 503] "HEAD" [204 401 503];
    ExtAuthz "/api/auth/ext-authz" "ANY" [200 401 503];
    OwnSessions "/api/auth/sessions" "GET" [200 401 503] "DELETE" [200 401 403 500];
    OtherSessions "/api/auth/sessions/others" "DELETE" [200 401 403 409 500];
    OwnSession "/api/auth/sessions/{id}" "DELETE" [204 401 403 404 500];
    SignOut "/api/_auth/session" "DELETE" [200 403 500];
    Sessions "/admin/sessions" "POST" [201 503];
    Session "/admin/sessions/{id}" "GET" [200 404 503] "DELETE" [204 404 500];
    UserSessions "/admin/users/{user}/sessions" "GET" [200 503] "DELETE" [200 500];
    Healthz "/healthz" "GET" [200];
    Readyz "/readyz" "GET" [200 503];
    Metrics "/metrics" "GET" [200];
    OpenApi "/openapi.json" "GET" [200];
    Docs "/docs" "GET" [200];
    Root "/" "GET" [303];
    // Any path that is none of ours.
    Other "other";
}

/// The routes of the public listener.
pub(super) fn public(app: &App) -> Router<AppState> {
    let routes = Router::new()
        .route(Route::Logout.template(), post(with_app(logout::post)))
        .route(Route::Check.template(), get(with_app(check::get)))
        .route(
            Route::OwnSessions.template(),
            get(own::list).delete(own::end_all),
        )
        .route(Route::OtherSessions.template(), delete(own::end_others))
        .route(Route::OwnSession.template(), delete(own::end));
    if app.cookie.seal_header().is_some() {
        routes.route(
            Route::SignOut.template(),
            delete(with_app(logout::sign_out)),
        )
    } else {
        routes
    }
}

/// As a router takes a handler that is given the state itself.
fn with_app<P: Send + 'static>(
    handler: fn(&AppState, P) -> Answer,
) -> impl Fn(State<AppState>, P) -> Answer + Clone + Send + Sync + 'static {
    move |State(app), presented| handler(&app, presented)
}

/// The routes of the admin listener that need the admin token.
pub(super) fn sessions() -> Router<AppState> {
    let of_user = get(admin::list).delete(admin::revoke_user);
    Router::new()
        .route(Route::Sessions.template(), post(issue::post))
        .route(
            Route::Session.template(),
            get(admin::show).delete(admin::revoke_session),
        )
        .route(Route::UserSessions.template(), of_user)
}

/// The routes of the admin listener that need none.
pub(super) fn operation(app: &App) -> Router<AppState> {
    let sign_out = Route::SignOut.template();
    let document = Document::new(&app.cookie, app.public_address, sign_out);
    let document = get(openapi::get).with_state(document);
    Router::new()
        .route(Route::Healthz.template(), get(ops::healthz))
        .route(Route::Readyz.template(), get(ops::readyz))
        .route(Route::Metrics.template(), get(ops::metrics))
        .route(Route::OpenApi.template(), document)
        .route(Route::Docs.template(), get(docs::get))
        .route(Route::Root.template(), get(docs::lead_here))
}

impl Route {
    /// The route of a request's path, which may have anything in place of a parameter, and below
    /// the one that proxies ask.
    pub(super) fn of(path: &str) -> Self {
        let mut routes = Self::ALL.iter().copied();
        let is_it = |route: &Self| route.template() == path;
        let is_below = |route: &Self| {
            let parameter = route.template().split_once('{');
            let is_parameter = parameter.is_some_and(|(parent, _)| path.starts_with(parent));
            is_parameter || (*route == Self::ExtAuthz && is_under(route.template(), path))
        };
        let exact = routes.clone().find(is_it);
        let route = exact.or_else(|| routes.find(is_below));
        route.unwrap_or(Self::Other)
    }

    /// The method that a request to it is counted under: none where anything is taken.
    pub(super) fn counted_method(self, method: &Method) -> &str {
        match self {
            Self::ExtAuthz => ANY,
            _ => method.as_str(),
        }
    }

    /// The path to give a router.
    pub(super) const fn template(self) -> &'static str {
        ROUTES[self as usize].template
    }

    /// Counts what an answer's status says of how a logout or check ended. A 200 of a logout may
    /// be either of two things; its handler counts them.
    pub(super) fn count_outcome(self, status: u16, metrics: &Metrics) {
        match (self, status) {
            (Self::Logout | Self::SignOut, 401) => metrics.logout(LogoutOutcome::Unauthorized),
            (Self::Logout | Self::SignOut, 403) => metrics.logout(LogoutOutcome::Forbidden),
            (Self::Logout | Self::SignOut, 408 | 500..) => metrics.logout(LogoutOutcome::Error),
            (Self::Check | Self::ExtAuthz, 200 | 204) => metrics.check(CheckOutcome::Active),
            (Self::Check | Self::ExtAuthz, 401) => metrics.check(CheckOutcome::Denied),
            (Self::Check | Self::ExtAuthz, 408 | 500..) => {
                metrics.check(CheckOutcome::Unavailable);
            }
            _ => {}
        }
    }
}

/// What a route that takes any method has in place of one.
const ANY: &str = "ANY";

fn is_under(parent: &str, path: &str) -> bool {
    let rest = path.strip_prefix(parent);
    rest.is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::Route;

    #[test]
    fn a_path_is_of_one_route() {
        for route in Route::ALL {
            assert_eq!(Route::of(route.template()), *route);
        }
        assert_eq!(Route::of("/admin/sessions/0a1b"), Route::Session);
        assert_eq!(Route::of("/api/auth/sessions/0a1b"), Route::OwnSession);
        for below in ["/", "/api/auth/logout", "//%2e", "/api/auth/ext-authz"] {
            let path = format!("{}{below}", Route::ExtAuthz.template());
            assert_eq!(Route::of(&path), Route::ExtAuthz);
        }
        assert_eq!(
            Route::of("/admin/users/4%2F2/sessions"),
            Route::UserSessions
        );
        for none in [
            "/admin",
            "",
            "/api/auth/logout/",
            "/api/auth/check2",
            "/api/auth/ext-authz2",
        ] {
            assert_eq!(Route::of(none), Route::Other, "{none}");
        }
    }
}
