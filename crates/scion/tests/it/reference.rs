//! The reference implementation's network, as `interop/scion/run` found it.
//! Evidence: what its programs answered, in the file that GRIDWARD_SCION_TOLD
//! names; without it these tests have nothing to hold against, and say so.

use std::net::IpAddr;

use scion::address::{InterfaceId, IsdAs};
use scion::drkey::{Epoch, Protocol, SecretValue};
use scion::path::{Fingerprint, Path};
use scion::policy::Sequence;
use serde_json::Value;

use crate::hex;

fn told() -> Option<Value> {
    let Ok(file) = std::env::var("GRIDWARD_SCION_TOLD") else {
        println!("skipped: interop/scion/run has the reference implementation's answers");
        return None;
    };
    Some(serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap())
}

/// A fingerprint: the reference prints 16 digits or more of it.
fn paths(told: &Value) -> Vec<(String, Path)> {
    let all = told["paths"].as_array().unwrap().iter();
    let all = all.enumerate().map(|(index, path)| {
        let interfaces = path["interfaces"].as_array().unwrap().iter();
        let interfaces: Vec<(IsdAs, InterfaceId)> = interfaces
            .map(|one| {
                let number = one[1].as_u64().unwrap().try_into().unwrap();
                (text(&one[0]).parse().unwrap(), InterfaceId(number))
            })
            .collect();
        let own = Fingerprint([u8::try_from(index).unwrap(); 32]);
        let path = (text(&path["fingerprint"]), Path::new(own, &interfaces));
        (path.0.to_owned(), path.1.unwrap())
    });
    all.collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn names(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(text).collect()
}

#[test]
fn patterns_choose_what_the_reference_chooses() {
    let Some(told) = told() else { return };
    let paths = paths(&told);
    let patterns = told["patterns"].as_array().unwrap();
    let mut counts = Vec::new();
    for pattern in patterns {
        let sequence: Sequence = text(&pattern["text"]).parse().unwrap();
        let ours = paths.iter().filter(|(_, path)| sequence.matches(path));
        let mut ours: Vec<&str> = ours.map(|(name, _)| name.as_str()).collect();
        ours.sort_unstable();
        assert_eq!(ours, names(&pattern["paths"]), "{}", pattern["text"]);
        counts.push(ours.len());
    }
    // There are patterns that all follow, some, and none.
    for some in [0, 1, 2, 4, 6] {
        assert!(counts.contains(&some), "{counts:?}");
    }
}

#[test]
fn a_stopped_router_takes_the_paths_that_cross_it() {
    let Some(told) = told() else { return };
    let paths = paths(&told);
    for stopped in told["stopped"].as_array().unwrap() {
        let isd_as: IsdAs = text(&stopped["isd_as"]).parse().unwrap();
        let interface = InterfaceId(stopped["interface"].as_u64().unwrap().try_into().unwrap());
        let crosses = |path: &Path| {
            let mut all = path.interfaces();
            all.any(|(at, through, _)| (at, through) == (isd_as, interface))
        };
        let ours = paths.iter().filter(|(_, path)| !crosses(path));
        let mut ours: Vec<&str> = ours.map(|(name, _)| name.as_str()).collect();
        ours.sort_unstable();
        assert_eq!(ours, names(&stopped["alive"]), "{stopped}");
        assert!(ours.len() < paths.len());
    }
}

#[test]
fn keys_are_those_of_the_daemons() {
    let Some(told) = told() else { return };
    let told = &told["keys"];
    let host = |name: &str| -> IpAddr { text(&told[name]).parse().unwrap() };
    let (source, destination) = (host("source_host"), host("destination_host"));
    let meters: IsdAs = text(&told["destination"]).parse().unwrap();
    let all = told["keys"].as_array().unwrap();
    assert_eq!(all.len(), 2);
    for one in all {
        let number: u16 = one["protocol"].as_u64().unwrap().try_into().unwrap();
        let protocol = Protocol(number);
        let (pair, shared) = (&one["host_host"], &one["host_as"]);
        let second = |value: &Value| u32::try_from(value.as_u64().unwrap()).unwrap();
        let epoch = Epoch::new(second(&pair["begin"]), second(&pair["end"])).unwrap();
        // Only SCMP has a hierarchy of its own; other numbers share the generic one.
        let hierarchy = if number == 1 {
            protocol
        } else {
            Protocol::GENERIC
        };
        let secret = SecretValue::derive(&hex(text(&told["secret"])), hierarchy, epoch);
        let host_as = secret.level1(meters).host_as(protocol, source);
        let ours = host_as.octets().dangerous_octets();
        assert_eq!(ours[..], hex(text(&shared["key"])), "{number:#06x}");
        let ours = host_as.host_host(destination);
        let ours = ours.dangerous_octets();
        assert_eq!(ours[..], hex(text(&pair["key"])), "{number:#06x}");
    }
}
