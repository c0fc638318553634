//! `POST /api/auth/logout`, the main job, and the web app's own sign-out beside it.

use std::sync::Arc;

use axum::response::Response;
use futures_util::future::{Either, ready};

use super::AppState;
use super::context::{done, logged_to_the_end};
use super::cookie::{SessionCookie, Tokens};
use super::error::{ApiError, Operation};
use super::middleware::{Answer, Presented};
use crate::metrics::{LogoutOutcome, Metrics};
use crate::session::StoreError;

/// An answer that makes the client forget its cookie.
fn cleared(cookie: &SessionCookie, body: &'static str) -> Response {
    let mut response = Response::new(body.into());
    *response.headers_mut() = cookie.cleared();
    response
}

/// Ends every session presented, and says whether any was live.
pub(super) fn post(app: &AppState, presented: Presented) -> Answer {
    end(app, presented.into_tokens(), |ended| {
        if ended { "true" } else { "false" }
    })
}

/// The web app's own sign-out: whoever has no session is logged out as well.
pub(super) fn sign_out(app: &AppState, presented: Option<Presented>) -> Answer {
    let tokens = presented.map(Presented::into_tokens).unwrap_or_default();
    end(app, tokens, |_ended| r#"{"loggedOut":true}"#)
}

fn end(app: &AppState, tokens: Tokens, body: fn(bool) -> &'static str) -> Answer {
    match app.0.sessions.revoke(tokens) {
        // Nothing to be abandoned.
        Either::Left(ended) => {
            let ended = counted(&app.0.metrics, ended.into_inner());
            Either::Left(ready(
                ended.map(|ended| cleared(&app.0.cookie, body(ended))),
            ))
        }
        Either::Right(ended) => {
            let (app, metrics) = (app.clone(), Arc::clone(&app.0.metrics));
            let work = async move { counted(&metrics, ended.await) };
            Either::Right(Box::pin(async move {
                let ended = logged_to_the_end(work, done).await?;
                Ok(cleared(&app.0.cookie, body(ended)))
            }))
        }
    }
}

fn counted(metrics: &Metrics, ended: Result<bool, StoreError>) -> Result<bool, ApiError> {
    let ended = ended.map_err(ApiError::store(Operation::Logout))?;
    metrics.logout(if ended {
        LogoutOutcome::Cleared
    } else {
        LogoutOutcome::NoSession
    });
    Ok(ended)
}
