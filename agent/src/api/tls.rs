//! Who the API says that it is.

use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::settings::Identity;
use crate::supervisor::Failure;

/// Reads the files that `identity` names.
///
/// # Errors
/// One of them cannot be read or used.
pub(super) fn acceptor(identity: &Identity) -> Result<TlsAcceptor, Failure> {
    let failed = |what: &str, error| Failure::retry(format!("cannot use {what}"), error);
    let (cert, key) = (identity.cert.bytes()?, identity.key.bytes()?);
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&cert).collect();
    let chain = chain.map_err(|error| Failure::retry("cannot read `api.cert_file`", error))?;
    if chain.is_empty() {
        return Err(Failure::retry("`api.cert_file` has no certificate", "expected PEM"));
    }
    let key = PrivateKeyDer::from_pem_slice(&key)
        .map_err(|error| Failure::retry("`api.key_file` has no private key in PEM", error))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| failed("TLS", error))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| failed("`api.cert_file` with `api.key_file`", error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
