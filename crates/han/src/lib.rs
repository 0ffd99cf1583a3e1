//! What meters tell a home: through ports that push, through adapters, and
//! through a home area network. Reading only.
//!
//! Pure: no input or output, no clock, no entropy. There is no encoder here
//! for anything that changes a meter: what can be sent at all are the requests
//! of [`zcl::Request`], [`zdo::Request`] and [`raven::Command`], which read.
//!
//! | module | what |
//! |---|---|
//! | [`measure`] | what all sources have in common: values with unit and scale, and the meter's time |
//! | [`push`] | the meaning of DLMS notifications: five ways to lay values out, and lists of makers that name none |
//! | [`p1`] | telegrams of P1 and D0 ports (IEC 62056-21, DSMR, e-MUCS), also encrypted |
//! | [`sml`] | Smart Message Language of German and Swiss meters |
//! | [`raven`] | XML of RAVEn and EMU-2 adapters |
//! | [`zcl`] | ZigBee clusters: Metering and Time read, discovery, key establishment |
//! | [`port`] | from the octets of a port that pushes to what its messages say |
//! | [`zdo`] | ZigBee device objects: where the meter is |
//! | [`ash`] | how those go over a serial line |
//! | [`ezsp`] | frames of ZigBee radio processors |
//! | [`radio`] | a meter joined, found, verified and asked through one of those |
//! | [`egress`] | all that may leave, as one table, and the check of it |
//! | [`espi`] | Green Button: feeds written and read |

pub mod ash;
pub mod egress;
pub mod espi;
pub mod ezsp;
pub mod measure;
pub mod p1;
pub mod port;
pub mod push;
pub mod radio;
pub mod raven;
pub mod sml;
mod xml;
pub mod zcl;
pub mod zdo;
