//! An AS that is known by its endhost API: routers and segments over HTTP.
//!
//! A call is a POST with the message as its body (the Connect protocol's unary
//! calls). What comes back was verified by nobody on this side.

use scion::address::IsdAs;
use scion::daemon::{MAX_ANSWER, Route};
use scion::endhost::{
    Router, SEGMENTS, Segments, UNDERLAYS, segments_request, underlays_answer, underlays_request,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What the address of an endhost API begins with; that of a daemon has none.
const SCHEME: &str = "http://";

/// Pages of segments that are asked for.
const PAGES_MAX: usize = 8;

/// Tells whether an address is that of an endhost API.
pub(super) fn is_api(at: &str) -> bool {
    at.starts_with(SCHEME)
}

/// Asks for the routers, and so for the AS that they are of.
pub(super) async fn routers(at: &str) -> Result<(IsdAs, Vec<Router>), String> {
    let answer = call(at, UNDERLAYS, &underlays_request()).await?;
    let routers = underlays_answer(&answer).map_err(|why| why.to_string())?;
    let first = routers.first().map(|router| router.isd_as);
    match first {
        None => Err("it names no router that takes packets over UDP".to_owned()),
        Some(isd_as) if routers.iter().all(|router| router.isd_as == isd_as) => {
            Ok((isd_as, routers))
        }
        Some(_) => Err("it names routers of several ASes: take that of one".to_owned()),
    }
}

/// Asks for the paths between two ASes.
pub(super) async fn routes(at: &str, from: IsdAs, to: IsdAs) -> Result<Vec<Route>, String> {
    let (_, routers) = routers(at).await?;
    let mut segments = Segments::default();
    for _ in 0..PAGES_MAX {
        let request = segments_request(from, to, &segments.next);
        let answer = call(at, SEGMENTS, &request).await?;
        segments.add(&answer).map_err(|why| why.to_string())?;
        if segments.next.is_empty() {
            break;
        }
    }
    if segments.left_out > 0 {
        tracing::info!(left_out = segments.left_out, %to, "segments that cannot be used");
    }
    Ok(segments.routes(from, to, &routers))
}

/// Calls a method of a service.
async fn call(at: &str, (service, method): (&str, &str), body: &[u8]) -> Result<Vec<u8>, String> {
    let rest = at.strip_prefix(SCHEME).unwrap_or(at);
    let (authority, base) = rest.split_once('/').unwrap_or((rest, ""));
    let base = base.trim_end_matches('/');
    let slash = if base.is_empty() { "" } else { "/" };
    // Of this version, so that the answer comes in one piece and ends with the
    // connection.
    let mut request = format!(
        "POST {slash}{base}/{service}/{method} HTTP/1.0\r\nHost: {authority}\r\nContent-Type: \
         application/proto\r\nConnect-Protocol-Version: 1\r\nContent-Length: {}\r\nConnection: \
         close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    let exchange = async {
        let mut stream = TcpStream::connect(authority).await?;
        stream.set_nodelay(true)?;
        stream.write_all(&request).await?;
        let mut octets = Vec::new();
        let most = u64::try_from(MAX_ANSWER).unwrap_or(u64::MAX);
        stream.take(most).read_to_end(&mut octets).await?;
        Ok::<_, std::io::Error>(octets)
    };
    let octets = exchange.await.map_err(|error| error.to_string())?;
    answer(&octets).map(<[u8]>::to_vec)
}

/// Takes an answer apart.
fn answer(octets: &[u8]) -> Result<&[u8], String> {
    let torn = || "an answer that is not whole, or none of HTTP".to_owned();
    let end = octets.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.ok_or_else(torn)?;
    let (head, body) = octets.split_at_checked(end + 4).ok_or_else(torn)?;
    let head = core::str::from_utf8(head).map_err(|_| torn())?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .filter(|line| line.starts_with("HTTP/1."))
        .and_then(|line| line.split(' ').nth(1));
    let lengths = lines.filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        let length = name.eq_ignore_ascii_case("content-length");
        length.then(|| value.trim().parse::<usize>().ok())?
    });
    let length = lengths.last();
    match status {
        Some("200") if length.is_none_or(|length| length == body.len()) => Ok(body),
        Some("200") | None => Err(torn()),
        Some(status) => Err(format!("HTTP status {status}")),
    }
}

#[cfg(test)]
mod tests {
    //! Evidence: answers written by hand.
    use super::*;

    #[test]
    fn an_answer_is_taken_whole_or_not_at_all() {
        let ok = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nx: y\r\n\r\nabc";
        assert_eq!(answer(ok), Ok(&b"abc"[..]));
        assert_eq!(answer(b"HTTP/1.0 200 OK\r\n\r\nabc"), Ok(&b"abc"[..]));
        assert!(answer(&ok[..ok.len() - 1]).is_err());
        assert_eq!(
            answer(b"HTTP/1.1 503 Busy\r\n\r\n").unwrap_err(),
            "HTTP status 503"
        );
        for octets in [
            &b""[..],
            b"HTTP/1.1 200 OK\r\n",
            b"SSH-2.0\r\n\r\n",
            &[0xff; 40],
        ] {
            assert!(answer(octets).is_err());
        }
        assert!(is_api("http://127.0.0.1:1") && !is_api("127.0.0.1:30255"));
    }
}
