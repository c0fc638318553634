//! `ANY /api/auth/ext-authz` and every path below it stands beside the other public routes.
//!
//! Proxies ask it with their client's own method, at this path with the client's own behind it.
//! Both are the app's business, and so is a foreign `Origin`: nothing is changed here, so none of
//! them is judged, neither by the router nor by the defence against foreign pages.

use std::convert::Infallible;
use std::task::{Context, Poll, ready};

use axum::extract::Request;
use axum::response::Response;
use futures_util::future::Either;
use tower::Service;

use super::route::Route;

/// Leads each request to `ext_authz` or to the other `routes`.
#[derive(Clone)]
pub(super) struct Beside<E, R> {
    pub ext_authz: E,
    pub routes: R,
}

impl<E, R> Service<Request> for Beside<E, R>
where
    E: Service<Request, Response = Response, Error = Infallible>,
    R: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<E::Future, R::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        ready!(self.ext_authz.poll_ready(cx))?;
        self.routes.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        match Route::of(request.uri().path()) {
            Route::ExtAuthz => Either::Left(self.ext_authz.call(request)),
            _ => Either::Right(self.routes.call(request)),
        }
    }
}
