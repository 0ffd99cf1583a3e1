//! SCION without input or output: what decides, derives and frames.
//!
//! Sockets, daemons and clocks are `link`'s; here times, randomness and paths
//! come in as arguments.
//!
//! | module | what it holds |
//! |---|---|
//! | [`address`] | isolation domains, ASes and interfaces as they are written |
//! | [`choice`] | which of the allowed paths is taken next, and which after silence |
//! | [`daemon`] | what is asked of an AS's daemon, and the paths that it answers |
//! | [`drkey`] | keys derived between ASes and hosts, their epochs, DLMS keys mixed from them |
//! | [`endhost`] | what is asked of an endhost API, and paths made of its segments |
//! | [`packet`] | headers of packets, datagrams and what the network reports |
//! | [`path`] | a path as a policy sees it |
//! | [`policy`] | what a path may touch: access control lists, hop patterns |
//! | [`session`] | messages with one peer: the path of each, and what silence means |
//! | [`sig`] | IP packets in the frames of the SCION-IP gateway |
#![no_std]

extern crate alloc;

pub mod address;
pub mod choice;
pub mod daemon;
pub mod drkey;
pub mod endhost;
pub mod packet;
pub mod path;
pub mod policy;
pub mod session;
pub mod sig;
