//! Whom to believe that a server is who it says it is.

use crate::BadCertificates;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::Path;
use std::sync::{Arc, LazyLock};

/// Whom to believe that a server is who it says it is: the authorities of the web, and maybe others. There is no way to believe anybody.
#[derive(Clone, Debug)]
pub struct Tls(Arc<rustls::ClientConfig>);

impl Tls {
    /// Trusts the authorities of the web.
    #[must_use]
    pub fn new() -> Self {
        // A list of all authorities is long, and the same for everybody.
        static WEB: LazyLock<Tls> = LazyLock::new(|| Tls::trusting(web_authorities()));
        WEB.clone()
    }

    /// Trusts the authorities in the PEM file at `path` as well.
    ///
    /// # Errors
    /// [`BadCertificates`] if the file cannot be read, holds no certificate, or one that is of no use.
    pub fn with_authorities_of(path: &Path) -> Result<Self, BadCertificates> {
        let unreadable =
            |error: rustls::pki_types::pem::Error| BadCertificates::Unreadable { path: path.into(), reason: error.to_string() };
        let mut roots = web_authorities();
        let before = roots.len();
        for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
            let certificate = certificate.map_err(unreadable)?;
            roots.add(certificate).map_err(|cause| BadCertificates::Unusable { path: path.into(), cause })?;
        }
        if roots.len() == before { Err(BadCertificates::None { path: path.into() }) } else { Ok(Self::trusting(roots)) }
    }

    fn trusting(roots: RootCertStore) -> Self {
        let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider knows the default versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self(Arc::new(config))
    }

    pub(crate) fn config(&self) -> Arc<rustls::ClientConfig> {
        Arc::clone(&self.0)
    }
}

impl Default for Tls {
    fn default() -> Self {
        Self::new()
    }
}

fn web_authorities() -> RootCertStore {
    RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_authorities_must_hold_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        assert!(matches!(Tls::with_authorities_of(&path), Err(BadCertificates::Unreadable { .. })));
        std::fs::write(&path, "nothing\n").unwrap();
        assert!(matches!(Tls::with_authorities_of(&path), Err(BadCertificates::None { .. })));
        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        assert!(matches!(Tls::with_authorities_of(&path), Err(BadCertificates::Unusable { .. })));
    }
}
