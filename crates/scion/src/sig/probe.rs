//! Probes between gateways, by which silence is told.
//!
//! Source: `proto/gateway/v1/control.proto` of the reference implementation:
//! a request is reflected, over SCION/UDP at a port of its own.

use alloc::vec::Vec;

use crate::daemon::{DaemonError, Fields, Value, put_number, put_octets};

/// Longest data of a probe that is reflected, in octets.
pub const MAX_DATA: usize = 256;

/// A probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The session that it is of.
    pub session: u32,
    /// What is reflected.
    pub data: Vec<u8>,
}

impl Probe {
    /// Writes it, as a request or as the answer to one: both have one form, and
    /// are told apart by the port that they come to.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut inner = Vec::with_capacity(16 + self.data.len());
        put_number(&mut inner, 1, u64::from(self.session));
        put_octets(&mut inner, 2, &self.data);
        let mut out = Vec::with_capacity(inner.len() + 4);
        put_octets(&mut out, 1, &inner);
        out
    }

    /// Reads one; none where it is another message, or too long.
    ///
    /// # Errors
    /// [`DaemonError`] where it is malformed.
    pub fn decode(octets: &[u8]) -> Result<Option<Self>, DaemonError> {
        let mut found = None;
        for field in Fields::new(octets) {
            if let (1, Value::Octets(inner)) = field? {
                let (mut session, mut data) = (0, Vec::new());
                for field in Fields::new(inner) {
                    match field? {
                        (1, Value::Number(number)) => session = u32::try_from(number).unwrap_or(0),
                        (2, Value::Octets(octets)) if octets.len() <= MAX_DATA => {
                            data = octets.to_vec();
                        }
                        _ => {}
                    }
                }
                found = Some(Self { session, data });
            }
        }
        Ok(found)
    }
}
