//! A border router of one interface, and the link behind it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use scion::packet::{Carried, Packet, interface_down};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::route::{self, Onward, Route};
use super::topology::End;
use super::{Fate, Shared, now};

/// Packets that are under way on a link in one direction; more are lost.
const UNDER_WAY_MAX: usize = 4_096;

/// The longest packet that is carried.
const PACKET_MAX: usize = 2_048;

/// A packet under way, and when it arrives.
type UnderWay = (Instant, Vec<u8>);

pub(super) struct Router {
    pub(super) end: End,
    /// The link behind it.
    pub(super) link: usize,
    pub(super) socket: Arc<UdpSocket>,
    /// The router at the link's other end.
    pub(super) remote: SocketAddr,
    pub(super) shared: Arc<Shared>,
    /// The link's time one way.
    pub(super) delay: Duration,
}

impl Router {
    pub(super) async fn run(self) {
        let (late, under_way) = mpsc::channel(UNDER_WAY_MAX);
        let carried = carry(under_way, Arc::clone(&self.socket), self.remote);
        tokio::join!(self.route(late), carried);
    }

    async fn route(&self, late: mpsc::Sender<UnderWay>) {
        let mut buffer = vec![0; PACKET_MAX];
        while let Ok((count, from)) = self.socket.recv_from(&mut buffer).await {
            let Some(octets) = buffer.get_mut(..count) else {
                continue;
            };
            let done = if from == self.remote {
                self.arrived(octets).await
            } else {
                self.leaves(octets, &late).await
            };
            if done.is_none() {
                self.shared.astray();
            }
        }
    }

    /// A packet came over the link.
    async fn arrived(&self, octets: &mut [u8]) -> Option<()> {
        let mut route = route::of(octets)?;
        if route.enters() != Some(self.end.interface) {
            return None;
        }
        let onward = route.onward()?;
        self.hand_on(onward, octets).await
    }

    /// Hands a packet to its host, or to the router that it leaves the AS by.
    async fn hand_on(&self, onward: Onward, octets: &[u8]) -> Option<()> {
        let to = match onward {
            Onward::Deliver => host_of(octets, self.end)?,
            Onward::Out(interface) => self.shared.router(End {
                interface,
                ..self.end
            })?,
        };
        // What cannot be sent is lost, as anywhere.
        self.socket.send_to(octets, to).await.ok();
        Some(())
    }

    /// A packet came from within the AS: from a host or another router.
    async fn leaves(&self, octets: &mut [u8], late: &mpsc::Sender<UnderWay>) -> Option<()> {
        let route = route::of(octets)?;
        if route.leaves() != Some(self.end.interface) {
            return None;
        }
        match self.shared.fate(self.link, octets.len()) {
            Fate::Lost => Some(()),
            Fate::Reported => self.report(octets).await,
            Fate::Passes => {
                route::of(octets)?.advance();
                if self.delay.is_zero() {
                    self.socket.send_to(octets, self.remote).await.ok();
                } else if late
                    .try_send((now() + self.delay, octets.to_vec()))
                    .is_err()
                {
                    self.shared.overflowed(self.link);
                }
                Some(())
            }
        }
    }

    /// Tells the host that sent a packet that the link is down.
    async fn report(&self, octets: &mut [u8]) -> Option<()> {
        let mut back = route::of(octets)?.reversed()?;
        let onward = Route::new(&mut back)?.onward()?;
        let packet = Packet::decode(octets).ok()?;
        // Of a report none is made.
        let Ok(Carried::Udp { .. } | Carried::Scmp(..)) = packet.carried() else {
            return Some(());
        };
        let from = (self.end.isd_as, self.socket.local_addr().ok()?.ip());
        let report = interface_down(from, packet.source, &back, self.end.interface, octets);
        self.hand_on(onward, &report.ok()?).await
    }
}

/// Where a packet is delivered: at the port that it names itself, or of a
/// report at that of the packet which is quoted.
fn host_of(octets: &[u8], end: End) -> Option<SocketAddr> {
    let packet = Packet::decode(octets).ok()?;
    let (isd_as, host): (_, IpAddr) = packet.destination;
    let port = match packet.carried().ok()? {
        Carried::Udp {
            destination_port, ..
        } => destination_port,
        Carried::Report(_, quote) => Packet::decode_quote(quote).ok()?.quoted_ports().ok()?.0,
        Carried::Scmp(..) => return None,
    };
    (isd_as == end.isd_as).then(|| SocketAddr::new(host, port))
}

/// Has packets arrive when they are due.
async fn carry(
    mut under_way: mpsc::Receiver<UnderWay>,
    socket: Arc<UdpSocket>,
    remote: SocketAddr,
) {
    while let Some((due, octets)) = under_way.recv().await {
        tokio::time::sleep_until(due).await;
        socket.send_to(&octets, remote).await.ok();
    }
}
