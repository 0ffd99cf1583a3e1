//! An endhost API's answers, and the paths that their segments make.
//!
//! Evidence: segments of the reference implementation's control services and
//! the paths that its daemon made of the same ones (`data/endhost.json`, written
//! down on its network of six ASes; `interop/scion/endhost` sends packets on
//! such paths); segments made here, for shapes that network has not; mutants.

use scion::address::IsdAs;
use scion::daemon::{put_number, put_octets};
use scion::endhost::{Segments, segments_request, underlays_answer, underlays_request};
use scion::path::Trust;
use scion::policy::{Policy, Refusal};
use serde_json::Value;

use crate::hex;

fn recorded() -> Value {
    serde_json::from_str(include_str!("../data/endhost.json")).unwrap()
}

fn octets(of: &Value, name: &str) -> Vec<u8> {
    hex(of[name].as_str().unwrap())
}

fn isd_as(text: &Value) -> IsdAs {
    text.as_str().unwrap().parse().unwrap()
}

#[test]
fn recorded_segments_make_the_paths_that_the_daemon_made_of_them() {
    let told = recorded();
    let routers = underlays_answer(&octets(&told, "underlays")).unwrap();
    assert_eq!(routers.len(), 2);
    let mut segments = Segments::default();
    segments.add(&octets(&told, "segments")).unwrap();
    assert_eq!((segments.left_out, segments.next.as_str()), (0, ""));
    let (source, destination) = (isd_as(&told["source"]), isd_as(&told["destination"]));
    let routes = segments.routes(source, destination, &routers);
    let paths = told["paths"].as_array().unwrap();
    assert_eq!((routes.len(), paths.len()), (6, 6));
    for path in paths {
        let wanted = path["fingerprint"].as_str().unwrap();
        let route = routes
            .iter()
            .find(|route| route.path.fingerprint().to_string().starts_with(wanted))
            .unwrap_or_else(|| panic!("{path}"));
        let interfaces: Vec<_> = route
            .path
            .interfaces()
            .map(|(isd_as, interface, _)| serde_json::json!([isd_as.to_string(), interface.0]))
            .collect();
        assert_eq!(Value::from(interfaces), path["interfaces"]);
        let next = route.next("127.0.0.1".parse().unwrap(), 1).to_string();
        assert_eq!(next, path["next"].as_str().unwrap());
        assert_eq!(route.path.expiry, Some(path["expiry"].as_u64().unwrap()));
        assert_eq!(route.path.mtu, Some(1_400));
        assert_eq!(route.path.trust, Trust::NotVerified);
        // A policy may refuse what nobody verified.
        let wary = Policy {
            verified_only: true,
            ..Policy::default()
        };
        assert_eq!(Policy::default().judge(&route.path, 0), Ok(()));
        assert_eq!(wary.judge(&route.path, 0), Err(Refusal::NotVerified));
    }
    // Those with the fewest ASes first, and none where no router is known.
    assert!(routes.is_sorted_by_key(|route| route.path.hops().len()));
    assert!(segments.routes(source, destination, &[]).is_empty());
    assert!(segments.routes(destination, source, &routers).is_empty());
}

#[test]
fn what_is_cut_off_or_changed_is_an_error_or_fewer_paths_and_never_more() {
    let told = recorded();
    let whole = octets(&told, "segments");
    let routers = underlays_answer(&octets(&told, "underlays")).unwrap();
    let (source, destination) = (isd_as(&told["source"]), isd_as(&told["destination"]));
    let count = |octets: &[u8]| {
        let mut segments = Segments::default();
        let added = segments.add(octets);
        added.map(|()| segments.routes(source, destination, &routers).len())
    };
    let lengths = (0..whole.len()).step_by(7);
    assert!(
        lengths
            .clone()
            .all(|at| count(&whole[..at]).is_ok_and(|n| n < 6) || count(&whole[..at]).is_err())
    );
    let mut lengths = lengths;
    assert!(lengths.any(|at| count(&whole[..at]).is_err()));
    let mut state = 1_u32;
    for _ in 0..5_000 {
        let mut octets = whole.clone();
        for _ in 0..3 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = usize::try_from(state >> 8).unwrap() % octets.len();
            octets[at] = state.to_be_bytes()[0];
        }
        assert!(count(&octets).unwrap_or(0) <= 6);
        underlays_answer(&octets).ok();
    }
}

/// A segment with a hop field for each of these ASes: AS, way in, way out.
fn segment(entries: &[(u16, u64, u64)]) -> Vec<u8> {
    let (mut out, mut information) = (Vec::new(), Vec::new());
    put_number(&mut information, 1, 1_700_000_000);
    put_octets(&mut out, 1, &information);
    for (asn, ingress, egress) in entries {
        let [
            mut hop,
            mut entry,
            mut body,
            mut inner,
            mut signed,
            mut whole,
        ] = [const { Vec::new() }; 6];
        put_number(&mut hop, 1, *ingress);
        put_number(&mut hop, 2, *egress);
        put_number(&mut hop, 3, 63);
        put_octets(&mut hop, 4, &[1, 2, 3, 4, 5, 6]);
        put_octets(&mut entry, 1, &hop);
        put_number(&mut body, 1, of(*asn).to_u64());
        put_octets(&mut body, 3, &entry);
        put_octets(&mut inner, 2, &body);
        put_octets(&mut signed, 1, &inner);
        put_octets(&mut whole, 1, &signed);
        put_octets(&mut out, 2, &whole);
    }
    out
}

fn of(asn: u16) -> IsdAs {
    format!("1-ff00:0:{asn}").parse().unwrap()
}

/// The paths from AS 1 as texts; one router has all of its interfaces.
fn paths(up: &[Vec<u8>], down: &[Vec<u8>], core: &[Vec<u8>], to: u16) -> Vec<String> {
    let mut answer = Vec::new();
    for (number, all) in [(1, up), (2, down), (3, core)] {
        for segment in all {
            put_octets(&mut answer, number, segment);
        }
    }
    let (mut router, mut udp, mut underlays) = (Vec::new(), Vec::new(), Vec::new());
    put_number(&mut router, 1, of(1).to_u64());
    put_octets(&mut router, 2, b"127.0.0.1:30042");
    // Numbers alone and packed.
    put_number(&mut router, 3, 11);
    put_octets(&mut router, 3, &[12, 13]);
    put_octets(&mut udp, 1, &router);
    put_octets(&mut underlays, 1, &udp);
    let mut segments = Segments::default();
    segments.add(&answer).unwrap();
    let routers = underlays_answer(&underlays).unwrap();
    let routes = segments.routes(of(1), of(to), &routers);
    routes.iter().map(|route| route.path.to_string()).collect()
}

#[test]
fn paths_turn_where_segments_meet_and_go_through_no_as_twice() {
    let text = |hops: &str| {
        let mut text = hops.to_owned();
        for asn in ["1", "2", "5", "8", "9"] {
            text = text.replace(&format!("@{asn}"), &format!("1-ff00:0:{asn}"));
        }
        vec![text]
    };
    // Core 9 over 5 to 1, and over 5 to 2: they turn in 5, which is no core.
    let up = segment(&[(9, 0, 91), (5, 51, 52), (1, 11, 0)]);
    let down = segment(&[(9, 0, 91), (5, 51, 53), (2, 21, 0)]);
    let both = [std::slice::from_ref(&up), std::slice::from_ref(&down)];
    assert_eq!(
        paths(both[0], both[1], &[], 2),
        text("@1 11>52 @5 53>21 @2")
    );
    // What lies on the way up is reached without a way down.
    assert_eq!(paths(both[0], &[], &[], 5), text("@1 11>52 @5"));
    assert_eq!(paths(both[0], &[], &[], 9), text("@1 11>52 @5 51>91 @9"));
    // Two cores: the segment between them goes in both directions.
    let other = segment(&[(8, 0, 81), (2, 22, 0)]);
    let through = text("@1 11>52 @5 51>91 @9 92>82 @8 81>22 @2");
    for core in [
        segment(&[(9, 0, 92), (8, 82, 0)]),
        segment(&[(8, 0, 82), (9, 92, 0)]),
    ] {
        assert_eq!(
            paths(both[0], std::slice::from_ref(&other), &[core], 2),
            through
        );
    }
    // Without it there is no way, and interfaces that no router has lead nowhere.
    assert!(paths(both[0], &[other], &[], 2).is_empty());
    let elsewhere = segment(&[(9, 0, 91), (1, 19, 0)]);
    assert!(paths(&[elsewhere], &[], &[], 9).is_empty());
}

#[test]
fn interfaces_of_a_router_are_bounded() {
    let (mut router, mut udp, mut underlays) = (Vec::new(), Vec::new(), Vec::new());
    put_number(&mut router, 1, of(1).to_u64());
    put_octets(&mut router, 2, b"127.0.0.1:30042");
    for interface in 1..=1_000 {
        put_number(&mut router, 3, interface);
    }
    put_octets(&mut router, 3, &[7; 1_000]);
    put_octets(&mut udp, 1, &router);
    put_octets(&mut underlays, 1, &udp);
    let routers = underlays_answer(&underlays).unwrap();
    assert_eq!(routers[0].interfaces.len(), 256);
}

#[test]
fn requests_name_both_ends_and_the_page() {
    assert!(underlays_request().is_empty());
    let first = segments_request(of(1), of(2), "");
    let second = segments_request(of(1), of(2), "next");
    assert!(second.starts_with(&first) && second.ends_with(b"\x22\x04next"));
    let mut segments = Segments::default();
    let mut page = Vec::new();
    put_octets(&mut page, 4, b"next");
    segments.add(&page).unwrap();
    assert_eq!(segments.next, "next");
    segments.add(&[]).unwrap();
    assert_eq!(segments.next, "");
}
