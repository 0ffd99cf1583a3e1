//! What bringing an image to all meters of a segment costs at least with two blind passes and two
//! rounds of asking, from the segment's parameters and the lengths of messages alone.

use std::fmt;

use sim::powerline::Technology;

/// Octets of a block, as the meters have it.
const BLOCK: usize = 80;

/// Octets around a block in a broadcast: general-glo with title, control, counter and tag (28),
/// an Action request with class, name and method (13), number and length of the block (9).
const AROUND_BROADCAST: usize = 50;
/// The same in a request to one meter, whose title is known (19), and what it answers.
const AROUND_ALONE: usize = 41;
const ANSWER: usize = 24;

/// An association with HLS 5 and its end: AARQ and AARE, the reply to the challenge and the
/// meter's own, RLRQ and RLRE. Octets as this head end and these meters send them.
pub(crate) const ASSOCIATION: [usize; 6] = [101, 112, 66, 71, 40, 40];

/// Asking for the blocks' status, and what is around the bits of the answer: glo (21), a Get
/// response (4), type and length of a bit string (4).
pub(crate) const ASK: usize = 32;
pub(crate) const AROUND_BITS: usize = 27;

/// The parts of the bound, in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    pub(crate) blocks: usize,
    /// One pass of all blocks.
    pub(crate) pass_s: f64,
    /// The status of one meter's blocks, within an association.
    pub(crate) bitmap_s: f64,
    /// Making and ending the association.
    pub(crate) association_s: f64,
    /// All meters once.
    pub(crate) round_s: f64,
    /// Blocks that anybody lacks after two passes, broadcast once more.
    pub(crate) repair_s: f64,
    /// What is lacking then, to each meter alone.
    pub(crate) alone_s: f64,
    /// All of it.
    pub(crate) all_s: f64,
    /// To each meter alone, without any broadcast.
    pub(crate) unicast_s: f64,
}

impl Bound {
    pub(crate) fn of(technology: &Technology, meters: u32, image: usize, loss: u16) -> Self {
        let airtime = |octets: usize| technology.airtime(octets, 0).as_secs_f64();
        let blocks = image.div_ceil(BLOCK);
        let count = f64::from(u32::try_from(blocks).unwrap());
        let meters = f64::from(meters);
        let lost = f64::from(loss) / 1_000.0;

        let pass_s = count * airtime(BLOCK + AROUND_BROADCAST);
        let bitmap_s = airtime(ASK) + airtime(blocks.div_ceil(8) + AROUND_BITS);
        let association_s: f64 = ASSOCIATION.into_iter().map(airtime).sum();
        let round_s = meters * (association_s + bitmap_s);
        let anybody = 1.0 - (1.0 - lost * lost).powf(meters);
        let repair_s = anybody * pass_s;
        let one_alone = airtime(BLOCK + AROUND_ALONE) + airtime(ANSWER);
        let alone_s = count * meters * lost.powi(3) * one_alone;
        let unicast_s = meters * (association_s + count * one_alone);
        Self {
            blocks,
            pass_s,
            bitmap_s,
            association_s,
            round_s,
            repair_s,
            alone_s,
            all_s: 2.0 * pass_s + 2.0 * round_s + repair_s + alone_s,
            unicast_s,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} blocks; one pass {:.0} s; a bitmap {:.2} s in an association of {:.2} s",
            self.blocks, self.pass_s, self.bitmap_s, self.association_s
        )?;
        writeln!(
            f,
            "two passes {:.0} s + two rounds {:.0} s + repair by broadcast {:.0} s + alone {:.0} s",
            2.0 * self.pass_s,
            2.0 * self.round_s,
            self.repair_s,
            self.alone_s
        )?;
        write!(
            f,
            "bound {:.0} s = {:.2} h; by unicast alone {:.0} s = {:.1} days",
            self.all_s,
            self.all_s / 3_600.0,
            self.unicast_s,
            self.unicast_s / 86_400.0
        )
    }
}
