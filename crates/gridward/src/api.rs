//! A head end's API as commands ask it: one request on a connection of its own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::failure::{Failure, chain};
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
        // What is no token would be read as another header line.
        if token.is_empty() || !token.bytes().all(|octet| octet.is_ascii_graphic()) {
            return Err(no_token("what was given as the token is none"));
        }
        let tls = place.tls.then(|| self.tls(&place)).transpose()?;
        Ok(Api { place, token, tls })
    }

    fn tls(&self, place: &Place) -> Result<(Arc<ClientConfig>, ServerName<'static>), Failure> {
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
        let name = ServerName::try_from(place.host.clone())
            .map_err(|_| Failure::usage(format!("--url: {} is no host name", place.host)))?;
        Ok((Arc::new(config), name))
    }
}

const TOKEN: &str = "GRIDWARD_TOKEN";
/// Where Debian and most others keep them.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
const CONNECT: Duration = Duration::from_secs(10);
/// A head end answers within 30 seconds, or says that it cannot.
const ANSWER: Duration = Duration::from_secs(60);
/// Octets of an answer, its head included.
const ANSWER_MAX: u64 = 32 << 20;

fn no_token(reason: &str) -> Failure {
    Failure::usage(reason).hint(
        "the head end's first start printed it: keep it in a file (chmod 600) and give \
         --token-file FILE, or set GRIDWARD_TOKEN to @FILE",
    )
}

/// A head end's API.
pub(crate) struct Api {
    place: Place,
    token: Zeroizing<String>,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl Api {
    /// Asks for what is at `path` behind `/api/v1`.
    ///
    /// # Errors
    /// No answer, and what the head end says where it refuses.
    pub(crate) fn get(&self, path: &str) -> Result<Value, Failure> {
        self.ask("GET", path, "")
    }

    /// Sends `body` to `path` behind `/api/v1`.
    ///
    /// # Errors
    /// As [`get`](Self::get); where an order may have been taken all the same, the failure says so.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.ask("POST", path, &body.to_string())
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Result<Value, Failure> {
        let stream = self.connect()?;
        // Of this version, so that the answer comes in one piece and ends with the connection.
        let request = Zeroizing::new(format!(
            "{method} /api/v1{path} HTTP/1.0\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
             Connection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.place.authority(),
            self.token.as_str(),
            body.len()
        ));
        let answer = match &self.tls {
            None => exchange(stream, &request),
            Some((config, name)) => ClientConnection::new(Arc::clone(config), name.clone())
                .map_err(std::io::Error::other)
                .and_then(|tls| exchange(StreamOwned::new(tls, stream), &request)),
        };
        let answer = answer.map_err(|error| {
            let failure = Failure::new(format!("{}: {}", self.place, chain(&error)));
            match method {
                "GET" => failure.hint("look whether the head end runs, and at its log"),
                _ => failure.hint(
                    "it may have been taken all the same: look at the journal with \
                     gridward outlets orders before you send it again",
                ),
            }
        })?;
        self.read(&answer)
    }

    fn connect(&self) -> Result<TcpStream, Failure> {
        let cannot = |error: &dyn std::fmt::Display| {
            Failure::new(format!("{} cannot be reached: {error}", self.place))
                .hint("start it with gridward headend, or say with --url where it is")
        };
        let all = (self.place.host.as_str(), self.place.port).to_socket_addrs();
        let all: Vec<SocketAddr> = all.map_err(|error| cannot(&error))?.collect();
        let elsewhere = all.iter().find(|address| !address.ip().is_loopback());
        if let (None, Some(address)) = (&self.tls, elsewhere) {
            return Err(
                Failure::usage(format!("the token would go to {} in clear", address.ip()))
                    .hint("an https:// address, or ssh -L 8420:127.0.0.1:8420 HOST and no --url"),
            );
        }
        let mut last = None;
        for address in all {
            let made = TcpStream::connect_timeout(&address, CONNECT).and_then(|stream| {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(ANSWER))?;
                stream.set_write_timeout(Some(ANSWER))?;
                Ok(stream)
            });
            match made {
                Ok(stream) => return Ok(stream),
                Err(error) => last = Some(error),
            }
        }
        Err(match last {
            Some(error) => cannot(&error),
            None => cannot(&"it has no address"),
        })
    }

    fn read(&self, answer: &Answer) -> Result<Value, Failure> {
        let strange = || {
            Failure::new(format!("{} answers as no head end does", self.place))
                .with("http_status", json!(answer.status))
                .hint("look whether --url is the address that gridward headend printed")
        };
        let body: Value = serde_json::from_slice(&answer.body).map_err(|_| strange())?;
        if (200..300).contains(&answer.status) {
            return Ok(body);
        }
        let code = body.pointer("/error/code").and_then(Value::as_str);
        let message = body.pointer("/error/message").and_then(Value::as_str);
        let (Some(code), Some(message)) = (code, message) else {
            return Err(strange());
        };
        let failure = Failure::new(printable(message)).with("code", json!(code));
        Err(match answer.status {
            401 => failure.hint("give that token with --token-file FILE, or as GRIDWARD_TOKEN"),
            _ => failure,
        })
    }
}

/// An answer of HTTP.
struct Answer {
    status: u16,
    body: Vec<u8>,
}

/// Sends a request and takes the answer, whole.
fn exchange(mut stream: impl Read + Write, request: &str) -> std::io::Result<Answer> {
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    let mut octets = Vec::new();
    let ended = stream.take(ANSWER_MAX).read_to_end(&mut octets);
    match parse(&octets) {
        // Some end a TLS connection without saying so: then the length must have been told.
        Some((answer, true)) => Ok(answer),
        Some((answer, false)) => ended.map(|_| answer),
        None => {
            ended?;
            let cut = "the answer is cut off, or none of HTTP";
            Err(std::io::Error::new(std::io::ErrorKind::InvalidData, cut))
        }
    }
}

/// Takes an answer apart, and tells whether it is as long as its head says.
fn parse(octets: &[u8]) -> Option<(Answer, bool)> {
    let end = octets.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(octets.get(..end)?).ok()?;
    let mut body = octets.get(end + 4..)?;
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    if !first.next()?.starts_with("HTTP/1.") {
        return None;
    }
    let status = first.next()?.parse().ok()?;
    let mut told = false;
    for line in lines {
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("content-length") {
            body = body.get(..value.trim().parse().ok()?)?;
            told = true;
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            return None;
        }
    }
    let body = body.to_vec();
    Some((Answer { status, body }, told))
}

/// Where a head end is.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    tls: bool,
    host: String,
    port: u16,
}

impl Place {
    fn parse(url: &str) -> Result<Self, Failure> {
        let wrong = || {
            Failure::usage(format!("--url: {url}: not the address of a head end"))
                .hint("it is like http://127.0.0.1:8420 or https://headend.example")
        };
        let (tls, rest) = match url.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            _ => return Err(wrong()),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or_else(wrong)?;
                let port = match port {
                    "" => "",
                    port => port.strip_prefix(':').ok_or_else(wrong)?,
                };
                (host, port)
            }
            None => authority.split_once(':').unwrap_or((authority, "")),
        };
        let named =
            |character: char| character.is_ascii_alphanumeric() || "-._:".contains(character);
        if host.is_empty() || !host.chars().all(named) {
            return Err(wrong());
        }
        let port = match (port, tls) {
            ("", false) => 80,
            ("", true) => 443,
            (port, _) => port.parse().map_err(|_| wrong())?,
        };
        let host = host.to_owned();
        Ok(Self { tls, host, port })
    }

    fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement, and answers cut at every octet.

    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let place = |url| {
            let place = Place::parse(url).ok()?;
            Some((place.tls, place.authority()))
        };
        for (url, tls, authority) in [
            ("http://127.0.0.1:8420", false, "127.0.0.1:8420"),
            ("http://localhost:8420/", false, "localhost:8420"),
            ("https://headend.example", true, "headend.example:443"),
            ("http://[::1]:8420/", false, "[::1]:8420"),
            ("https://[::1]", true, "[::1]:443"),
        ] {
            assert_eq!(place(url), Some((tls, authority.to_owned())), "{url}");
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

    #[test]
    fn an_answer_that_is_cut_is_none() {
        let whole = b"HTTP/1.0 409 Conflict\r\ncontent-length: 2\r\nx: y\r\n\r\n{}";
        let (answer, told) = parse(whole).unwrap();
        assert_eq!(
            (answer.status, answer.body.as_slice(), told),
            (409, &b"{}"[..], true)
        );
        for end in 0..whole.len() {
            assert!(parse(&whole[..end]).is_none(), "{end}");
        }
        let (answer, told) = parse(b"HTTP/1.1 200 OK\r\n\r\n{\"a\"").unwrap();
        assert_eq!((answer.status, answer.body.len(), told), (200, 4, false));
        for other in [
            &b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"[..],
            b"SSH-2.0-OpenSSH\r\n\r\n",
            b"HTTP/1.1 abc\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nno header\r\n\r\n",
        ] {
            assert!(parse(other).is_none());
        }
    }
}
