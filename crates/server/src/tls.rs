//! Certificate and key, from PEM files.

use model::{Problem, Result, codes};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::sync::Arc;

/// TLS 1.2 and 1.3 with a certificate chain and its key; HTTP/2 where the client knows it.
pub fn read(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>> {
    let unusable = |file: &Path, error: &dyn std::fmt::Display| {
        let message = format!("`{}` cannot be used for TLS", file.display());
        Problem::new(&codes::SETTING_INVALID, message)
            .detail(error)
            .hint("both files are PEM: the certificate with its chain, and its private key")
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| unusable(certificate, &error))?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, &error))?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|error| unusable(certificate, &error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
