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

/// Takes the header off a segment that continues the message in `begun`, where
/// that began with the same one: some senders repeat it in each segment.
#[must_use]
pub(crate) fn continued<'a>(begun: &[u8], segment: &'a [u8]) -> &'a [u8] {
    match (begun.first_chunk::<3>(), segment.split_first_chunk::<3>()) {
        (Some(first), Some((again, rest)))
            if first == again && strip(begun).is_some() && !rest.is_empty() =>
        {
            rest
        }
        _ => segment,
    }
}
