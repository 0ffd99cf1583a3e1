//! The HTTP server: bounded connections, deadlines on each phase, an orderly end.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use web::Peer;

/// The time that a client has to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The time that open requests have to end after a stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
const HEAD_LEN_MAX: usize = 16 * 1_024;
const HEADERS_MAX: usize = 64;

/// Serves until `stop` says so, at most `connections` at once; more wait in the listener's queue.
///
/// # Errors
/// [`ServeError`] where the listener fails for good.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    connections: usize,
    mut stop: watch::Receiver<bool>,
) -> Result<(), ServeError> {
    let slots = Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS)));
    let graceful = GracefulShutdown::new();
    while !*stop.borrow() {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            break;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.changed() => break,
        };
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_passing(&error) => continue,
            Err(error) => {
                // Out of file descriptors, say: others will be closed.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(500)).await;
                continue;
            }
        };
        let connection = connection(socket, Peer(peer), router.clone());
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended abnormally");
            }
            drop(slot);
        });
    }
    drop(listener);
    if tokio::time::timeout(STOP_TIMEOUT, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("requests under way were cut off");
    }
    Ok(())
}

fn connection(
    socket: TcpStream,
    peer: Peer,
    router: Router,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> {
    // A small answer must not wait for the acknowledgement of the one before.
    socket.set_nodelay(true).unwrap_or_default();
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let router = router.clone();
        let mut request: Request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        async move {
            let answer = hyper::service::Service::call(&router, request).await;
            answer.map_err(|never: Infallible| never)
        }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_LEN_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(socket), service)
}

/// Errors of one connection that was gone before it was accepted.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

/// Why the API cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: is another program there? Choose another with --listen")]
    Listen {
        /// Names the address.
        address: std::net::SocketAddr,
        /// Says why.
        #[source]
        source: io::Error,
    },
}
