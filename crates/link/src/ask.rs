//! One request to an HTTP server and its answer, whole: what links, roles and commands ask of
//! others.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Whom a connection over TLS must be to.
#[derive(Clone, Debug)]
pub struct HttpServer {
    /// Says by which authorities that is known.
    pub tls: Arc<ClientConfig>,
    /// Names the host that its certificate must be of.
    pub name: ServerName<'static>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// The server is not who it must be, or speaks no TLS.
    #[error("no protected connection")]
    Tls(#[source] std::io::Error),
    /// The connection broke, or what came is no HTTP.
    #[error("no answer of HTTP")]
    Http(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The body broke off, or is longer than it may be.
    #[error("the answer is cut off, or too long")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Sends a request on a connection that was made for it, over TLS where `server` says to whom, and
/// takes the answer with a body of at most `most` octets. It has no deadline of its own.
///
/// # Errors
/// [`AskError`]: the request may have arrived all the same.
pub async fn ask(
    stream: TcpStream,
    server: Option<HttpServer>,
    request: Request<Bytes>,
    most: usize,
) -> Result<Response<Bytes>, AskError> {
    match server {
        None => exchange(stream, request, most).await,
        Some(HttpServer { tls, name }) => {
            let connected = TlsConnector::from(tls).connect(name, stream).await;
            exchange(connected.map_err(AskError::Tls)?, request, most).await
        }
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin,
    mut request: Request<Bytes>,
    most: usize,
) -> Result<Response<Bytes>, AskError> {
    if request.method() != Method::GET {
        // Said also of a body without octets, which some servers wait for otherwise.
        let length = HeaderValue::from(request.body().len());
        request.headers_mut().insert(header::CONTENT_LENGTH, length);
    }
    let none = |error: hyper::Error| AskError::Http(error.into());
    let made = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = made.map_err(none)?;
    let answer = async {
        let request = request.map(Full::new);
        let answer = sender.send_request(request).await.map_err(none)?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, most).collect().await;
        let body = body.map_err(AskError::Body)?.to_bytes();
        Ok(Response::from_parts(head, body))
    };
    let (mut answer, mut connection) = (pin!(answer), pin!(connection));
    tokio::select! {
        biased;
        answer = &mut answer => return answer,
        // What has come is with the answer; why nothing more comes is told there as well.
        _ = &mut connection => {}
    }
    answer.await
}

#[cfg(test)]
mod tests {
    //! Evidence: robustness: answers that are cut off, too long, or none.

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    async fn asked(method: Method, answer: &'static [u8]) -> (String, Result<Bytes, AskError>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut heard = Vec::new();
            while !heard.ends_with(b"\r\n\r\n") {
                heard.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(answer).await.unwrap();
            String::from_utf8(heard).unwrap()
        });
        let stream = TcpStream::connect(at).await.unwrap();
        let request = Request::builder().method(method).uri("/");
        let request = request.header("host", "headend").body(Bytes::new());
        let answer = ask(stream, None, request.unwrap(), 4).await;
        (server.await.unwrap(), answer.map(Response::into_body))
    }

    #[tokio::test]
    async fn only_a_whole_answer_is_one() {
        for whole in [
            &b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"[..],
            b"HTTP/1.0 200 OK\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        ] {
            assert_eq!(asked(Method::GET, whole).await.1.unwrap(), "{}");
        }
        for cut in [
            &b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{}"[..],
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n",
            b"HTTP/1.0 200 OK\r\n\r\n{    }",
        ] {
            let (_, told) = asked(Method::GET, cut).await;
            assert!(matches!(told, Err(AskError::Body(_))), "{told:?}");
        }
        for none in [
            &b"SSH-2.0-OpenSSH\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\nx",
            b"",
        ] {
            let (_, told) = asked(Method::GET, none).await;
            assert!(matches!(told, Err(AskError::Http(_))), "{told:?}");
        }
    }

    #[tokio::test]
    async fn the_length_of_a_body_is_said_also_where_it_is_none() {
        let whole = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        let (heard, told) = asked(Method::POST, whole).await;
        assert_eq!(told.unwrap(), "{}");
        assert!(heard.contains("content-length: 0\r\n"), "{heard}");
        let (heard, _) = asked(Method::GET, whole).await;
        assert!(!heard.contains("content-length"), "{heard}");
    }
}
