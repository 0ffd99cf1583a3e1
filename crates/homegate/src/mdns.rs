//! The gateway announced in the home network (RFC 6762, RFC 6763): service
//! `_gridward._tcp`, and `_https._tcp` for browsers. Off unless configured: it
//! opens a UDP socket of its own.

use std::net::SocketAddr;

use mdns_sd::{ServiceDaemon, ServiceInfo};

/// What is announced, until it is ended.
pub struct Announced(ServiceDaemon);

/// Why the gateway cannot be announced.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MdnsError {
    /// The address is not one that others reach.
    #[error("others do not reach {0}: listen on another address, or set mdns = false")]
    Loopback(SocketAddr),
    /// The daemon says why.
    #[error("announcing failed")]
    Daemon(#[from] mdns_sd::Error),
}

const SERVICES: [&str; 2] = ["_gridward._tcp.local.", "_https._tcp.local."];

impl Announced {
    /// Announces a gateway of this name.
    ///
    /// # Errors
    /// [`MdnsError`] says why not.
    pub fn new(name: &str, address: SocketAddr) -> Result<Self, MdnsError> {
        if address.ip().is_loopback() {
            return Err(MdnsError::Loopback(address));
        }
        let daemon = ServiceDaemon::new()?;
        let host = host();
        for service in SERVICES {
            let properties = [("path", "/"), ("espi", "/espi/1_1/resource")];
            let info = if address.ip().is_unspecified() {
                ServiceInfo::new(
                    service,
                    name,
                    &host,
                    "",
                    address.port(),
                    properties.as_slice(),
                )?
                .enable_addr_auto()
            } else {
                ServiceInfo::new(
                    service,
                    name,
                    &host,
                    address.ip(),
                    address.port(),
                    properties.as_slice(),
                )?
            };
            daemon.register(info)?;
        }
        Ok(Self(daemon))
    }

    /// Takes the announcement back.
    pub fn end(self) {
        // Nobody waits for the farewell; without it the announcement runs out.
        drop(self.0.shutdown());
    }
}

impl std::fmt::Debug for Announced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Announced").finish_non_exhaustive()
    }
}

fn host() -> String {
    let name = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let label: String = name
        .trim()
        .split('.')
        .next()
        .unwrap_or_default()
        .chars()
        .filter(|letter| letter.is_ascii_alphanumeric() || *letter == '-')
        .take(63)
        .collect();
    let label = if label.is_empty() { "gridward" } else { &label };
    format!("{label}.local.")
}
