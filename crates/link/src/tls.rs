//! TLS from the files that an endpoint names.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, SubjectPublicKeyInfoDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ALL_VERSIONS, ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
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
