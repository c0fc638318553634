//! `/healthz`, `/readyz` and `/metrics`: for whoever runs the service. They need no token and tell no secret.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde::Serialize;

use super::Draining;
use super::error::ApiError;
use crate::metrics::Metrics;
use crate::session::SessionManager;

#[derive(Serialize)]
pub(super) struct Health {
    status: &'static str,
}

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
    if draining.has_begun() {
        return Err(ApiError::ShuttingDown);
    }
    sessions.ready().await.map_err(ApiError::NotReady)?;
    Ok(OK)
}

/// The metrics, for Prometheus.
pub(super) async fn metrics(
    State(sessions): State<Arc<SessionManager>>,
    State(metrics): State<Arc<Metrics>>,
) -> Result<impl IntoResponse, ApiError> {
    metrics.set_sessions(sessions.approximate_len());
    let text = metrics.text().map_err(|_| ApiError::Internal)?;
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4")], text))
}
