//! TLS from the files that an endpoint names.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, SubjectPublicKeyInfoDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    ALL_VERSIONS, AlertDescription, CertificateError, ClientConfig, Error, RootCertStore,
    ServerConfig, SupportedProtocolVersion,
};
use zeroize::Zeroizing;

use crate::{HostPort, LinkError, TlsOptions};

/// TLS 1.3 and 1.2, for peers over TCP.
pub(crate) const ALL: &[&SupportedProtocolVersion] = ALL_VERSIONS;

/// TLS 1.3 alone.
pub(crate) const NEW: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// Makes what a client needs, and the name that the server must prove.
pub(crate) fn client(
    at: &HostPort,
    options: &TlsOptions,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<(Arc<ClientConfig>, ServerName<'static>), LinkError> {
    let Some(ca) = &options.ca else {
        return Err(refuse(
            "name the authority of the peer's certificate: ?ca=FILE",
        ));
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .map_err(|error| refuse(&error.to_string()))?
        .with_root_certificates(roots(ca)?);
    let config = match (&options.cert, &options.key) {
        (Some(cert), Some(key)) => builder
            .with_client_auth_cert(chain(cert)?, private_key(key)?)
            .map_err(|error| refuse(&error.to_string()))?,
        (None, None) => builder.with_no_client_auth(),
        _ => return Err(refuse("cert= and key= belong together")),
    };
    let name = options.name.as_ref().unwrap_or(&at.host).clone();
    let name = ServerName::try_from(name)
        .map_err(|_| refuse("the peer's name is no host name: give it as ?name=NAME"))?;
    Ok((Arc::new(config), name))
}

/// Makes what a listener needs; with `ca`, clients must show a certificate.
pub(crate) fn server(
    options: &TlsOptions,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<Arc<ServerConfig>, LinkError> {
    let (Some(cert), Some(key)) = (&options.cert, &options.key) else {
        return Err(refuse(
            "a listener shows a certificate: ?cert=FILE&key=FILE",
        ));
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(|error| refuse(&error.to_string()))?;
    let builder = match &options.ca {
        Some(ca) => {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots(ca)?), provider)
                    .build()
                    .map_err(|error| refuse(&error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
        None => builder.with_no_client_auth(),
    };
    let config = builder
        .with_single_cert(chain(cert)?, private_key(key)?)
        .map_err(|error| refuse(&error.to_string()))?;
    Ok(Arc::new(config))
}

fn roots(file: &Path) -> Result<RootCertStore, LinkError> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(file)? {
        roots
            .add(certificate)
            .map_err(|error| unusable(file, &error.to_string()))?;
    }
    Ok(roots)
}

/// Reads the first certificate of a PEM file, in DER form.
///
/// # Errors
/// [`LinkError::Tls`] where there is none.
pub fn certificate_der(file: &Path) -> Result<Vec<u8>, LinkError> {
    let first = chain(file)?.into_iter().next();
    first
        .map(|certificate| certificate.to_vec())
        .ok_or_else(|| unusable(file, "it holds no certificate in PEM form"))
}

/// Reads the public key of a PEM file, a `SubjectPublicKeyInfo` in DER form.
///
/// # Errors
/// [`LinkError::Tls`] where there is none.
pub fn public_key_der(file: &Path) -> Result<Vec<u8>, LinkError> {
    SubjectPublicKeyInfoDer::from_pem_file(file)
        .map(|key| key.to_vec())
        .map_err(|_| {
            unusable(
                file,
                "it cannot be read, or holds no public key in PEM form",
            )
        })
}

/// Reads the private key of a PEM file, in DER form.
///
/// # Errors
/// [`LinkError::Tls`] where there is none.
pub fn private_key_der(file: &Path) -> Result<Zeroizing<Vec<u8>>, LinkError> {
    private_key(file).map(|key| Zeroizing::new(key.secret_der().to_vec()))
}

fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, LinkError> {
    let certificates = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable(file, &error.to_string()))?;
    if certificates.is_empty() {
        return Err(unusable(file, "it holds no certificate in PEM form"));
    }
    Ok(certificates)
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, LinkError> {
    // The cause may quote what it could not read, so it is not passed on.
    PrivateKeyDer::from_pem_file(file).map_err(|_| {
        unusable(
            file,
            "it cannot be read, or holds no private key in PEM form",
        )
    })
}

fn unusable(file: &Path, reason: &str) -> LinkError {
    refuse(&format!("{}: {reason}", file.display()))
}

fn refuse(reason: &str) -> LinkError {
    LinkError::Tls(reason.into())
}

/// Says why a handshake failed, and what to do about it.
pub(crate) fn failed(error: &std::io::Error) -> LinkError {
    find(error).unwrap_or_else(|| match error.kind() {
        std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset => refuse(
            "the peer hung up in the handshake: check the scheme and the port, and what it logs",
        ),
        _ => refuse(&error.to_string()),
    })
}

/// Finds an error of TLS in one of the operating system's: in TLS 1.3 a client
/// learns only with the first answer that its certificate was refused.
pub(crate) fn find(error: &std::io::Error) -> Option<LinkError> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    Some(told(error))
}

/// Says what an error of TLS means, and what to do about it.
pub(crate) fn told(error: &Error) -> LinkError {
    match error {
        Error::InvalidCertificate(reason) => certificate(reason),
        Error::NoCertificatesPresented => {
            refuse("the peer showed no certificate: it must be given one, with its key")
        }
        Error::InvalidMessage(_) => {
            refuse("the peer does not speak TLS: check the scheme and the port")
        }
        Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired => {
                refuse("the peer wants a certificate of this side: give cert=FILE and key=FILE")
            }
            AlertDescription::CertificateExpired => refuse(
                "the peer says that the certificate of this side has expired, or is not valid \
                 yet: renew what cert= names, and check both clocks",
            ),
            AlertDescription::UnknownCA | AlertDescription::DecryptError => refuse(
                "the peer does not trust who signed the certificate of this side: what cert= names \
                 must be signed by the authority that the peer has as its ca=, and key= be its key",
            ),
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::AccessDenied => refuse(&format!(
                "the peer refuses the certificate of this side ({alert:?}): what cert= names must \
                 be for the name that the peer asks for, and key= must be its key"
            )),
            _ => refuse(&format!("the peer ended the handshake ({alert:?})")),
        },
        _ => refuse(&error.to_string()),
    }
}

fn certificate(reason: &CertificateError) -> LinkError {
    match reason {
        CertificateError::Expired => {
            refuse("the certificate of the peer has expired: renew it, or check the clock here")
        }
        CertificateError::ExpiredContext { time, not_after } => refuse(&format!(
            "the certificate of the peer has expired, {} days ago: renew it, or check the clock here",
            time.as_secs().saturating_sub(not_after.as_secs()) / 86_400
        )),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            refuse("the certificate of the peer is not valid yet: check the clock here")
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => refuse(
            "the certificate of the peer is not signed by the authority in ca=: name the file of \
             the one that signed it, or somebody else answers here",
        ),
        CertificateError::NotValidForName => {
            refuse("the certificate of the peer is for another name: give that as name=NAME")
        }
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => {
            let names: Vec<&str> = presented
                .iter()
                .take(NAMES_SHOWN)
                .map(String::as_str)
                .collect();
            refuse(&format!(
                "the certificate of the peer is for {}, not for {}: if that is whom you mean, give \
                 it as name=NAME",
                names.join(", "),
                expected.to_str()
            ))
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            refuse(
                "the certificate of the peer is for another purpose: it needs the extended key usage \
             of a TLS server or client",
            )
        }
        _ => refuse(&format!(
            "the certificate of the peer cannot be used: {reason}"
        )),
    }
}

/// Names of a certificate that an error shows.
const NAMES_SHOWN: usize = 3;
