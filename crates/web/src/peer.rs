//! The address that a request came from.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Where a request came from: an extension that a server puts into each.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Returns the address that attempts and requests are counted by: of IPv6 the network of a site, 64
/// bits. Where nothing is known, that is one address for all.
#[must_use]
pub fn peer(peer: Option<&Peer>) -> IpAddr {
    let address = peer.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |Peer(peer)| {
        peer.ip().to_canonical()
    });
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

/// Says whether a request came over loopback.
#[must_use]
pub fn is_local(peer: Option<&Peer>) -> bool {
    peer.is_some_and(|Peer(peer)| peer.ip().to_canonical().is_loopback())
}
