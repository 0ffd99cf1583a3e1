//! What daemons answer. Evidence: robustness, and messages written by a second
//! writer; `interop/scion/run` has the reference implementation's daemons.

use proptest::prelude::*;
use scion::daemon::{
    DaemonError, Route, as_answer, as_request, drkey_answer, fingerprint, paths_answer,
    paths_request,
};
use scion::path::{About, Path, TOLD_MAX};
use scion::sig::{MAX_DATA, Probe};

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
fn what_ases_tell_of_themselves_is_kept_within_bounds() {
    use message::octets;
    let note = |text: &str| octets(11, text.as_bytes());
    // Coordinates stand before the address, 32 bits each.
    let place = |text: &[u8]| {
        octets(
            8,
            &[&hex("0d0000484215000048c2")[..], &octets(3, text)].concat(),
        )
    };
    let taken = |more: &[u8]| {
        let told = told(&routes(false)[0]);
        // The outer field's header has three octets.
        let (_, inner) = told.split_at(3);
        let answer = octets(1, &[inner, more].concat());
        let (found, left_out) = paths_answer(&answer, isd_as(211), isd_as(111)).unwrap();
        assert_eq!((found.len(), left_out), (1, 0));
        found[0].path.clone()
    };
    let long = "é".repeat(2 * TOLD_MAX);
    let places = [
        place("DE-Frankfurt".as_bytes()),
        place("DE-München\u{7}\r\n  (Ost) ".as_bytes()),
        place("\u{202e}DE-Nürnberg\u{200b}".as_bytes()),
        place(b"CH-Bern"),
        place(b"\xff\xfe"),
        place(long.as_bytes()),
    ];
    let notes = ["leaf", "", "\u{0}\u{feff} ", &long].map(note).concat();
    let own = |number, places: &[&str], note: Option<&str>| About {
        isd_as: isd_as(number),
        places: places.iter().map(|place| (*place).to_owned()).collect(),
        note: note.map(str::to_owned),
    };
    let short = "é".repeat(TOLD_MAX);
    let path = taken(&[places.concat(), notes.clone()].concat());
    let about = [
        own(211, &["DE-Frankfurt"], Some("leaf")),
        own(210, &["DE-München (Ost)", "DE-Nürnberg"], None),
        own(110, &["CH-Bern"], None),
        own(111, &[&short], Some(&short)),
    ];
    assert_eq!(*path.about, about);
    assert_eq!(path.reversed().about, path.about);
    // Lists of another length belong to nothing, each by itself; neither costs the path.
    let path = taken(&[places[1..].concat(), notes.clone()].concat());
    let about = [own(211, &[], Some("leaf")), own(111, &[], Some(&short))];
    assert_eq!(*path.about, about);
    let path = taken(&[places.concat(), notes, note("more")].concat());
    assert_eq!(path.about.len(), 4);
    assert!(path.about.iter().all(|it| it.note.is_none()));
    assert!(taken(&[]).about.is_empty());
    // Where both routers are in one place, it is told once.
    let same = place(b"DE-Frankfurt").repeat(6);
    assert!(taken(&same).about.iter().all(|it| it.places.len() == 1));
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

/// A key of an epoch with something changed, or its answer cut.
fn key_answer(changes: &[(prop::sample::Index, u8)], cut: prop::sample::Index) -> Vec<u8> {
    use message::{number, octets};
    let mut answer = [
        octets(1, &number(1, 1_800_000_000)),
        octets(2, &number(1, 1_800_000_600)),
        octets(3, &[7; 16]),
    ]
    .concat();
    assert!(drkey_answer(&answer).is_ok());
    for (at, value) in changes {
        let at = at.index(answer.len());
        answer[at] = *value;
    }
    answer.truncate(cut.index(answer.len() + 1));
    answer
}

/// Holds keys and probes that are read against what they must be.
fn told_by_chance(octets: &[u8]) -> Result<(), TestCaseError> {
    if let Ok((epoch, _)) = drkey_answer(octets) {
        prop_assert!(epoch.begin() < epoch.end());
    }
    if let Ok(Some(probe)) = Probe::decode(octets) {
        prop_assert!(probe.data.len() <= MAX_DATA);
        prop_assert_eq!(Probe::decode(&probe.encode()), Ok(Some(probe)));
    }
    Ok(())
}

proptest! {
    #[test]
    fn keys_and_probes_are_read_or_refused(
        session in any::<u32>(),
        data in proptest::collection::vec(any::<u8>(), 0..=MAX_DATA),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        told_by_chance(&key_answer(&changes, cut))?;
        let probe = Probe { session, data };
        let mut octets = probe.encode();
        prop_assert_eq!(Probe::decode(&octets), Ok(Some(probe)));
        for (at, value) in &changes {
            let at = at.index(octets.len());
            octets[at] = *value;
        }
        told_by_chance(&octets)?;
        told_by_chance(&octets[..cut.index(octets.len())])?;
    }

    #[test]
    fn nothing_panics_and_nothing_is_taken_that_lies(
        octets in proptest::collection::vec(any::<u8>(), 0..300),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        paths_answer(&octets, isd_as(211), isd_as(111)).ok();
        as_answer(&octets).ok();
        told_by_chance(&octets)?;
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
