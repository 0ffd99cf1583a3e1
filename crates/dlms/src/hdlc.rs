//! HDLC of DLMS: frames of type 3, and the two stations of a link
//! (IEC 62056-46; ISO/IEC 13239, class UNC in normal response mode).

mod address;
mod deframer;
mod fcs;
mod frame;
pub mod llc;
mod parameters;

pub use address::{Address, AddressWidth};
pub use deframer::{Deframer, LineCounters};
pub use fcs::Fcs;
pub use frame::{Control, FLAG, FRAME_LENGTH_MAX, Frame, INFORMATION_LENGTH_MAX, Sequence};
pub use parameters::{INFORMATION_LENGTH_DEFAULT, ParameterForm, Parameters};
