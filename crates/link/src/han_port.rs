//! Where a home's meter is read: ports that push, adapters, and radios.
//!
//! A [`Source`] keeps the way to the meter open and tells what comes over it.
//! Ports that push are opened for reading only, so that the operating system
//! refuses what would be written to them: nothing here holds the half of a
//! line on which something could be sent. A P1 port's request line is raised
//! by the opening itself (the system raises DTR and RTS), and is no data.

mod listen;
mod poll;
mod radio;
mod source;
mod url;

pub use source::{PushCounters, Source, SourceError, SourceEvent, SourceSettings};
pub use url::{
    DLMS_FORMS, DeviceOptions, Parity, Place, SourceProtocol, SourceUrl, SourceUrlError,
};
