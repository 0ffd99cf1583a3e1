//! Octets that remember where in the input they stood.

use std::ops::Range;

use dlms::codec::DecodeError;

use crate::failure::Failure;

/// Octets taken out of the input, in one or more pieces.
#[derive(Clone, Debug, Default)]
pub(crate) struct Piece {
    octets: Vec<u8>,
    /// Where each octet stands in the input.
    origin: Vec<u32>,
}

impl Piece {
    /// Octets that stand in the input from `offset` on.
    pub(crate) fn new(octets: &[u8], offset: usize) -> Self {
        let origin = (offset..offset + octets.len())
            .map(|at| u32::try_from(at).unwrap_or(u32::MAX))
            .collect();
        Self {
            octets: octets.to_vec(),
            origin,
        }
    }

    pub(crate) fn octets(&self) -> &[u8] {
        &self.octets
    }

    pub(crate) fn len(&self) -> usize {
        self.octets.len()
    }

    /// Where octet `index` stands in the input; behind the last octet where
    /// there is none.
    pub(crate) fn at(&self, index: usize) -> usize {
        match self.origin.get(index) {
            Some(at) => at_usize(*at),
            None => self.origin.last().map_or(0, |last| at_usize(*last) + 1),
        }
    }

    /// Octets of this piece.
    pub(crate) fn part(&self, range: Range<usize>) -> Self {
        Self {
            octets: self.octets.get(range.clone()).unwrap_or_default().to_vec(),
            origin: self.origin.get(range).unwrap_or_default().to_vec(),
        }
    }

    /// The same octets, `offset` further on in the input.
    pub(crate) fn moved(&self, offset: usize) -> Self {
        let offset = u32::try_from(offset).unwrap_or(u32::MAX);
        Self {
            octets: self.octets.clone(),
            origin: self
                .origin
                .iter()
                .map(|at| at.saturating_add(offset))
                .collect(),
        }
    }

    /// The same places with other octets: what was deciphered in place.
    pub(crate) fn with_octets(&self, octets: &[u8]) -> Self {
        Self {
            octets: octets.to_vec(),
            origin: self.origin.get(..octets.len()).unwrap_or_default().to_vec(),
        }
    }

    pub(crate) fn append(&mut self, other: &Self) {
        self.octets.extend_from_slice(&other.octets);
        self.origin.extend_from_slice(&other.origin);
    }

    /// Where in this piece a slice of its octets begins.
    pub(crate) fn index_of(&self, part: &[u8]) -> Option<usize> {
        let index = (part.as_ptr() as usize).checked_sub(self.octets.as_ptr() as usize)?;
        (index + part.len() <= self.octets.len()).then_some(index)
    }

    /// Tells a fault in this piece by its place in the input.
    pub(crate) fn fault(&self, error: DecodeError) -> Failure {
        Failure::from(DecodeError {
            offset: self.at(error.offset),
            ..error
        })
    }
}

fn at_usize(at: u32) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}
