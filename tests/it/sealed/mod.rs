//! Sealed cookies: the opener by itself, and the service that revokes what it opens.

mod edges;
mod javascript;
mod malformed;
pub mod mint;
mod password;
mod properties;
mod service;
mod vectors;
mod warnings;
