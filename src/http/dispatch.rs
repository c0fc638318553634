//! What answers a request once it is let in: the router, and past it what is asked most.

use std::convert::Infallible;

use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_LENGTH;
use axum::http::{Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use futures_util::future::{Either, ready};
use tower::{Layer as _, Service as _, ServiceExt as _, service_fn};

use super::error::ApiError;
use super::middleware::Presented;
use super::origin::RefuseForeign;
use super::route::Route;
use super::{AppState, check, logout};

/// The body of a request, of which the router alone needs to know anything.
pub trait Body:
    axum::body::HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Send + 'static
{
}

impl<B> Body for B where
    B: axum::body::HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Send + 'static
{
}

/// What stands behind the edge of a listener.
pub(super) trait Routes<B>: Send + Sync + 'static {
    /// The answer to a request for `route`.
    fn answer(&self, request: Request<B>, route: Route) -> impl Future<Output = Response> + Send;
}

impl<B: Body> Routes<B> for Router {
    fn answer(&self, request: Request<B>, _route: Route) -> impl Future<Output = Response> {
        self.clone().oneshot(request).map(|Ok(mut response)| {
            if response.status() == StatusCode::NO_CONTENT {
                // RFC 9110, 8.6: not on a 204; the router puts it there for HEAD.
                response.headers_mut().remove(CONTENT_LENGTH);
            }
            response
        })
    }
}

/// The routes of the public listener: a page of a foreign origin is refused, then the session
/// cookie is read.
pub(super) struct PublicRoutes {
    pub(super) app: AppState,
    pub(super) refuse_foreign: RefuseForeign,
    pub(super) router: Router,
}

impl<B: Body> Routes<B> for PublicRoutes {
    fn answer(&self, request: Request<B>, route: Route) -> impl Future<Output = Response> {
        if route == Route::ExtAuthz {
            // Asked in a client's name; a foreign `Origin` is the app's business, since nothing is
            // changed here.
            return Either::Left(self.admitted(request, route));
        }
        let admitted = |request| self.admitted(request, route).map(Ok::<_, Infallible>);
        let mut routes = self.refuse_foreign.layer(service_fn(admitted));
        Either::Right(routes.call(request).map(|Ok(answer)| answer))
    }
}

impl PublicRoutes {
    /// The answer to a request that no page of a foreign origin has sent. A router clones and boxes
    /// what answers a request, so what is asked most does not go through it.
    fn admitted<B: Body>(
        &self,
        mut request: Request<B>,
        route: Route,
    ) -> impl Future<Output = Response> + use<'_, B> {
        let presented = Presented::of(&self.app.0.cookie, request.headers());
        let handler = match (route, request.method()) {
            (Route::Logout, &Method::POST) => logout::post,
            (Route::Check, &Method::GET) => check::get,
            (Route::ExtAuthz, _) => check::ext_authz,
            _ => {
                if let Some(presented) = presented {
                    request.extensions_mut().insert(presented);
                }
                return Either::Left(self.router.answer(request, route));
            }
        };
        let answer = match presented {
            Some(presented) => handler(&self.app, presented),
            None => Either::Left(ready(Err(ApiError::NoValidSession))),
        };
        Either::Right(answer.map(IntoResponse::into_response))
    }
}
