//! TLS: which files, which versions, and what is switched off.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::version::{TLS12, TLS13};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::config::deployment::TlsIdentity;
use crate::domain::time::Timestamp;

use super::callers::CallerVerifier;

/// A file that TLS cannot work with.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be used for TLS: {reason}", path.display())]
pub struct TlsError {
    path: PathBuf,
    reason: String,
}

impl TlsError {
    pub(super) fn refused(path: &Path, reason: &str) -> Self {
        Self { path: path.to_owned(), reason: reason.to_owned() }
    }

    fn mismatch(identity: &TlsIdentity, refused: &rustls::Error) -> Self {
        let certificate = identity.certificate.display();
        let reason = format!("{refused}; expected the private key of {certificate}");
        Self::refused(&identity.private_key, &reason)
    }
}

/// The one provider of cryptography for TLS, also used by the commands that are clients.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// The certificates of a PEM file, at least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let refused = |found: rustls::pki_types::pem::Error| {
        TlsError::refused(path, &format!("{found}; expected certificates in PEM"))
    };
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(refused)?
        .collect::<Result<_, _>>()
        .map_err(refused)?;
    if certificates.is_empty() {
        return Err(TlsError::refused(path, "it holds no certificate; expected PEM"));
    }
    Ok(certificates)
}

/// TLS 1.3 alone, client certificates mandatory, no resumption.
///
/// # Errors
/// [`TlsError`] naming the file that cannot be used.
pub fn gateway(
    identity: &TlsIdentity,
    callers: Arc<CallerVerifier>,
    provider: Arc<CryptoProvider>,
) -> Result<ServerConfig, TlsError> {
    let (chain, key) = load(identity)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(|refused| TlsError::refused(&identity.certificate, &refused.to_string()))?
        .with_client_cert_verifier(callers)
        .with_single_cert(chain, key)
        .map_err(|refused| TlsError::mismatch(identity, &refused))?;
    // A resumed session would carry a client certificate that nobody judges again.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = alpn();
    Ok(config)
}

/// TLS 1.2 and 1.3 for everybody who verifies.
///
/// # Errors
/// [`TlsError`] naming the file that cannot be used.
pub fn public(
    identity: &TlsIdentity,
    provider: Arc<CryptoProvider>,
) -> Result<ServerConfig, TlsError> {
    let (chain, key) = load(identity)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|refused| TlsError::refused(&identity.certificate, &refused.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|refused| TlsError::mismatch(identity, &refused))?;
    config.alpn_protocols = alpn();
    Ok(config)
}

/// Whole days until the first certificate of a file expires; negative once it has.
///
/// # Errors
/// [`TlsError`] if the file holds no certificate.
pub fn time_left(path: &Path, now: Timestamp) -> Result<i64, TlsError> {
    let chain = certificates(path)?;
    let leaf = chain.first().ok_or_else(|| TlsError::refused(path, "it holds no certificate"))?;
    let (_, parsed) = X509Certificate::from_der(leaf)
        .map_err(|refused| TlsError::refused(path, &refused.to_string()))?;
    let left_s = parsed.validity().not_after.timestamp().saturating_sub(now.unix_s());
    Ok(left_s.div_euclid(86_400))
}

fn alpn() -> Vec<Vec<u8>> {
    vec![b"h2".to_vec(), b"http/1.1".to_vec()]
}

type Loaded = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn load(identity: &TlsIdentity) -> Result<Loaded, TlsError> {
    let chain = certificates(&identity.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&identity.private_key).map_err(|found| {
        let reason = format!("{found}; expected the private key of the certificate in PEM");
        TlsError::refused(&identity.private_key, &reason)
    })?;
    Ok((chain, key))
}
