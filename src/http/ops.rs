//! `/healthz`, `/readyz` and `/metrics`: for whoever runs the service. They need no token and tell no secret.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde::Serialize;

use super::Draining;
use super::error::ApiError;
use crate::deadline::within;
use crate::metrics::Metrics;
use crate::session::SessionManager;

#[derive(Serialize)]
pub(super) struct Health {
    status: &'static str,
}

/// How long a scrape waits to hear whether the store answers.
const PATIENCE: Duration = Duration::from_secs(2);

const OK: Json<Health> = Json(Health { status: "ok" });

/// Says that the process lives.
pub(super) async fn healthz() -> Json<Health> {
    OK
}

/// Says whether the store answers and no shutdown has begun.
pub(super) async fn readyz(
    State(sessions): State<Arc<SessionManager>>,
    State(draining): State<Draining>,
) -> Result<Json<Health>, ApiError> {
    readiness(&sessions, &draining).await?;
    Ok(OK)
}

async fn readiness(sessions: &SessionManager, draining: &Draining) -> Result<(), ApiError> {
    if draining.has_begun() {
        return Err(ApiError::ShuttingDown);
    }
    sessions.ready().await.map_err(ApiError::NotReady)
}

/// The metrics, for Prometheus. They do not wait for a store that hangs.
pub(super) async fn metrics(
    State(sessions): State<Arc<SessionManager>>,
    State(draining): State<Draining>,
    State(metrics): State<Arc<Metrics>>,
) -> Result<impl IntoResponse, ApiError> {
    let ready = within(PATIENCE, pin!(readiness(&sessions, &draining))).await;
    metrics.set_ready(matches!(ready, Some(Ok(()))));
    metrics.set_sessions(sessions.approximate_len());
    let text = metrics.text().map_err(|_| ApiError::Internal)?;
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4")], text))
}
