//! HMACs: of state cookies, of authenticated chunks, and of whatever must be
//! unpredictable without being kept.

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::Sha256;

/// HMAC-SHA-256 over parts one after the other.
pub(crate) fn sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    keyed::<Hmac<Sha256>>(key, parts).map_or([0; 32], |mac| mac.finalize().into_bytes().into())
}

/// HMAC-SHA-1 over parts one after the other.
pub(crate) fn sha1(key: &[u8], parts: &[&[u8]]) -> [u8; 20] {
    keyed::<Hmac<Sha1>>(key, parts).map_or([0; 20], |mac| mac.finalize().into_bytes().into())
}

/// HMAC takes keys of every length, so that there always is one.
fn keyed<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> Option<M> {
    let mut mac = <M as KeyInit>::new_from_slice(key).ok()?;
    for part in parts {
        mac.update(part);
    }
    Some(mac)
}

#[cfg(test)]
mod tests {
    //! Evidence: test case 2 of RFC 2202 and of RFC 4231.

    #[test]
    fn published_cases() {
        let (key, text) = (b"Jefe", b"what do ya want for nothing?".as_slice());
        let (head, tail) = text.split_at(9);
        assert_eq!(
            super::sha1(key, &[head, tail])[..4],
            [0xEF, 0xFC, 0xDF, 0x6A]
        );
        assert_eq!(super::sha256(key, &[text])[..4], [0x5B, 0xDC, 0xC1, 0x46]);
    }
}
