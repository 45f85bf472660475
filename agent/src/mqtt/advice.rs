//! What went wrong with a connection, and what to do where that is known.

use std::error::Error;
use std::io::ErrorKind;

use rumqttc::tokio_rustls::rustls::{self, AlertDescription, CertificateError};
use rumqttc::{ConnectReturnCode, ConnectionError, TlsError};

use super::address::Address;
use crate::report;

const NO_TLS: &str = "is there TLS on that port? check `mqtt.url`";

/// One line for the log: the error, where it happened, and what to do.
pub(super) fn advice(error: &ConnectionError, broker: &Address) -> String {
    let what = report::chain(error);
    match todo(error) {
        Some(todo) => format!("{what}: {todo}"),
        None => what,
    }
    .replace("{host}", &broker.host)
}

fn todo(error: &ConnectionError) -> Option<&'static str> {
    if let Some(error) = tls(error) {
        return tls_todo(error);
    }
    match error {
        ConnectionError::ConnectionRefused(
            ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized,
        ) => Some("the broker refuses the login: check `mqtt.username` and `mqtt.password_file`"),
        ConnectionError::ConnectionRefused(ConnectReturnCode::BadClientId) => {
            Some("the broker refuses the client id: check `mqtt.client_id`")
        }
        ConnectionError::Io(io) if io.kind() == ErrorKind::ConnectionRefused => {
            Some("nothing listens there: is the broker running, and the port right?")
        }
        ConnectionError::Tls(TlsError::Io(io))
            if matches!(io.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) =>
        {
            Some(NO_TLS)
        }
        ConnectionError::NetworkTimeout => Some("the broker does not answer"),
        _ => None,
    }
}

fn tls_todo(error: &rustls::Error) -> Option<&'static str> {
    let todo = match error {
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the broker's certificate has expired: renew it (or is this device's clock wrong?)"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "the broker's certificate is not valid yet: is this device's clock right?"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "the broker's certificate is for another name than `{host}`: use a name that is in \
                 it in `mqtt.url`, or issue one that has this name"
            }
            // Another authority, or a new one under the old name.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "nobody we believe signed the broker's certificate: name its authority in \
                 `mqtt.ca_file`"
            }
            _ => return None,
        },
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure => {
                "the broker wants to see a certificate: set `mqtt.cert_file` and `mqtt.key_file`"
            }
            AlertDescription::CertificateExpired => {
                "our certificate has expired: renew `mqtt.cert_file`"
            }
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateRevoked => {
                "the broker does not believe our certificate: check `mqtt.cert_file`"
            }
            _ => return None,
        },
        rustls::Error::InvalidMessage(_) => NO_TLS,
        _ => return None,
    };
    Some(todo)
}

/// The error of TLS that is behind `error`. An I/O error hides what it carries from `source`.
fn tls(error: &ConnectionError) -> Option<&rustls::Error> {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        let carried = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match carried {
            Some(carried) => {
                let carried: &(dyn Error + 'static) = carried;
                Some(carried)
            }
            None => error.source(),
        };
    }
    None
}
