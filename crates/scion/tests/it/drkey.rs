//! Keys. Evidence: the reference implementation's golden values, and a mixture
//! recomputed from HMAC alone.

use std::net::IpAddr;

use scion::address::IsdAs;
use scion::drkey::{
    Cache, CacheKey, Epoch, EpochError, GRACE, Level1, MixError, Octets, PREFETCH, Protocol,
    Purpose, SecretValue, Use, mix,
};
use serde_json::Value;

use crate::hex;
use crate::network::isd_as;

fn host(vector: &Value, name: &str) -> IpAddr {
    vector[name].as_str().unwrap().parse().unwrap()
}

fn number(vector: &Value, name: &str) -> u32 {
    u32::try_from(vector[name].as_u64().unwrap()).unwrap()
}

#[test]
fn every_level_is_that_of_the_reference() {
    let vectors: Value = serde_json::from_str(include_str!("../data/drkey.json")).unwrap();
    let mut seen = Vec::new();
    for vector in vectors["vectors"].as_array().unwrap() {
        let text = |name: &str| vector[name].as_str().unwrap();
        let protocol = Protocol(u16::try_from(vector["proto"].as_u64().unwrap()).unwrap());
        let epoch = Epoch::new(number(vector, "begin"), number(vector, "end")).unwrap();
        let hierarchy = match vector.get("l1_proto") {
            Some(number) => Protocol(u16::try_from(number.as_u64().unwrap()).unwrap()),
            None => protocol,
        };
        let secret = SecretValue::derive(&hex(text("secret")), hierarchy, epoch);
        let level1 = || -> Level1 {
            let level1 = secret.level1(text("dst_ia").parse::<IsdAs>().unwrap());
            if vector.get("level1").is_some() {
                assert_eq!(level1.octets().dangerous_octets()[..], hex(text("level1")));
            }
            level1
        };
        let key = match text("kind") {
            "sv" => secret.octets().clone(),
            "level1" => level1().octets().clone(),
            "as-host" => level1().as_host(protocol, host(vector, "dst_host")),
            "host-as" => level1()
                .host_as(protocol, host(vector, "src_host"))
                .octets()
                .clone(),
            "host-host" => {
                let hosts = (host(vector, "src_host"), host(vector, "dst_host"));
                level1().host_host(protocol, hosts.0, hosts.1)
            }
            other => panic!("a vector of kind {other}"),
        };
        assert_eq!(key.dangerous_octets()[..], hex(text("key")), "{vector}");
        seen.push(text("kind").to_owned());
    }
    seen.sort();
    assert_eq!(
        seen,
        [
            "as-host",
            "as-host",
            "host-as",
            "host-as",
            "host-host",
            "host-host",
            "level1",
            "sv"
        ]
    );
}

#[test]
fn a_head_end_derives_each_meters_key_from_one() {
    let epoch = Epoch::new(0, 86_400).unwrap();
    let secret = SecretValue::derive(b"a master secret", Protocol::GENERIC, epoch);
    let level1 = secret.level1(isd_as(111));
    let protocol = Protocol(0x2201);
    let here: IpAddr = "10.0.0.1".parse().unwrap();
    let for_as = level1.host_as(protocol, here);
    for meter in ["10.1.0.7", "2001:db8::7"] {
        let meter = meter.parse().unwrap();
        assert_eq!(
            for_as.host_host(meter),
            level1.host_host(protocol, here, meter)
        );
    }
    assert_ne!(
        level1.host_as(Protocol(1_000), here).octets(),
        for_as.octets(),
        "a protocol of its own gives keys of its own"
    );
    assert_eq!(
        format!("{secret:?}").matches("(..)").count(),
        1,
        "no key in Debug"
    );
}

fn of_a_meter() -> Use {
    Use {
        purpose: Purpose::AuthenticationKey,
        suite: 0,
        protocol: Protocol(0x2201),
        epoch: Epoch::new(86_400, 172_800).unwrap(),
        client_sap: 1,
        server_sap: 1,
        client_title: *b"GWDHES\0\x01",
        server_title: *b"GWDMTR\0\x02",
    }
}

/// HMAC-SHA-256 written out (RFC 2104), to check the mixture with.
fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    use sha2::Digest as _;
    let mut pad = [0_u8; 64];
    pad[..key.len()].copy_from_slice(key);
    let inner: [u8; 32] = sha2::Sha256::new()
        .chain_update(pad.map(|octet| octet ^ 0x36))
        .chain_update(text)
        .finalize()
        .into();
    sha2::Sha256::new()
        .chain_update(pad.map(|octet| octet ^ 0x5c))
        .chain_update(inner)
        .finalize()
        .into()
}

#[test]
fn a_mixture_is_hkdf_over_both_secrets() {
    let drkey = Octets::new(*b"0123456789abcdef");
    let secret = b"provisioned in the meter";
    let mut context = b"gridward drkey dlms 1gak \x00\x22\x01".to_vec();
    context.extend([0, 1, 0x51, 0x80, 0, 2, 0xa3, 0, 0, 1, 0, 1]);
    context.extend(b"GWDHES\0\x01GWDMTR\0\x02\x01");
    let expected = hmac(&hmac(secret, drkey.dangerous_octets()), &context);
    let key = mix(&drkey, secret, &of_a_meter()).unwrap();
    assert_eq!(key[..], expected[..16]);
}

#[test]
fn whatever_differs_gives_another_key() {
    let drkey = Octets::new([7; 16]);
    let secret = b"provisioned in the meter";
    let base = of_a_meter();
    let mut keys = vec![mix(&drkey, secret, &base).unwrap()];
    for other in [
        Use {
            purpose: Purpose::EncryptionKey,
            ..base
        },
        Use {
            purpose: Purpose::HlsSecret,
            ..base
        },
        Use { suite: 1, ..base },
        Use {
            protocol: Protocol(0x2202),
            ..base
        },
        Use {
            epoch: Epoch::new(86_400, 172_801).unwrap(),
            ..base
        },
        Use {
            epoch: Epoch::new(86_401, 172_800).unwrap(),
            ..base
        },
        Use {
            client_sap: 2,
            ..base
        },
        Use {
            server_sap: 2,
            ..base
        },
        Use {
            client_title: *b"GWDHES\0\x09",
            ..base
        },
        Use {
            server_title: *b"GWDMTR\0\x09",
            ..base
        },
    ] {
        keys.push(mix(&drkey, secret, &other).unwrap());
    }
    keys.push(mix(&Octets::new([8; 16]), secret, &base).unwrap());
    keys.push(mix(&drkey, b"provisioned in the Meter", &base).unwrap());
    let suite2 = mix(&drkey, secret, &Use { suite: 2, ..base }).unwrap();
    assert_eq!(suite2.len(), 32);
    for (index, key) in keys.iter().enumerate() {
        assert_eq!(key.len(), 16);
        assert!(!keys[..index].contains(key), "key {index} was there before");
        assert_ne!(key[..], suite2[..16]);
        assert_ne!(key[..], drkey.dangerous_octets()[..]);
    }
}

#[test]
fn a_drkey_alone_is_never_enough() {
    let drkey = Octets::new([7; 16]);
    for (secret, error) in [
        (&b""[..], MixError::ShortSecret(0)),
        (b"fifteen octets.", MixError::ShortSecret(15)),
        (&[0; 16], MixError::WeakSecret),
        (&[0xff; 32], MixError::WeakSecret),
    ] {
        assert_eq!(mix(&drkey, secret, &of_a_meter()).unwrap_err(), error);
    }
    let unknown = Use {
        suite: 3,
        ..of_a_meter()
    };
    assert_eq!(
        mix(&drkey, b"provisioned in the meter", &unknown).unwrap_err(),
        MixError::Suite(3)
    );
}

fn between(other: u16) -> CacheKey {
    CacheKey {
        protocol: Protocol(0x2201),
        issuer: isd_as(211),
        issuer_host: Some("10.0.0.1".parse().unwrap()),
        other: isd_as(other),
        other_host: None,
    }
}

#[test]
fn epochs_roll_over_with_grace() {
    let mut cache = Cache::new(8);
    let key = between(111);
    let epoch = |n: u32| Epoch::new(n * 3_600, (n + 1) * 3_600).unwrap();
    assert!(cache.is_due(&key, 3_700));
    cache.insert(key, epoch(1), "one", 3_700).unwrap();
    assert!(!cache.is_due(&key, 3_700));
    assert!(cache.is_due(&key, 7_200 - PREFETCH));
    cache.insert(key, epoch(2), "two", 7_000).unwrap();
    assert!(!cache.is_due(&key, 7_100));
    let keys = |cache: &Cache<&'static str>, now| -> Vec<_> {
        cache.acceptable(&key, now).map(|(_, key)| *key).collect()
    };
    assert_eq!(keys(&cache, 7_199), ["one"]);
    assert_eq!(cache.current(&key, 7_200), Some((epoch(2), &"two")));
    assert_eq!(keys(&cache, 7_200), ["two", "one"]);
    assert_eq!(keys(&cache, 7_200 + GRACE - 1), ["two", "one"]);
    assert_eq!(
        keys(&cache, 7_200 + GRACE),
        ["two"],
        "beyond grace it is refused"
    );
    cache.purge(7_200 + GRACE);
    assert_eq!(cache.len(), 1);
    // A new master secret within the epoch replaces the key.
    cache.insert(key, epoch(2), "new", 7_300).unwrap();
    assert_eq!(keys(&cache, 7_300), ["new"]);
}

#[test]
fn epochs_that_make_no_sense_are_refused() {
    assert!(Epoch::new(5, 5).is_err());
    assert!(Epoch::new(5, 4).is_err());
    assert!(Epoch::new(0, 259_201).is_err());
    let mut cache = Cache::new(8);
    let key = between(111);
    let epoch = Epoch::new(1_000, 2_000).unwrap();
    assert!(matches!(
        cache.insert(key, epoch, (), 2_000 + GRACE),
        Err(EpochError::Elsewhere { now: 2_005, .. })
    ));
    let far = Epoch::new(10_000, 12_000).unwrap();
    assert!(matches!(
        cache.insert(key, far, (), 8_199),
        Err(EpochError::Elsewhere { .. })
    ));
    cache.insert(key, epoch, (), 1_500).unwrap();
    let across = Epoch::new(1_999, 2_500).unwrap();
    assert!(matches!(
        cache.insert(key, across, (), 1_500),
        Err(EpochError::Overlap { .. })
    ));
    assert_eq!(cache.len(), 1);
}

#[test]
fn the_cache_is_bounded() {
    let mut cache = Cache::new(4);
    for other in 100..200 {
        let begin = u32::from(other);
        let epoch = Epoch::new(begin, begin + 1_000).unwrap();
        cache.insert(between(other), epoch, other, 199).unwrap();
        assert!(cache.len() <= 4);
    }
    // The one that ended first has gone each time.
    for other in 196..200 {
        assert!(cache.current(&between(other), 300).is_some());
    }
    let mut one = Cache::new(0);
    one.insert(between(111), Epoch::new(0, 10).unwrap(), (), 0)
        .unwrap();
    assert_eq!(one.len(), 1);
}
