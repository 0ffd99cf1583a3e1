//! What one APDU costs on its way through the router, and what more meters
//! change about that.

use std::collections::BTreeMap;

use concentrator::direct::{Connection, Output, Place, Router, RouterLimits, SegmentId};
use dlms::Instant;
use link::{Message, Node, Sap};
use model::MessageClass;

fn main() {
    divan::main();
}

const SEGMENT: SegmentId = SegmentId(0);

/// A request to a meter and its answer, 1,500 octets, as a day profile has
/// them. Two APDUs an iteration.
#[divan::bench(args = [1, 1_200, 10_000])]
fn there_and_back(bencher: divan::Bencher<'_, '_>, meters: u16) {
    let mut router = Router::new(RouterLimits::default(), BTreeMap::new());
    router.add_segment(SEGMENT, 1_024, 65_535);
    router.open(Connection(1));
    for number in 0..meters {
        let name = format!("GWD{number:013}");
        if let Ok(name) = name.parse() {
            let place = Place {
                segment: SEGMENT,
                node: Node(u32::from(number)),
            };
            router.attach(place, 1, 0x100 + number, name, None, Instant::ORIGIN);
        }
    }
    let mut next = 0;
    let message = |source: Sap, destination: Sap, octets: usize| Message {
        source,
        destination,
        class: MessageClass::Request,
        payload: vec![0xDB; octets],
    };
    bencher
        .with_inputs(|| {
            next = (next + 1) % meters;
            (next, message(1, 0x100 + next, 90), message(1, 1, 1_500))
        })
        .bench_local_values(|(number, request, answer)| {
            let place = Place {
                segment: SEGMENT,
                node: Node(u32::from(number)),
            };
            let now = Instant::ORIGIN;
            router.from_wan(Connection(1), request, now);
            while let Some(output) = router.poll(now) {
                if let Output::ToSegment { node, .. } = output {
                    router.done(SEGMENT, node);
                }
            }
            router.from_meter(place, answer, now);
            let mut up = 0;
            while let Some(output) = router.poll(now) {
                up += usize::from(matches!(output, Output::ToWan { .. }));
            }
            assert_eq!(up, 1);
            up
        });
}
