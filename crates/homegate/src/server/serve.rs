//! The one listening socket: bounded connections, deadlines on each phase, an
//! orderly end.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use web::Peer;

/// The time that a client has for the handshake, and to send the head of a
/// request.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// The time that open requests have to end after a stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);
const HEAD_LEN_MAX: usize = 16 * 1_024;
const HEADERS_MAX: usize = 64;

/// Serves until `stop` says so, at most `connections` at once, half of them of
/// one address; more wait in the listener's queue.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    router: Router,
    connections: usize,
    mut stop: watch::Receiver<bool>,
) {
    let slots = Arc::new(Semaphore::new(connections.min(Semaphore::MAX_PERMITS)));
    let per_address = connections.div_ceil(2);
    let addresses = Arc::new(Addresses::default());
    let acceptor = TlsAcceptor::from(tls);
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
            Err(error) => {
                // Out of file descriptors, say, or a peer that was gone: others
                // will be closed.
                tracing::debug!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Some(place) = addresses.enter(peer.ip(), per_address) else {
            continue;
        };
        let served = connection(
            socket,
            Peer(peer),
            acceptor.clone(),
            router.clone(),
            graceful.watcher(),
        );
        tokio::spawn(async move {
            served.await;
            drop((slot, place));
        });
    }
    drop(listener);
    if tokio::time::timeout(STOP_TIMEOUT, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::debug!("requests under way were cut off");
    }
}

async fn connection(
    socket: TcpStream,
    peer: Peer,
    acceptor: TlsAcceptor,
    router: Router,
    watcher: Watcher,
) {
    // A small answer must not wait for the acknowledgement of the one before.
    socket.set_nodelay(true).unwrap_or_default();
    let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(socket));
    let stream = match handshake.await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%error, "a handshake failed");
            return;
        }
        Err(_) => return,
    };
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
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_LEN_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection ended abnormally");
    }
}

/// Connections of each address.
#[derive(Debug, Default)]
struct Addresses(Mutex<BTreeMap<IpAddr, usize>>);

/// One connection of an address, until it is dropped.
struct Entered(Arc<Addresses>, IpAddr);

impl Addresses {
    fn enter(self: &Arc<Self>, address: IpAddr, most: usize) -> Option<Entered> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(address).or_insert(0);
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Entered(Arc::clone(self), address))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut open = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.1);
            }
        }
    }
}
