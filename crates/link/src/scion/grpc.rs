//! One question to a gRPC service in clear: the way that daemons are asked.
//!
//! A call is an HTTP/2 request whose body is an octet 0 (not compressed), the
//! message's length in four octets, and the message; the status is in the
//! trailers (gRPC over HTTP/2, "PROTOCOL-HTTP2").

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::client;
use http::{HeaderMap, Request, StatusCode};
use tokio::net::TcpStream;

/// Octets before a message.
const PREFIX: usize = 5;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Http2(#[from] h2::Error),
    #[error("no request can be made of this address")]
    Address,
    #[error("HTTP status {0}")]
    Status(StatusCode),
    #[error("it refuses: status {code}, {said}")]
    Refused { code: String, said: String },
    #[error("an answer of more than {0} octets")]
    TooLong(usize),
    #[error("an answer that is not whole")]
    Torn,
}

/// Calls a method of a service at `at` and gives its answer, of at most
/// `length_max` octets.
pub(super) async fn call(
    at: &str,
    service: &str,
    method: &str,
    message: &[u8],
    length_max: usize,
) -> Result<Vec<u8>, CallError> {
    let stream = TcpStream::connect(at).await?;
    stream.set_nodelay(true)?;
    let (requests, connection) = client::handshake(stream).await?;
    let driver = tokio::spawn(connection);
    let answer = ask(requests, at, service, method, message, length_max).await;
    driver.abort();
    answer
}

async fn ask(
    requests: client::SendRequest<Bytes>,
    at: &str,
    service: &str,
    method: &str,
    message: &[u8],
    length_max: usize,
) -> Result<Vec<u8>, CallError> {
    let request = Request::post(format!("http://{at}/{service}/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .map_err(|_| CallError::Address)?;
    let (answer, mut body) = requests.ready().await?.send_request(request, false)?;
    let mut framed = BytesMut::with_capacity(PREFIX + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).map_err(|_| CallError::TooLong(length_max))?);
    framed.put_slice(message);
    body.send_data(framed.freeze(), true)?;
    let answer = answer.await?;
    if answer.status() != StatusCode::OK {
        return Err(CallError::Status(answer.status()));
    }
    let (parts, mut body) = answer.into_parts();
    // Where there is no body the status stands in front.
    refused(&parts.headers)?;
    let mut octets = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        if octets.len() + chunk.len() > PREFIX + length_max {
            return Err(CallError::TooLong(length_max));
        }
        octets.extend_from_slice(&chunk);
        body.flow_control().release_capacity(chunk.len())?;
    }
    if let Some(trailers) = body.trailers().await? {
        refused(&trailers)?;
    }
    let Some(([0, length @ ..], message)) = octets.split_first_chunk::<PREFIX>() else {
        return Err(CallError::Torn);
    };
    let said = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    if said != message.len() {
        return Err(CallError::Torn);
    }
    Ok(message.to_vec())
}

fn refused(headers: &HeaderMap) -> Result<(), CallError> {
    let text = |name: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.map(|value| value.chars().take(200).collect::<String>())
    };
    match text("grpc-status") {
        None => Ok(()),
        Some(code) if code == "0" => Ok(()),
        Some(code) => Err(CallError::Refused {
            code,
            said: text("grpc-message").unwrap_or_default(),
        }),
    }
}
