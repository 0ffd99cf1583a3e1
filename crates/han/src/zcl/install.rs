//! Install codes: what the owner of a device gives the utility, so that the
//! meter lets the device in.

use std::fmt;
use std::str::FromStr;

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt as _, KeyInit as _};
use zeroize::Zeroizing;

/// An install code with its checksum (Smart Energy 1.x, 5.4.8.1): 6, 8, 12 or
/// 16 octets and two of CRC-16/X.25, lower one first.
#[derive(Clone, PartialEq, Eq)]
pub struct InstallCode(Zeroizing<Vec<u8>>);

/// Octets of a code, less its checksum.
const LENGTHS: [usize; 4] = [6, 8, 12, 16];

/// Octets of the checksum.
const CHECK_LENGTH: usize = 2;

impl InstallCode {
    /// Takes a code that ends with its checksum.
    ///
    /// # Errors
    /// Why it is none.
    pub fn from_octets(octets: &[u8]) -> Result<Self, InstallCodeError> {
        let (code, check) = octets
            .split_last_chunk::<CHECK_LENGTH>()
            .filter(|(code, _)| LENGTHS.contains(&code.len()))
            .ok_or(InstallCodeError::Length)?;
        if crc(code).to_le_bytes() != *check {
            return Err(InstallCodeError::Checksum);
        }
        Ok(Self(Zeroizing::new(octets.to_vec())))
    }

    /// Makes the link key that joins: the hash of code and checksum by
    /// Matyas, Meyer and Oseas over AES-128 (ZigBee specification, B.6).
    #[must_use]
    pub fn link_key(&self) -> Zeroizing<[u8; 16]> {
        let mut padded = Zeroizing::new(self.0.to_vec());
        padded.push(0x80);
        while padded.len() % BLOCK != BLOCK - CHECK_LENGTH {
            padded.push(0);
        }
        let bits = u16::try_from(self.0.len() * 8).unwrap_or_default();
        padded.extend_from_slice(&bits.to_be_bytes());
        let mut hash = Zeroizing::new([0; BLOCK]);
        for block in padded.as_chunks::<BLOCK>().0 {
            let mut next = Zeroizing::new(*block);
            let cipher = Aes128::new((&*hash).into());
            cipher.encrypt_block((&mut *next).into());
            for (octet, plain) in next.iter_mut().zip(block) {
                *octet ^= plain;
            }
            hash = next;
        }
        hash
    }
}

/// Octets of a block of AES.
const BLOCK: usize = 16;

impl FromStr for InstallCode {
    type Err = InstallCodeError;

    /// Takes hexadecimal digits, as they are printed on a device: in groups or
    /// not.
    fn from_str(text: &str) -> Result<Self, InstallCodeError> {
        let mut octets = Zeroizing::new(Vec::with_capacity(LENGTHS.len() * BLOCK));
        let mut high = None;
        for digit in text.chars().filter(|it| !" -:".contains(*it)) {
            let digit = digit.to_digit(16).ok_or(InstallCodeError::Digit)?;
            let digit = u8::try_from(digit).unwrap_or_default();
            high = match high {
                None => Some(digit << 4),
                Some(high) => {
                    octets.push(high | digit);
                    None
                }
            };
            if octets.len() > BLOCK + CHECK_LENGTH {
                return Err(InstallCodeError::Length);
            }
        }
        if high.is_some() {
            return Err(InstallCodeError::Length);
        }
        Self::from_octets(&octets)
    }
}

impl fmt::Debug for InstallCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InstallCode(..)")
    }
}

/// CRC-16/X.25.
fn crc(octets: &[u8]) -> u16 {
    let mut crc = 0xFFFF_u16;
    for octet in octets {
        crc ^= u16::from(*octet);
        for _ in 0..8 {
            crc = if crc & 1 == 0 {
                crc >> 1
            } else {
                (crc >> 1) ^ 0x8408
            };
        }
    }
    !crc
}

/// Why a text is no install code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InstallCodeError {
    /// What is no hexadecimal digit.
    #[error("an install code is written in hexadecimal digits")]
    Digit,
    /// Neither of the four lengths.
    #[error("an install code has 16, 20, 28 or 36 hexadecimal digits, checksum included")]
    Length,
    /// The checksum is not the code's: a digit is wrong.
    #[error("the checksum of the install code is wrong: check its digits")]
    Checksum,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Result<String, InstallCodeError> {
        let key = text.parse::<InstallCode>()?.link_key();
        Ok(key.iter().map(|octet| format!("{octet:02X}")).collect())
    }

    /// The code of 16 octets is the example of the ZigBee documents, its key
    /// and the one of 6 are what zigpy 2.4.0 makes of them.
    #[test]
    fn codes_make_the_keys_that_others_make() {
        assert_eq!(
            key("83FE D340 7A93 9723 A5C6 39B2 6916 D505 C3B5").unwrap(),
            "66B6900981E1EE3CA4206B6B861C02BB"
        );
        assert_eq!(
            key("83fed3407a932b70").unwrap(),
            "CD4FA064773F46941EC986C09963D1A8"
        );
    }

    #[test]
    fn what_is_no_code_is_refused() {
        let of = |text: &str| key(text).unwrap_err();
        assert_eq!(of("83FED3407A932B71"), InstallCodeError::Checksum);
        assert_eq!(of("83FED3407A932B"), InstallCodeError::Length);
        assert_eq!(of("83FED3407A932B7"), InstallCodeError::Length);
        assert_eq!(of(""), InstallCodeError::Length);
        assert_eq!(of(&"0".repeat(10_000)), InstallCodeError::Length);
        assert_eq!(of("83FED3407A932BXX"), InstallCodeError::Digit);
        let shown = format!("{:?}", "83FED3407A932B70".parse::<InstallCode>().unwrap());
        assert!(!shown.contains("83"), "a secret is not shown");
    }
}
