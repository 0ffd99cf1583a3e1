//! What the HTTP servers of the roles share, since roles do not use each other: the server itself,
//! the pages embedded in the binary, the headers of every answer, sessions, and who asks.

mod assets;
mod headers;
mod openapi;
mod peer;
mod serve;
mod session;

pub use assets::{Pages, asset};
pub use headers::{cookie, harden};
pub use openapi::complete;
pub use peer::{Peer, is_local, peer};
pub use serve::{Limits, serve};
pub use session::{Sessions, digest, random_text};
