//! The three octets of the LLC sublayer before every message
//! (IEC 62056-46 clause 5.3).

/// Before a message from a client: destination LSAP E6, source LSAP E6
/// (command), quality 00.
pub const COMMAND: [u8; 3] = [0xE6, 0xE6, 0x00];

/// Before a message from a server: destination LSAP E6, source LSAP E7
/// (response), quality 00.
pub const RESPONSE: [u8; 3] = [0xE6, 0xE7, 0x00];

/// Takes either header off `octets`; `None` where there is none.
#[must_use]
pub fn strip(octets: &[u8]) -> Option<&[u8]> {
    octets
        .strip_prefix(&COMMAND)
        .or_else(|| octets.strip_prefix(&RESPONSE))
}
