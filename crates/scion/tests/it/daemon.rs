//! What daemons answer. Evidence: robustness, and messages written by a second
//! writer; `interop/scion/run` has the reference implementation's daemons.

use proptest::prelude::*;
use scion::daemon::{
    DaemonError, Route, as_answer, as_request, fingerprint, paths_answer, paths_request,
};
use scion::path::Path;

use crate::hex;
use crate::network::isd_as;
use crate::routes::{message, routes, told};

fn answer() -> Vec<u8> {
    routes(false).iter().flat_map(told).collect()
}

#[test]
fn questions_are_octets_of_protocol_buffers() {
    assert!(as_request().is_empty());
    let (one, other) = (isd_as(211), isd_as(111));
    let mut expected = message::number(1, one.to_u64());
    expected.extend(message::number(2, other.to_u64()));
    assert_eq!(paths_request(one, other, false), expected);
    expected.extend(message::number(3, 1));
    assert_eq!(paths_request(one, other, true), expected);
}

#[test]
fn the_own_as_is_told() {
    let octets = [
        message::number(1, isd_as(211).to_u64()),
        message::number(2, 1),
        // A field that is not known, of each form.
        message::octets(9, b"x"),
        hex("4d01020304"),
        hex("510102030405060708"),
    ]
    .concat();
    assert_eq!(as_answer(&octets), Ok(isd_as(211)));
    assert_eq!(as_answer(&octets[..3]), Err(DaemonError::Truncated(3)));
    assert_eq!(as_answer(&hex("0f")), Err(DaemonError::Form(0)));
    assert_eq!(
        as_answer(&[&[8][..], &[0xff; 10]].concat()),
        Err(DaemonError::Number(1))
    );
}

#[test]
fn paths_are_told_with_all_that_is_known_of_them() {
    let (found, left_out) = paths_answer(&answer(), isd_as(211), isd_as(111)).unwrap();
    assert_eq!(left_out, 0);
    assert_eq!(found, routes(false));
    // Told twice, it is one.
    let twice = [answer(), answer()].concat();
    assert_eq!(
        paths_answer(&twice, isd_as(211), isd_as(111))
            .unwrap()
            .0
            .len(),
        6
    );
}

#[test]
fn a_path_of_others_or_that_lies_is_left_out() {
    // Between other ASes than asked for.
    let (found, left_out) = paths_answer(&answer(), isd_as(111), isd_as(211)).unwrap();
    assert_eq!((found.len(), left_out), (0, 6));
    // The octets of one path with the interfaces of another: what the fence
    // would judge is not what packets would cross.
    let all = routes(false);
    let next = all[0].next([0, 0, 0, 0].into(), 0);
    assert!(Route::new(all[0].path.clone(), all[4].octets().to_vec(), next).is_none());
    let mut lie = told(&all[0]);
    let honest = all[0].octets().to_vec();
    let at = lie
        .windows(honest.len())
        .position(|window| window == honest)
        .unwrap();
    lie[at + honest.len() - 9] ^= 1;
    let (found, left_out) = paths_answer(&lie, isd_as(211), isd_as(111)).unwrap();
    assert_eq!((found.len(), left_out), (0, 1));
}

#[test]
fn an_unknown_time_is_none() {
    let mut octets = told(&routes(false)[0]);
    // Another step with the time -1 s: more steps than interfaces have, and
    // not known.
    octets.truncate(octets.len());
    let step = message::octets(6, &message::number(1, u64::MAX));
    let inner = {
        // The outer field's header has three octets.
        let (_, inner) = octets.split_at(3);
        [inner, &step[..]].concat()
    };
    let outer = message::octets(1, &inner);
    let (found, _) = paths_answer(&outer, isd_as(211), isd_as(111)).unwrap();
    assert_eq!(found[0].path.latency, None);
    assert_eq!(found[0].path.mtu, Some(1_400));
}

#[test]
fn fingerprints_are_digests_of_numbers() {
    // One SHA-256 over AS and interface, 64 bits each: those that the
    // reference prints are held against in `reference`.
    let path = &routes(false)[0].path;
    let list: Vec<_> = path.interfaces().map(|(at, one, _)| (at, one)).collect();
    let own = fingerprint(&list);
    assert_eq!(path.fingerprint(), own);
    assert_ne!(fingerprint(&list[..2]), own);
    assert!(Path::new(own, &list).is_ok());
}

proptest! {
    #[test]
    fn nothing_panics_and_nothing_is_taken_that_lies(
        octets in proptest::collection::vec(any::<u8>(), 0..300),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        paths_answer(&octets, isd_as(211), isd_as(111)).ok();
        let mut changed = answer();
        for (at, value) in changes {
            let at = at.index(changed.len());
            changed[at] = value;
        }
        let end = cut.index(changed.len());
        for octets in [&changed[..], &changed[..end]] {
            if let Ok((found, _)) = paths_answer(octets, isd_as(211), isd_as(111)) {
                for route in found {
                    let said: Vec<_> = route.path.interfaces().map(|one| one.1).collect();
                    prop_assert_eq!(scion::packet::crossed(route.octets()).unwrap(), said);
                }
            }
        }
    }
}
