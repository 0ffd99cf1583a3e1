//! Packets and answers of daemons: what is taken apart is put together alike,
//! and a path that is taken crosses what it says.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use scion::address::IsdAs;
use scion::daemon::paths_answer;
use scion::packet::{Carried, Packet, Place, crossed, datagram};
use scion::path::TOLD_MAX;
use scion::policy::Policy;
use scion::session::{Role, Session, peer_of};

fuzz_target!(|octets: &[u8]| {
    if let Some(peer) = peer_of(octets)
        && let Ok(packet) = Packet::decode(octets)
        && let Ok(Carried::Udp {
            destination_port,
            payload,
            ..
        }) = packet.carried()
    {
        let local = Place {
            isd_as: packet.destination.0,
            host: packet.destination.1,
            port: destination_port,
        };
        let label = (packet.traffic_class, packet.flow);
        if let Ok(again) = datagram(peer, local, packet.path, label, payload) {
            let found = Packet::decode(&again).expect("what was written is read");
            assert_eq!(found.carried(), packet.carried());
            assert_eq!(crossed(found.path), crossed(packet.path));
        }
        let mut session = Session::new(Role::Answers, local, peer, Policy::default(), 0);
        let _ = session.handle(octets, Duration::ZERO);
    }
    let (one, other) = (IsdAs::from_u64(1), IsdAs::from_u64(2));
    if let Ok((routes, _)) = paths_answer(octets, one, other) {
        for route in routes {
            let said: Vec<_> = route.path.interfaces().map(|end| end.1).collect();
            assert_eq!(crossed(route.octets()), Ok(said));
            for about in &*route.path.about {
                let texts = about.places.iter().chain(&about.note);
                for text in texts {
                    assert!((1..=TOLD_MAX).contains(&text.chars().count()));
                    assert!(!text.chars().any(char::is_control));
                }
            }
        }
    }
});
