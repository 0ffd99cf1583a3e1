//! An AS that is known by its endhost API: routers and segments over HTTP.
//!
//! A call is a POST with the message as its body (the Connect protocol's unary
//! calls). What comes back was verified by nobody on this side.

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use scion::address::IsdAs;
use scion::daemon::{MAX_ANSWER, Route};
use scion::endhost::{
    Router, SEGMENTS, Segments, UNDERLAYS, segments_request, underlays_answer, underlays_request,
};
use tokio::net::TcpStream;

use crate::ask;

/// What stands behind the scheme in the address of an endhost API; that of a daemon has none.
const SCHEME: &str = "://";

/// Pages of segments that are asked for.
const PAGES_MAX: usize = 8;

/// Tells whether an address is that of an endhost API.
pub(super) fn is_api(at: &str) -> bool {
    at.contains(SCHEME)
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
    let wrong = || format!("{at} is no address of an endhost API: write http://HOST:PORT");
    let base: Uri = at.parse().map_err(|_| wrong())?;
    if base.scheme_str() != Some("http") {
        return Err(format!(
            "{at}: there is no TLS to an endhost API: write http://HOST:PORT"
        ));
    }
    let authority = base.authority().ok_or_else(wrong)?;
    let path = base.path().trim_end_matches('/');
    let request = Request::post(format!("{path}/{service}/{method}"))
        .header(header::HOST, authority.as_str())
        .header(header::CONTENT_TYPE, "application/proto")
        .header(header::CONNECTION, "close")
        .header("connect-protocol-version", "1")
        .body(Bytes::copy_from_slice(body))
        .map_err(|error| error.to_string())?;
    let stream = TcpStream::connect(authority.as_str()).await;
    let stream = stream.map_err(|error| error.to_string())?;
    let answer = ask(stream, None, request, MAX_ANSWER).await;
    let answer = answer.map_err(|error| error.to_string())?;
    match answer.status() {
        StatusCode::OK => Ok(answer.into_body().into()),
        status => Err(format!("HTTP status {}", status.as_u16())),
    }
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement.
    use super::*;

    #[tokio::test]
    async fn what_is_no_address_is_told_as_such() {
        assert!(is_api("http://127.0.0.1:1") && !is_api("127.0.0.1:30255"));
        // One with TLS is not taken for a daemon.
        assert!(is_api("https://127.0.0.1:1"));
        for at in ["http://", "http://a b", "http:///x", "https://127.0.0.1:1"] {
            let told = routers(at).await.unwrap_err();
            assert!(told.contains("write http://HOST:PORT"), "{told}");
        }
    }
}
