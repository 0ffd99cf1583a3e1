//! HDLC.

mod conformance;
mod frame;
mod machines;
mod pair;
mod session;
