//! Whom we believe, and who we say we are.

use std::sync::Arc;

use rumqttc::TlsConfiguration;
use rumqttc::tokio_rustls::rustls::crypto::aws_lc_rs;
use rumqttc::tokio_rustls::rustls::pki_types::pem::PemObject as _;
use rumqttc::tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rumqttc::tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::secret;
use super::settings::MqttSettings;
use crate::supervisor::Failure;

/// Reads the files that `settings` name, anew at each attempt: certificates are renewed while we run.
///
/// # Errors
/// One of them cannot be read or used.
pub(super) fn configuration(settings: &MqttSettings) -> Result<TlsConfiguration, Failure> {
    let failed = |what: &str, error| Failure::retry(format!("cannot use {what}"), error);
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed("TLS", error))?
        .with_root_certificates(believed(settings)?);
    let Some((cert, key)) = &settings.identity else {
        return Ok(builder.with_no_client_auth().into());
    };
    let (cert, key) = (cert.bytes()?, key.bytes()?);
    let chain = certificates("`mqtt.cert_file`", &cert)?;
    let key = PrivateKeyDer::from_pem_slice(&key)
        .map_err(|error| Failure::retry("`mqtt.key_file` has no private key in PEM", error))?;
    let config = builder
        .with_client_auth_cert(chain, key)
        .map_err(|error| failed("`mqtt.cert_file` with `mqtt.key_file`", error))?;
    Ok(config.into())
}

/// The authorities of `mqtt.ca_file`, else the system's.
fn believed(settings: &MqttSettings) -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    let Some(path) = &settings.ca else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(roots);
    };
    for certificate in certificates("`mqtt.ca_file`", &secret::read(path)?)? {
        roots
            .add(certificate)
            .map_err(|error| Failure::retry("cannot use `mqtt.ca_file`", error))?;
    }
    Ok(roots)
}

fn certificates(what: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(Failure::retry(format!("{what} has no certificate"), "expected PEM")),
        Err(error) => Err(Failure::retry(format!("cannot read {what}"), error)),
    }
}
