//! HDLC.

mod frame;
