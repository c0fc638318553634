//! Sealed cookies: the opener by itself, and the service that revokes what it opens.

mod edges;
pub mod mint;
mod properties;
mod service;
mod vectors;
