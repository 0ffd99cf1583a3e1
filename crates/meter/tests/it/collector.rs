//! The client of a concentrator that reads meters on its own.
//!
//! Evidence: self-agreement with the project's own client.

use dlms::axdr::Data;
use dlms::xdlms::{ActionResult, DataAccessResult};

use crate::pair::{COLLECTOR, MANAGEMENT, Options, World};

fn world(collector: bool) -> World {
    World::new(Options {
        collector,
        ..Options::default()
    })
}

#[test]
fn the_collector_reads_and_does_nothing_else() {
    let mut world = world(true);
    let mut peer = world.connect(0, COLLECTOR, 1);
    peer.associate(&mut world).unwrap();
    for what in [
        "3 1.0.1.8.0.255 2",
        "7 1.0.99.1.0.255 3",
        "1 0.0.43.1.1.255 2",
        "8 0.0.1.0.0.255 2",
    ] {
        peer.get(&mut world, what).unwrap();
    }
    let time = Data::octet_string([0; 12]);
    for what in ["8 0.0.1.0.0.255 2", "1 0.0.96.13.0.255 2"] {
        let refused = peer.set(&mut world, what, &time);
        assert_ne!(refused, DataAccessResult::Success, "{what}");
    }
    for what in [
        "70 0.0.96.3.10.255 1",
        "70 0.0.96.3.10.255 2",
        "64 0.0.43.0.0.255 2",
        "64 0.0.43.0.1.255 2",
        "8 0.0.1.0.0.255 6",
    ] {
        let parameter = vec![0x0F, 0x00];
        let refused = peer.invoke(&mut world, what, Some(parameter));
        assert_ne!(refused, ActionResult::Success, "{what}");
    }
    for what in ["64 0.0.43.0.0.255 2", "70 0.0.96.3.10.255 2"] {
        assert!(peer.get(&mut world, what).is_err(), "{what}");
    }
}

#[test]
fn its_keys_open_nothing_else_and_others_do_not_open_it() {
    let mut world = world(true);
    let mut keys = world.keys(0).clone();
    let collector = keys.client(COLLECTOR).unwrap().clone();
    let management = keys.client(MANAGEMENT).unwrap().clone();
    for (sap, wrong) in [(MANAGEMENT, &collector), (COLLECTOR, &management)] {
        for client in &mut keys.clients {
            if client.sap == sap {
                client.encryption_key.clone_from(&wrong.encryption_key);
                client
                    .authentication_key
                    .clone_from(&wrong.authentication_key);
            }
        }
        let mut peer = crate::pair::Peer::new(0, sap, &keys, 1);
        assert!(peer.associate(&mut world).is_err(), "client {sap}");
    }
}

#[test]
fn a_meter_without_keys_for_it_does_not_let_it_in() {
    let with = world(true);
    let mut without = world(false);
    let mut peer = crate::pair::Peer::new(0, COLLECTOR, with.keys(0), 1);
    assert!(peer.associate(&mut without).is_err());
}
