//! What its HTTP server grants, and what may stop it from listening.

use std::io;
use std::time::Duration;

use web::Limits;

/// What clients may have. Behind a proxy all have one address: no bound for one.
pub(crate) const fn limits(connections: usize) -> Limits {
    Limits {
        connections,
        per_address: usize::MAX,
        head: Duration::from_secs(10),
        stop: Duration::from_secs(5),
    }
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
