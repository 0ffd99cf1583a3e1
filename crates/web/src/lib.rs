//! What the HTTP servers of the roles share, since roles do not use each other: the pages embedded
//! in the binary, the headers of every answer, and who asks.

mod assets;
mod headers;
mod peer;

pub use assets::{Pages, asset};
pub use headers::{cookie, harden};
pub use peer::{Peer, is_local, peer};
