//! A head end's API as commands ask it: one request on a connection of its own.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::uri::{Authority, Scheme, Uri};
use axum::http::{HeaderValue, Method, Request, StatusCode, header};
use clap::Args;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::failure::{Failure, chain};
use crate::role;
use crate::secret::Secret;
use crate::text::printable;

/// Where a head end is, and how it is asked.
#[derive(Args, Debug)]
pub(crate) struct ApiOptions {
    /// Address of the head end's API
    #[arg(
        long,
        value_name = "URL",
        env = "GRIDWARD_URL",
        hide_env_values = true,
        default_value = "http://127.0.0.1:8420",
        global = true,
        display_order = 890
    )]
    url: String,

    /// File that holds the token, for its owner alone
    /// [default: the variable GRIDWARD_TOKEN: the token, or @FILE]
    #[arg(long, value_name = "FILE", global = true, display_order = 890)]
    token_file: Option<PathBuf>,

    /// Authorities of an https:// address, in PEM form
    /// [default: those of the system]
    #[arg(long, value_name = "FILE", global = true, display_order = 890)]
    ca: Option<PathBuf>,
}

impl ApiOptions {
    /// Takes address and token; nothing is asked yet.
    ///
    /// # Errors
    /// An address that is none, and a token that is not there.
    pub(crate) fn api(&self) -> Result<Api, Failure> {
        let place = Place::parse(&self.url)?;
        let token = match &self.token_file {
            Some(path) => {
                let path = path.to_str();
                let path = path.ok_or_else(|| Failure::usage("--token-file: a name in UTF-8"))?;
                Secret::from(format!("@{path}")).text("--token-file")?
            }
            None => {
                let text = std::env::var(TOKEN);
                let text = text.map_err(|_| no_token("no token for the head end"))?;
                Secret::from(text).text(TOKEN)?
            }
        };
        let token = Zeroizing::new(token.trim().to_owned());
        if token.is_empty() || !token.bytes().all(|octet| octet.is_ascii_graphic()) {
            return Err(no_token("what was given as the token is none"));
        }
        // What is made of it below lives on in memory that nobody overwrites, as long as this command.
        let bearer = Zeroizing::new(format!("Bearer {}", token.as_str()));
        let mut bearer = HeaderValue::from_str(&bearer)
            .map_err(|_| no_token("what was given as the token is none"))?;
        bearer.set_sensitive(true);
        let tls = place.is_tls().then(|| self.tls(&place)).transpose()?;
        Ok(Api { place, bearer, tls })
    }

    fn tls(&self, place: &Place) -> Result<link::HttpServer, Failure> {
        let file = match (&self.ca, std::env::var_os("SSL_CERT_FILE")) {
            (Some(file), _) => file.clone(),
            (None, Some(file)) => PathBuf::from(file),
            (None, None) => PathBuf::from(AUTHORITIES),
        };
        let unusable = |error: &dyn std::fmt::Display| {
            Failure::new(format!("{}: {error}", file.display()))
                .hint("--ca FILE names the authority of the head end's certificate, in PEM form")
        };
        let mut roots = RootCertStore::empty();
        let all = CertificateDer::pem_file_iter(&file).map_err(|error| unusable(&error))?;
        for certificate in all {
            // A system has some that this library does not take.
            roots.add_parsable_certificates(certificate.ok());
        }
        if roots.is_empty() {
            return Err(unusable(&"it holds no authority"));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Failure::new(chain(&error)))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let host = place.host();
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Failure::usage(format!("--url: {host} is no host name")))?;
        let tls = Arc::new(config);
        Ok(link::HttpServer { tls, name })
    }
}

const TOKEN: &str = "GRIDWARD_TOKEN";
/// Where Debian and most others keep them.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
const CONNECT: Duration = Duration::from_secs(10);
/// A head end answers within 30 seconds, or says that it cannot.
const ANSWER: Duration = Duration::from_secs(60);
/// Octets of an answer.
const ANSWER_MAX: usize = 32 << 20;

fn no_token(reason: &str) -> Failure {
    Failure::usage(reason).hint(
        "the head end's first start printed it: keep it in a file (chmod 600) and give \
         --token-file FILE, or set GRIDWARD_TOKEN to @FILE",
    )
}

/// A head end's API.
pub(crate) struct Api {
    place: Place,
    bearer: HeaderValue,
    tls: Option<link::HttpServer>,
}

impl Api {
    /// Asks for what is at `path` behind `/api/v1`.
    ///
    /// # Errors
    /// No answer, and what the head end says where it refuses.
    pub(crate) fn get(&self, path: &str) -> Result<Value, Failure> {
        self.ask(Method::GET, path, Bytes::new())
    }

    /// Sends `body` to `path` behind `/api/v1`.
    ///
    /// # Errors
    /// As [`get`](Self::get); where an order may have been taken all the same, the failure says so.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.ask(Method::POST, path, Bytes::from(body.to_string()))
    }

    fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<Value, Failure> {
        let is_get = method == Method::GET;
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header(header::HOST, self.place.authority.as_str())
            .header(header::AUTHORIZATION, &self.bearer)
            .header(header::CONNECTION, "close")
            .header(header::CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(|error| Failure::new(chain(&error)))?;
        role::block_on_one(async {
            let stream = self.connect().await?;
            let answer = timeout(
                ANSWER,
                link::ask(stream, self.tls.clone(), request, ANSWER_MAX),
            );
            let failed = match answer.await {
                Ok(Ok(answer)) => return self.read(answer.status(), answer.body()),
                Ok(Err(error)) => chain(&error),
                Err(_) => format!("no answer within {} s", ANSWER.as_secs()),
            };
            let failure = Failure::new(format!("{}: {failed}", self.place));
            Err(if is_get {
                failure.hint("look whether the head end runs, and at its log")
            } else {
                failure.hint(
                    "it may have been taken all the same: look at the journal with \
                     gridward outlets orders before you send it again",
                )
            })
        })
    }

    async fn connect(&self) -> Result<TcpStream, Failure> {
        let cannot = |error: &dyn std::fmt::Display| {
            Failure::new(format!("{} cannot be reached: {error}", self.place))
                .hint("start it with gridward headend, or say with --url where it is")
        };
        let all = lookup_host((self.place.host(), self.place.port())).await;
        let all: Vec<SocketAddr> = all.map_err(|error| cannot(&error))?.collect();
        let elsewhere = all.iter().find(|address| !address.ip().is_loopback());
        if let (None, Some(address)) = (&self.tls, elsewhere) {
            return Err(
                Failure::usage(format!("the token would go to {} in clear", address.ip()))
                    .hint("an https:// address, or ssh -L 8420:127.0.0.1:8420 HOST and no --url"),
            );
        }
        let mut last = io::Error::new(io::ErrorKind::NotFound, "it has no address");
        for address in all {
            match timeout(CONNECT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(cannot(&last))
    }

    fn read(&self, status: StatusCode, body: &[u8]) -> Result<Value, Failure> {
        let strange = || {
            Failure::new(format!("{} answers as no head end does", self.place))
                .with("http_status", json!(status.as_u16()))
                .hint("look whether --url is the address that gridward headend printed")
        };
        let body: Value = serde_json::from_slice(body).map_err(|_| strange())?;
        if status.is_success() {
            return Ok(body);
        }
        let code = body.pointer("/error/code").and_then(Value::as_str);
        let message = body.pointer("/error/message").and_then(Value::as_str);
        let (Some(code), Some(message)) = (code, message) else {
            return Err(strange());
        };
        let failure = Failure::new(printable(message)).with("code", json!(code));
        Err(if status == StatusCode::UNAUTHORIZED {
            failure.hint("give that token with --token-file FILE, or as GRIDWARD_TOKEN")
        } else {
            failure
        })
    }
}

/// Where a head end is.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    scheme: Scheme,
    authority: Authority,
}

impl Place {
    fn parse(url: &str) -> Result<Self, Failure> {
        let wrong = || {
            Failure::usage(format!("--url: {url}: not the address of a head end"))
                .hint("it is like http://127.0.0.1:8420 or https://headend.example")
        };
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let parts = uri.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            return Err(wrong());
        };
        let is_bare = parts.path_and_query.is_none_or(|path| path == "/");
        let (host, port) = (authority.host(), authority.port_u16());
        let has_port = authority.as_str() == host || port.is_some();
        let named = !host.is_empty() && !authority.as_str().contains('@');
        let known = scheme == Scheme::HTTP || scheme == Scheme::HTTPS;
        if is_bare && has_port && named && known {
            Ok(Self { scheme, authority })
        } else {
            Err(wrong())
        }
    }

    fn is_tls(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// Its name or address, the latter without brackets.
    fn host(&self) -> &str {
        let host = self.authority.host();
        let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        bare.unwrap_or(host)
    }

    fn port(&self) -> u16 {
        let usual = if self.is_tls() { 443 } else { 80 };
        self.authority.port_u16().unwrap_or(usual)
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement.

    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let place = |url| {
            let place = Place::parse(url).ok()?;
            Some((place.is_tls(), place.host().to_owned(), place.port()))
        };
        for (url, tls, host, port) in [
            ("http://127.0.0.1:8420", false, "127.0.0.1", 8420),
            ("http://localhost:8420/", false, "localhost", 8420),
            ("https://headend.example", true, "headend.example", 443),
            ("http://headend.example", false, "headend.example", 80),
            ("http://[::1]:8420/", false, "::1", 8420),
            ("https://[::1]", true, "::1", 443),
        ] {
            assert_eq!(place(url), Some((tls, host.to_owned(), port)), "{url}");
        }
        for url in [
            "",
            "127.0.0.1:8420",
            "ftp://host",
            "http://",
            "http://:80",
            "http://host:x",
            "http://host:99999",
            "http://host/api/v1",
            "http://user@host",
            "http://host\r\nX: y",
            "http://[::1",
            "http://[::1]8420",
        ] {
            assert_eq!(place(url), None, "{url:?}");
        }
    }
}
