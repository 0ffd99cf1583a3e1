//! Power lines: what the three technologies cost in time, each figure with its source.
//!
//! Sources: (G) the PLC frames of the public library gurux-dlms 1.0.203 (facts
//! only); (B) "From Smart Grid to Internet of Energy", table 4.6 (ITU-T
//! G.9903); (Z) ZIV's page on PRIME 1.3.6; (E) Energies 8(12) 13481; (O) ON
//! Semiconductor, AMIS-49587, table 40; (T) the frame layouts of PRIME 1.3 in
//! the public analyser TarlogicSecurity/PLCTool (facts only); (D) derived from
//! those; (N) no source at hand: recalled or assumed, listed in STATUS.md.

use core::time::Duration;

/// A technology with its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Technology {
    /// IEC 61334-5-1.
    SFsk(SFsk),
    /// PRIME 1.3.6.
    Prime(Prime),
    /// G3-PLC in CENELEC A.
    G3(G3),
}

/// S-FSK (IEC 61334-5-1): slots, and every frame repeated by all who heard it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SFsk {
    /// Bits a second at 50 Hz (O).
    pub bit_rate: u32,
    /// Octets of a physical frame, which fills a slot: preamble, delimiter,
    /// 38 of MAC, pause (N).
    pub slot_octets: u32,
    /// Octets of a MAC frame that one slot carries (G).
    pub subframe_octets: u32,
    /// Slots of a MAC frame at most (G).
    pub subframes_max: u32,
    /// Octets of a MAC frame that are not LLC: number of subframes 2, credits
    /// 1, addresses 3, pad length 1, checksum 3 (G).
    pub mac_overhead: u32,
    /// Octets of an LLC frame at most: the default of max_frame_length (class
    /// 55), which fills four slots (G).
    pub llc_frame_max: u32,
    /// Octets of its header: control, two SAPs (G).
    pub llc_overhead: u32,
    /// How often a frame is repeated, 0 to 7: meters that far away are heard.
    pub credit: u8,
    /// The longest that one frame may occupy the wire, repetitions included:
    /// with a high credit frames get fewer slots.
    pub frame_airtime_max: Duration,
    /// Slots for reports behind each Discover at most (N).
    pub discover_slots: u16,
}

impl Default for SFsk {
    fn default() -> Self {
        Self {
            bit_rate: 2_400,
            slot_octets: 45,
            subframe_octets: 36,
            subframes_max: 7,
            mac_overhead: 10,
            llc_frame_max: 134,
            llc_overhead: 3,
            credit: 0,
            frame_airtime_max: Duration::from_secs(2),
            discover_slots: 20,
        }
    }
}

/// PRIME 1.3.6: OFDM, CSMA/CA, switches that forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prime {
    /// A symbol (Z).
    pub symbol: Duration,
    /// The chirp before each frame (Z).
    pub preamble: Duration,
    /// Symbols of the header (Z).
    pub header_symbols: u32,
    /// Symbols of a data frame's payload (E); 63 at most (Z).
    pub data_symbols: u32,
    /// Symbols of a control frame's payload (E).
    pub control_symbols: u32,
    /// Bits of payload in a symbol: 48 are 21.4 kbit/s, DBPSK with
    /// convolutional code (D of Z).
    pub symbol_bits: u32,
    /// Octets of a data frame that are not of the message: generic MAC header 3,
    /// packet header 6, segmentation 1 (T); checksum 4, which is the beacon's
    /// (T) and taken for data too (D).
    pub overhead: u32,
    /// The mean time until the wire is free and one's own (N).
    pub access: Duration,
    /// Control frames of a registration: request, answer, confirmation, and two of the promotion
    /// of a switch (N).
    pub join_messages: u32,
}

impl Default for Prime {
    fn default() -> Self {
        Self {
            symbol: Duration::from_micros(2_240),
            preamble: Duration::from_micros(2_048),
            header_symbols: 2,
            data_symbols: 14,
            control_symbols: 3,
            symbol_bits: 48,
            overhead: 14,
            access: Duration::from_millis(15),
            join_messages: 5,
        }
    }
}

/// G3-PLC, CENELEC A, robust mode: OFDM, CSMA/CA, a mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct G3 {
    /// A symbol: 256 samples and 22 of prefix at 400 kHz (B).
    pub symbol: Duration,
    /// The preamble (B).
    pub preamble: Duration,
    /// Symbols of the frame control header (B).
    pub header_symbols: u32,
    /// Symbols of a payload at most (B).
    pub symbols_max: u32,
    /// Carriers, each a bit in DBPSK (B).
    pub carriers: u32,
    /// Coded bits for each bit: convolutional code of rate 1/2, repeated four
    /// times (B).
    pub coding: u32,
    /// Octets of Reed-Solomon parity in robust mode (N): with them 133 octets
    /// fill the 252 symbols.
    pub parity: u32,
    /// Octets of a frame that are not of the message: MAC, 6LoWPAN, security
    /// (N).
    pub overhead: u32,
    /// The mean time until the wire is free and one's own, and the pauses
    /// before and behind the acknowledgement (N).
    pub access: Duration,
    /// Messages of a bootstrapping (N).
    pub join_messages: u32,
    /// Octets of each (N).
    pub join_octets: u32,
}

impl Default for G3 {
    fn default() -> Self {
        Self {
            symbol: Duration::from_micros(695),
            preamble: Duration::from_micros(6_080),
            header_symbols: 13,
            symbols_max: 252,
            carriers: 36,
            coding: 8,
            parity: 8,
            overhead: 33,
            access: Duration::from_millis(18),
            join_messages: 6,
            join_octets: 60,
        }
    }
}

impl SFsk {
    /// The time of one slot.
    #[must_use]
    pub fn slot(&self) -> Duration {
        let bits = u64::from(self.slot_octets) * 8;
        Duration::from_micros(bits * 1_000_000 / u64::from(self.bit_rate.max(1)))
    }

    /// Slots, each repeated as often as the credit says, within the longest time for one frame.
    fn slots_fit(&self) -> u32 {
        let once = self.slot() * (u32::from(self.credit) + 1);
        let fit = self.frame_airtime_max.as_micros() / once.as_micros().max(1);
        u32::try_from(fit).unwrap_or(1)
    }

    /// Slots that one frame may fill.
    fn slots_max(&self) -> u32 {
        self.slots_fit().clamp(1, self.subframes_max)
    }

    /// Tells how many slots for reports follow a Discover, which takes one slot itself: as many as
    /// together occupy the wire no longer than one frame may, so that what is urgent waits no
    /// longer for a search than for a frame; one in any case.
    #[must_use]
    pub fn report_slots(&self) -> u16 {
        let fit = self.slots_fit().saturating_sub(1);
        let fit = u16::try_from(fit).unwrap_or(u16::MAX);
        fit.min(self.discover_slots).max(1)
    }

    fn payload_max(&self) -> u32 {
        let fits = self.slots_max() * self.subframe_octets;
        fits.saturating_sub(self.mac_overhead)
            .min(self.llc_frame_max)
            .saturating_sub(self.llc_overhead)
            .max(1)
    }

    fn airtime(&self, octets: u32) -> Duration {
        let slots = (octets + self.llc_overhead + self.mac_overhead).div_ceil(self.subframe_octets);
        self.slot() * slots * (u32::from(self.credit) + 1)
    }
}

impl Prime {
    fn payload_max(&self) -> u32 {
        (self.data_symbols * self.symbol_bits / 8)
            .saturating_sub(self.overhead)
            .max(1)
    }

    fn frame(&self, symbols: u32) -> Duration {
        self.preamble + self.symbol * (self.header_symbols + symbols)
    }

    /// A control frame, for registration and acknowledgement.
    #[must_use]
    pub fn control(&self) -> Duration {
        self.frame(self.control_symbols)
    }

    fn airtime(&self, octets: u32) -> Duration {
        let symbols = ((octets + self.overhead) * 8).div_ceil(self.symbol_bits);
        self.access + self.frame(symbols) + self.control()
    }
}

impl G3 {
    fn payload_max(&self) -> u32 {
        (self.symbols_max * self.carriers / self.coding / 8)
            .saturating_sub(self.parity + self.overhead)
            .max(1)
    }

    fn frame(&self, symbols: u32) -> Duration {
        self.preamble + self.symbol * (self.header_symbols + symbols)
    }

    fn airtime(&self, octets: u32) -> Duration {
        let bits = (octets + self.overhead + self.parity) * 8 * self.coding;
        // The acknowledgement is a header without payload.
        self.access + self.frame(bits.div_ceil(self.carriers)) + self.frame(0)
    }
}

impl Technology {
    /// Tells the name of the medium: `s-fsk`, `prime`, `g3`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::SFsk(_) => "s-fsk",
            Self::Prime(_) => "prime",
            Self::G3(_) => "g3",
        }
    }

    /// Tells the nominal rate while a frame's payload is on the wire, in bits a second: without
    /// preambles and headers, pauses and repetitions, and with the coding taken off.
    #[must_use]
    pub fn bit_rate(&self) -> u32 {
        let rate = |bits: u32, symbol: Duration| {
            let rate = u128::from(bits) * 1_000_000 / symbol.as_micros().max(1);
            u32::try_from(rate).unwrap_or(u32::MAX)
        };
        match self {
            Self::SFsk(it) => it.bit_rate,
            Self::Prime(it) => rate(it.symbol_bits, it.symbol),
            Self::G3(it) => rate(it.carriers, it.symbol) / it.coding.max(1),
        }
    }

    /// Tells how many octets of a message one frame carries.
    #[must_use]
    pub fn frame_payload_max(&self) -> usize {
        let octets = match self {
            Self::SFsk(it) => it.payload_max(),
            Self::Prime(it) => it.payload_max(),
            Self::G3(it) => it.payload_max(),
        };
        usize::try_from(octets).unwrap_or(1)
    }

    /// Tells how long a frame with `octets` of a message occupies the wire on
    /// its way to a meter behind `hops` others: repetitions of S-FSK, else
    /// each section in turn; with the acknowledgement, where there is one.
    #[must_use]
    pub fn frame_airtime(&self, octets: usize, hops: u8) -> Duration {
        let octets = u32::try_from(octets).unwrap_or(u32::MAX / 64);
        let sections = u32::from(hops) + 1;
        match self {
            Self::SFsk(it) => it.airtime(octets),
            Self::Prime(it) => it.airtime(octets) * sections,
            Self::G3(it) => it.airtime(octets) * sections,
        }
    }

    /// Tells how long a whole message occupies the wire if nothing is lost.
    #[must_use]
    pub fn airtime(&self, octets: usize, hops: u8) -> Duration {
        let max = self.frame_payload_max();
        let full = u32::try_from(octets / max).unwrap_or(u32::MAX);
        let rest = octets % max;
        let mut all = self.frame_airtime(max, hops) * full;
        if rest > 0 || octets == 0 {
            all += self.frame_airtime(rest, hops);
        }
        all
    }

    /// Tells how many messages it takes until a meter has joined; none where it is called instead,
    /// as on S-FSK.
    #[must_use]
    pub const fn join_messages(&self) -> u32 {
        match self {
            Self::SFsk(_) => 0,
            Self::Prime(it) => it.join_messages,
            Self::G3(it) => it.join_messages,
        }
    }

    /// Tells how long each of them occupies the wire for a meter behind `hops` others.
    #[must_use]
    pub fn join_airtime(&self, hops: u8) -> Duration {
        let sections = u32::from(hops) + 1;
        match self {
            Self::SFsk(_) => Duration::ZERO,
            Self::Prime(it) => (it.access + it.control()) * sections,
            Self::G3(it) => it.airtime(it.join_octets) * sections,
        }
    }

    /// Tells whether a meter behind `hops` others can be heard at all.
    #[must_use]
    pub const fn reaches(&self, hops: u8) -> bool {
        match self {
            Self::SFsk(it) => hops <= it.credit,
            Self::Prime(_) | Self::G3(_) => true,
        }
    }
}
