//! How long a campaign may take on a segment, from the segment's parameters and the lengths of
//! messages alone.
//!
//! The blind passes, two rounds in which every meter is asked once for its blocks' status, and the
//! repair that losses make likely: what anybody lacks is broadcast once more, what is lacking then
//! goes to each meter alone. Frames that are lost and sent again in exchanges with single meters
//! are not in it, nor is what goes to every meter to verify.

use model::powerline::{G3, Prime, SFsk, Technology};
use serde::{Deserialize, Serialize};

/// A medium, as concentrators name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Medium {
    /// IEC 61334-5-1.
    #[serde(rename = "s-fsk")]
    SFsk,
    /// PRIME 1.3.6.
    #[serde(rename = "prime")]
    Prime,
    /// G3-PLC in CENELEC A.
    #[serde(rename = "g3")]
    G3,
}

/// A segment, as far as it says how long things take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The medium.
    pub medium: Medium,
    /// How often S-FSK frames are repeated, 0 to 7.
    #[serde(default)]
    pub credit: u8,
    /// Meters that pass on what goes to the farthest, on the other two; 0 to 15.
    #[serde(default)]
    pub hops: u8,
    /// Thousandths of the blocks of a pass that a meter does not hear, 0 to 500.
    #[serde(default)]
    pub loss_permille: u16,
}

impl Line {
    /// Says what is out of bounds.
    pub const fn fault(&self) -> Option<&'static str> {
        if self.credit > 7 || self.hops > 15 {
            Some("credit is 0 to 7, hops 0 to 15")
        } else if self.loss_permille > 500 {
            Some("loss_permille is 0 to 500")
        } else {
            None
        }
    }

    /// Returns the medium with its parameters.
    pub fn technology(&self) -> Technology {
        match self.medium {
            Medium::SFsk => Technology::SFsk(SFsk {
                credit: self.credit,
                ..SFsk::default()
            }),
            Medium::Prime => Technology::Prime(Prime::default()),
            Medium::G3 => Technology::G3(G3::default()),
        }
    }

    /// Returns the milliseconds that a broadcast block of `block_len` octets takes on the line,
    /// rounded up: [`Settings::pace_ms`](super::Settings::pace_ms).
    pub fn pace_ms(&self, block_len: u32) -> u32 {
        let octets = octets(block_len).saturating_add(AROUND_BROADCAST);
        let airtime = self.technology().airtime(octets, self.hops);
        let whole = airtime.as_micros().div_ceil(1_000);
        u32::try_from(whole).unwrap_or(u32::MAX)
    }
}

/// Octets of a block of an image, until a meter says how long its own are: what ours take, so that
/// with all that is around it one S-FSK frame carries it.
pub const BLOCK_LEN: u32 = 80;

/// Octets around a block in a broadcast: general-glo with title, control, counter and tag (28),
/// an Action request with class, name and method (13), number and length of the block (9).
const AROUND_BROADCAST: usize = 50;

/// The same in a request to one meter, whose title is known (19), and what it answers.
const AROUND_ALONE: usize = 41;
const ANSWER: usize = 24;

/// An association with HLS 5 and its end: AARQ and AARE, the reply to the challenge and the
/// meter's own, RLRQ and RLRE, in octets, as this head end and these meters send them.
const ASSOCIATION: [usize; 6] = [111, 123, 51, 44, 42, 42];

/// Asking for the blocks' status.
const ASK: usize = 32;

/// Octets of the answer: a bit for each block, in a Get response, in glo.
fn bitmap_len(blocks: u32) -> usize {
    let of_length = |length: usize| match length {
        0..=0x7F => 1,
        0x80..=0xFF => 2,
        _ => 3,
    };
    let bits = 1 + of_length(octets(blocks)) + octets(blocks.div_ceil(8));
    let response = 4 + bits;
    // Control, counter and tag.
    let protected = 17 + response;
    1 + of_length(protected) + protected
}

/// The bound of a campaign on one segment, in parts; all times in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound {
    /// Blocks of the image.
    pub blocks: u32,
    /// One pass of all blocks.
    pub pass_s: f64,
    /// All blind passes.
    pub passes_s: f64,
    /// Making an association with a meter and ending it.
    pub association_s: f64,
    /// Reading one meter's bitmap of blocks, within it.
    pub bitmap_s: f64,
    /// One round: every meter's bitmap, in an association each.
    pub round_s: f64,
    /// Both rounds.
    pub rounds_s: f64,
    /// What anybody is expected to lack, broadcast once more.
    pub repair_s: f64,
    /// What is expected to be lacking then, to each meter alone.
    pub alone_s: f64,
    /// All of it.
    pub all_s: f64,
    /// All blocks to each meter alone, without any broadcast and any loss.
    pub unicast_s: f64,
}

/// A campaign shall take at most so many times its bound, from the first block until the last
/// meter has verified the image.
pub const BOUND_FACTOR: f64 = 1.3;

impl Bound {
    /// Computes it for an image of `image_len` octets in blocks of `block_len` to `meters`.
    pub fn of(line: &Line, meters: u32, image_len: u32, block_len: u32, passes: u8) -> Self {
        let technology = line.technology();
        let airtime = |octets: usize| technology.airtime(octets, line.hops).as_secs_f64();
        let block = octets(block_len.max(1));
        let blocks = image_len.div_ceil(block_len.max(1));
        let (count, meters) = (f64::from(blocks), f64::from(meters));
        let lost = f64::from(line.loss_permille) / 1_000.0;

        let pass_s = count * airtime(block.saturating_add(AROUND_BROADCAST));
        let passes_s = f64::from(passes) * pass_s;
        let association_s: f64 = ASSOCIATION.into_iter().map(airtime).sum();
        let bitmap_s = airtime(ASK) + airtime(bitmap_len(blocks));
        let round_s = meters * (association_s + bitmap_s);
        let rounds_s = 2.0 * round_s;
        let lacks = lost.powi(i32::from(passes));
        let anybody = 1.0 - (1.0 - lacks).powf(meters);
        let repair_s = anybody * pass_s;
        let one_alone = airtime(block.saturating_add(AROUND_ALONE)) + airtime(ANSWER);
        let alone_s = count * meters * lacks * lost * one_alone;
        Self {
            blocks,
            pass_s,
            passes_s,
            association_s,
            bitmap_s,
            round_s,
            rounds_s,
            repair_s,
            alone_s,
            all_s: passes_s + rounds_s + repair_s + alone_s,
            unicast_s: meters * (association_s + count * one_alone),
        }
    }
}

fn octets(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
