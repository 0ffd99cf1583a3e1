//! An AS's daemon: gRPC in clear, as the reference implementation's.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::server::SendResponse;
use scion::address::IsdAs;
use scion::daemon::{SERVICE, put_number, put_octets};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::keys::{Keys, fields};
use super::topology::{Topology, place};

/// Connections at once; more wait.
const CONNECTIONS_MAX: usize = 256;

/// The longest question, in octets.
const REQUEST_MAX: usize = 4_096;

/// When paths end, in seconds since 1970: in 2096.
const EXPIRY: u64 = 4_000_000_000;

/// What packets of a path hold at most, in octets.
const MTU: u64 = 1_400;

/// What each AS notes of itself.
const NOTE: &str = "simulated";

/// Statuses of gRPC.
const PERMISSION_DENIED: &str = "7";
const UNIMPLEMENTED: &str = "12";

pub(super) struct Daemon {
    pub(super) isd_as: IsdAs,
    pub(super) topology: Arc<Topology>,
    /// The routers of the AS by interface.
    pub(super) routers: Vec<(u16, SocketAddr)>,
    pub(super) keys: Arc<Keys>,
    /// Whether it tells no path.
    pub(super) silent: Arc<AtomicBool>,
}

impl Daemon {
    pub(super) async fn run(self, listener: TcpListener) {
        let this = Arc::new(self);
        let mut connections = JoinSet::new();
        loop {
            while connections.len() >= CONNECTIONS_MAX {
                connections.join_next().await;
            }
            while connections.try_join_next().is_some() {}
            match listener.accept().await {
                Ok((stream, _)) => {
                    let this = Arc::clone(&this);
                    connections.spawn(async move { this.serve(stream).await.ok() });
                }
                // Most likely there are too many files open.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    async fn serve(&self, stream: TcpStream) -> Result<(), h2::Error> {
        let mut connection = h2::server::handshake(stream).await?;
        while let Some(request) = connection.accept().await {
            let (request, respond) = request?;
            let method = request
                .uri()
                .path()
                .strip_prefix('/')
                .and_then(|path| path.strip_prefix(SERVICE))
                .and_then(|path| path.strip_prefix('/'))
                .unwrap_or_default()
                .to_owned();
            let mut body = request.into_body();
            let mut asked = Vec::new();
            // Questions are short, and come with or right after their head.
            while let Some(chunk) = next(&mut connection, &mut body).await {
                let chunk = chunk?;
                if asked.len() + chunk.len() > REQUEST_MAX {
                    return Ok(());
                }
                asked.extend_from_slice(&chunk);
            }
            let answer = self.answer(&method, asked.get(5..).unwrap_or_default());
            send(respond, answer)?;
        }
        Ok(())
    }

    fn answer(
        &self,
        method: &str,
        request: &[u8],
    ) -> Result<Vec<u8>, (&'static str, &'static str)> {
        match method {
            "AS" => {
                let mut answer = Vec::new();
                put_number(&mut answer, 1, self.isd_as.to_u64());
                Ok(answer)
            }
            "Paths" => {
                let to = fields(request).and_then(|(numbers, _)| numbers.get(&2).copied());
                Ok(self.paths(IsdAs::from_u64(to.unwrap_or(0))))
            }
            "DRKeyASHost" | "DRKeyHostAS" | "DRKeyHostHost" => {
                let answer = self.keys.answer(method, request);
                answer.ok_or((PERMISSION_DENIED, "not for you"))
            }
            _ => Err((UNIMPLEMENTED, "not simulated")),
        }
    }

    fn paths(&self, to: IsdAs) -> Vec<u8> {
        let mut out = Vec::new();
        if self.silent.load(Ordering::Relaxed) {
            return out;
        }
        for told in self.topology.paths(self.isd_as, to) {
            let first = told.interfaces.first().map(|end| end.interface.0);
            let router = self.routers.iter().find(|(own, _)| Some(*own) == first);
            let Some((_, router)) = router else {
                continue;
            };
            let (mut address, mut interface, mut path) = (Vec::new(), Vec::new(), Vec::new());
            put_octets(&mut address, 1, router.to_string().as_bytes());
            put_octets(&mut interface, 1, &address);
            put_octets(&mut path, 1, &told.octets);
            put_octets(&mut path, 2, &interface);
            for end in &told.interfaces {
                let mut one = Vec::new();
                put_number(&mut one, 1, end.isd_as.to_u64());
                put_number(&mut one, 2, end.interface.0.into());
                put_octets(&mut path, 3, &one);
            }
            put_number(&mut path, 4, MTU);
            let mut expiry = Vec::new();
            put_number(&mut expiry, 1, EXPIRY);
            put_octets(&mut path, 5, &expiry);
            for (number, latency) in told.latencies.iter().enumerate() {
                // Between links lies an AS, which takes no time here.
                if number > 0 {
                    put_octets(&mut path, 6, &[]);
                }
                let mut time = Vec::new();
                put_number(&mut time, 1, latency.as_secs());
                put_number(&mut time, 2, latency.subsec_nanos().into());
                put_octets(&mut path, 6, &time);
            }
            for end in &told.interfaces {
                let mut geo = Vec::new();
                put_octets(&mut geo, 3, place(end.isd_as).as_bytes());
                put_octets(&mut path, 8, &geo);
            }
            for _ in 0..=told.latencies.len() {
                put_octets(&mut path, 11, NOTE.as_bytes());
            }
            put_octets(&mut out, 1, &path);
        }
        out
    }
}

/// The next part of a question. The connection is driven meanwhile; whoever
/// asks again on it before this one is answered is turned away.
async fn next(
    connection: &mut h2::server::Connection<TcpStream, Bytes>,
    body: &mut h2::RecvStream,
) -> Option<Result<Bytes, h2::Error>> {
    loop {
        tokio::select! {
            biased;
            chunk = body.data() => return chunk,
            other = connection.accept() => match other {
                Some(Ok((_, mut respond))) => respond.send_reset(h2::Reason::REFUSED_STREAM),
                Some(Err(error)) => return Some(Err(error)),
                None => return None,
            },
        }
    }
}

fn send(
    mut respond: SendResponse<Bytes>,
    answer: Result<Vec<u8>, (&'static str, &'static str)>,
) -> Result<(), h2::Error> {
    let mut head = http::Response::new(());
    let kind = http::HeaderValue::from_static("application/grpc");
    head.headers_mut().insert("content-type", kind);
    let answer = match answer {
        Ok(answer) => answer,
        Err((code, said)) => {
            let headers = head.headers_mut();
            headers.insert("grpc-status", http::HeaderValue::from_static(code));
            headers.insert("grpc-message", http::HeaderValue::from_static(said));
            return respond.send_response(head, true).map(drop);
        }
    };
    let mut body = respond.send_response(head, false)?;
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    // Paths are few.
    framed.put_u32(u32::try_from(answer.len()).unwrap_or(0));
    framed.put_slice(&answer);
    body.send_data(framed.freeze(), false)?;
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    body.send_trailers(trailers)
}
