//! The machines of HDLC: a primary, a secondary, a station of two devices and a listener hear what the
//! input says, in frames whose check sequences are right and as noise, while they are told to send,
//! to pause and to end, and time passes.
//!
//! The input is steps of: what, control, length, so many octets.
#![no_main]

use dlms::codec::Wire as _;
use dlms::hdlc::primary::{self, Primary};
use dlms::hdlc::secondary::{self, Secondary};
use dlms::hdlc::station::{self, Link, Station, StationOutput};
use dlms::hdlc::{Address, Control, Frame, Listener, Output};
use dlms::{Duration, Instant};
use libfuzzer_sys::fuzz_target;

/// More frames than this from one machine in one step are frames without end: a window of seven
/// segments, and as many again after a rejection, is less.
const FRAMES_MAX: usize = 64;

fn drain(mut poll: impl FnMut() -> Output) {
    let mut frames = 0;
    loop {
        match poll() {
            Output::Transmit(octets) => {
                frames += 1;
                assert!(frames <= FRAMES_MAX, "frames without end");
                let frame = Frame::from_octets(&octets).expect("what is sent is a frame");
                assert_eq!(frame.to_octets(), octets);
            }
            Output::Event(_) => {}
            Output::Timeout(_) => return,
        }
    }
}

fuzz_target!(|octets: &[u8]| {
    let devices = [Address::one(1), Address::one(2)].map(|address| address.expect("an address"));
    let client = Address::PUBLIC_CLIENT;
    let mut primary = Primary::new(primary::Config::new(devices[0]));
    let mut secondary = Secondary::new(secondary::Config::new(devices[0], client));
    let mut station = Station::new(station::Config::new(devices.to_vec()));
    let mut listener = Listener::new(4_096, Duration::from_millis(100));
    let mut millis = 0_u64;
    let mut rest = octets;
    while let [what, control, length, behind @ ..] = rest {
        let (said, behind) = behind.split_at(usize::from(*length).min(behind.len()));
        rest = behind;
        let server = devices[usize::from(what >> 4 & 1)];
        millis += [0, 20, 3_100, 46_000][usize::from(what >> 6)];
        let now = Instant::from_micros(millis * 1_000);
        let frame = |destination, source| {
            let frame = Frame {
                destination,
                source,
                segmented: what & 0x20 != 0,
                control: Control::from_octet(*control),
                information: said,
            };
            frame.to_octets()
        };
        let link = Link { server, client };
        let tell = |input| station::Input::Link { link, input };
        // Octets and the passing of time are refused by nobody; what the layer above wants may be.
        match what & 0x0F {
            0..=5 => {
                let (up, down) = (frame(client, server), frame(server, client));
                primary
                    .handle(primary::Input::Octets(&up), now)
                    .expect("octets");
                secondary
                    .handle(secondary::Input::Octets(&down), now)
                    .expect("octets");
                station
                    .handle(station::Input::Octets(&down), now)
                    .expect("octets");
                listener.handle(&up, now);
            }
            6 | 7 => {
                primary
                    .handle(primary::Input::Octets(said), now)
                    .expect("octets");
                secondary
                    .handle(secondary::Input::Octets(said), now)
                    .expect("octets");
                station
                    .handle(station::Input::Octets(said), now)
                    .expect("octets");
                listener.handle(said, now);
            }
            8 => {
                primary.handle(primary::Input::Timeout, now).expect("time");
                secondary
                    .handle(secondary::Input::Timeout, now)
                    .expect("time");
                station.handle(station::Input::Timeout, now).expect("time");
            }
            9 => {
                let _ = primary.handle(primary::Input::Connect, now);
            }
            10 | 11 => {
                let _ = primary.handle(primary::Input::Message(said), now);
                let _ = secondary.handle(secondary::Input::Message(said), now);
                let _ = station.handle(tell(secondary::Input::Message(said)), now);
            }
            12 => {
                let _ = primary.handle(primary::Input::MessageWithoutReply(said), now);
            }
            13 => {
                let _ = primary.handle(primary::Input::UnnumberedInformation(said), now);
                let _ = secondary.handle(secondary::Input::UnnumberedInformation(said), now);
                let _ = station.handle(tell(secondary::Input::UnnumberedInformation(said)), now);
            }
            14 => {
                let busy = control & 1 != 0;
                let _ = primary.handle(primary::Input::Busy(busy), now);
                let _ = secondary.handle(secondary::Input::Busy(busy), now);
                let _ = station.handle(tell(secondary::Input::Busy(busy)), now);
            }
            _ => {
                let _ = primary.handle(primary::Input::Disconnect, now);
                let _ = secondary.handle(secondary::Input::Disconnect, now);
                let _ = station.handle(tell(secondary::Input::Disconnect), now);
            }
        }
        drain(|| primary.poll());
        drain(|| secondary.poll());
        drain(|| match station.poll() {
            StationOutput::Transmit(octets) => Output::Transmit(octets),
            StationOutput::Event { event, .. } => Output::Event(event),
            StationOutput::Timeout(deadline) => Output::Timeout(deadline),
        });
        while listener.poll().is_some() {}
        assert!(station.links() <= 16, "more links than there may be");
    }
});
