//! TLS to the server: rustls with ring, certificates always verified.
//!
//! Roots are the system's (or `SSL_CERT_FILE`'s) or those of one file. Knows nothing of Redis.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::error::unavailable;
use super::url::TlsRoots;
use crate::session::StoreError;

/// TLS, if asked for. The roots are read at the first use, and again until that succeeds.
pub(super) struct Secure {
    roots: Option<TlsRoots>,
    connector: OnceLock<TlsConnector>,
}

impl Secure {
    pub(super) const fn new(roots: Option<TlsRoots>) -> Self {
        Self {
            roots,
            connector: OnceLock::new(),
        }
    }

    /// What makes connections secure; `None` if they are not to be.
    pub(super) fn connector(&self) -> Result<Option<&TlsConnector>, StoreError> {
        let Some(roots) = &self.roots else {
            return Ok(None);
        };
        if let Some(connector) = self.connector.get() {
            return Ok(Some(connector));
        }
        let connector = connector(roots)?;
        Ok(Some(self.connector.get_or_init(|| connector)))
    }
}

/// What makes TLS connections that trust these roots.
fn connector(roots: &TlsRoots) -> Result<TlsConnector, StoreError> {
    let roots = match roots {
        TlsRoots::System => system_roots()?,
        TlsRoots::File(path) => roots_in(path)?,
    };
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| unavailable("tls").caused_by(error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The name a server's certificate must be for.
pub(super) fn server_name(host: &str) -> Result<ServerName<'static>, StoreError> {
    ServerName::try_from(host.to_owned()).map_err(|error| unavailable("tls").caused_by(error))
}

fn system_roots() -> Result<RootCertStore, StoreError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // The system's collection may hold some that rustls does not take.
    roots.add_parsable_certificates(found.certs);
    match found.errors.into_iter().next() {
        Some(error) if roots.is_empty() => Err(unavailable("tls").caused_by(error)),
        None if roots.is_empty() => Err(unavailable("tls").caused_by("no root certificates found")),
        _ => Ok(roots),
    }
}

fn roots_in(path: &Path) -> Result<RootCertStore, StoreError> {
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path);
    let certificates = certificates.map_err(|error| unavailable("tls").caused_by(error))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| unavailable("tls").caused_by(error))?;
        roots
            .add(certificate)
            .map_err(|error| unavailable("tls").caused_by(error))?;
    }
    Ok(roots)
}
