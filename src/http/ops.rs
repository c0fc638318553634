//! `/healthz` and `/readyz`: for whoever runs the service. They need no token and tell no secret.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::Draining;
use super::error::ApiError;
use crate::session::SessionManager;

/// `{"status":"ok"}`
#[derive(Serialize)]
pub(super) struct Health {
    status: &'static str,
}

const OK: Json<Health> = Json(Health { status: "ok" });

/// `GET /healthz`: the process lives.
pub(super) async fn healthz() -> Json<Health> {
    OK
}

/// `GET /readyz`: the store answers, and no shutdown has begun.
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
