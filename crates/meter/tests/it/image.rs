//! Image transfer. Evidence: self-agreement of the meter with the client machine of `dlms`;
//! robustness: forged, altered and old images, strangers, floods, power cuts at every write. The
//! signatures are AWS-LC's own.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, OnceLock};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use dlms::axdr::Data;
use dlms::codec::Wire as _;
use dlms::security::{
    AwsLc, Envelope, FreshCounter, KeyRing, Keys, Protection, PublicKey, SecuritySuite,
    SystemTitle, Wrapping,
};
use dlms::xdlms::{ActionResult, DataAccessResult};
use expect_test::expect;
use link::{BROADCAST_CLIENT, MeterKeys};
use meter::firmware::{
    BLOCK_LEN, DirImages, Firmware, FirmwareConfig, FirmwareError, ImageMedium, ImageStore,
    MemoryImages, SYNC_BLOCKS,
};
use model::{IMAGE_LEN_MAX, Image, ImageError, ImageHeader};

use crate::disk::Random;
use crate::pair::{COLLECTOR, MANAGEMENT, Options, PUBLIC, Peer, READING, World};

const BLOCKS: &str = "18 0.0.44.0.0.255 3";
const FIRST: &str = "18 0.0.44.0.0.255 4";
const STATUS: &str = "18 0.0.44.0.0.255 6";
const TO_ACTIVATE: &str = "18 0.0.44.0.0.255 7";
const INITIATE: &str = "18 0.0.44.0.0.255 1";
const BLOCK: &str = "18 0.0.44.0.0.255 2";
const VERIFY: &str = "18 0.0.44.0.0.255 3";
const ACTIVATE: &str = "18 0.0.44.0.0.255 4";
const FIRMWARE: &str = "1 1.0.0.2.0.255 2";
const TITLE: [u8; 8] = *b"GWD\0\0\0\0\x01";

fn key_pair() -> &'static EcdsaKeyPair {
    static KEY: OnceLock<EcdsaKeyPair> = OnceLock::new();
    KEY.get_or_init(|| EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
}

/// The maker whose images all meters of these tests take.
pub(crate) fn maker() -> PublicKey {
    PublicKey::from_octets(key_pair().public_key().as_ref()).unwrap()
}

fn signed(key: &EcdsaKeyPair, header: &ImageHeader, content: &[u8]) -> Vec<u8> {
    let signature = key.sign(&SystemRandom::new(), &header.to_octets()).unwrap();
    header.seal(signature.as_ref().try_into().unwrap(), content)
}

fn content(len: usize) -> Vec<u8> {
    let mut random = Random(7);
    (0..len)
        .map(|_| u8::try_from(random.below(256)).unwrap())
        .collect()
}

fn image(version: u32, len: usize) -> Vec<u8> {
    let content = content(len);
    let name = format!("Gridward {version}");
    let header = ImageHeader::new("smr5", &name, version, &content).unwrap();
    signed(key_pair(), &header, &content)
}

fn initiate(image: &[u8]) -> Option<Vec<u8>> {
    let size = Data::DoubleLongUnsigned(image.len().try_into().unwrap());
    Some(Data::Structure(vec![Data::octet_string(b"smr5"), size]).to_octets())
}

fn block(number: u32, octets: &[u8]) -> Option<Vec<u8>> {
    let number = Data::DoubleLongUnsigned(number);
    Some(Data::Structure(vec![number, Data::octet_string(octets)]).to_octets())
}

fn blocks(image: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    (0..).zip(image.chunks(BLOCK_LEN as usize))
}

const NOTHING: [u8; 2] = [0x0F, 0];

/// Whoever holds what all meters hold: the broadcast key and what goes with it.
struct Broadcaster {
    ring: KeyRing,
    title: SystemTitle,
    counter: u32,
}

impl Broadcaster {
    fn new(keys: &MeterKeys, title: SystemTitle) -> Self {
        let of_all = keys.client(BROADCAST_CLIENT).unwrap();
        let mut all = Keys::new(
            of_all.encryption_key.clone().unwrap(),
            of_all.authentication_key.clone().unwrap(),
        );
        all.broadcast.clone_from(&keys.broadcast_key);
        Self {
            ring: KeyRing::new(&AwsLc, SecuritySuite::Suite0, &all).unwrap(),
            title,
            counter: 1,
        }
    }

    /// An unconfirmed Action request under the broadcast key.
    fn action(&mut self, method: u8, parameter: &[u8]) -> Vec<u8> {
        let mut plain = vec![0xC3, 1, 0x01, 0, 18, 0, 0, 44, 0, 0, 255, method, 1];
        plain.extend_from_slice(parameter);
        self.sealed(&plain)
    }

    fn sealed(&mut self, plain: &[u8]) -> Vec<u8> {
        let envelope = Envelope {
            broadcast: true,
            ..Envelope::new(Wrapping::GeneralGlo, Protection::AuthenticatedEncrypted)
        };
        self.counter += 1;
        let counter = FreshCounter::dangerous_assume_fresh(self.counter);
        let mut out = Vec::new();
        self.ring
            .protect(envelope, &self.title, counter, plain, &mut out)
            .unwrap();
        out
    }

    fn block(&mut self, world: &mut World, peer: &mut Peer, number: u32, octets: &[u8]) {
        let apdu = self.action(2, &block(number, octets).unwrap());
        if octets.len() == BLOCK_LEN as usize {
            // What one S-FSK frame carries is 131 octets (model::powerline).
            assert_eq!(apdu.len(), 130);
        }
        assert_eq!(peer.raw_to(world, &apdu, true), None);
    }
}

fn broadcaster(world: &World) -> (Broadcaster, Peer) {
    let title = SystemTitle(*b"HES\0\0\0\0\x02");
    let peer = world.connect(0, BROADCAST_CLIENT, 0);
    (Broadcaster::new(world.keys(0), title), peer)
}

/// Reads `image_transferred_blocks_status`.
fn missing(peer: &mut Peer, world: &mut World) -> Vec<u32> {
    let Ok(Data::BitString(bits)) = peer.get(world, BLOCKS) else {
        panic!("no bit string");
    };
    let bits = bits.as_bit_str();
    (0..)
        .zip(bits.iter())
        .filter(|(_, there)| !there)
        .map(|(n, _)| n)
        .collect()
}

fn status(peer: &mut Peer, world: &mut World) -> u8 {
    match peer.get(world, STATUS) {
        Ok(Data::Enum(status)) => status,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_image_comes_by_broadcast_is_repaired_verified_and_activated() {
    let mut world = World::new(Options::default());
    let image = image(3, 10_000);
    let mut peer = world.associate(0, MANAGEMENT);
    assert_eq!(status(&mut peer, &mut world), 0);
    assert_eq!(
        peer.invoke(&mut world, INITIATE, initiate(&image)),
        ActionResult::Success
    );
    assert_eq!(status(&mut peer, &mut world), 1);

    // Twice in the blind, each time with losses: some are lost both times.
    let (mut sender, mut all) = broadcaster(&world);
    for pass in 0..2 {
        for (number, octets) in blocks(&image) {
            if number % 3 != 0 && !(pass == 0 && number == 5) {
                sender.block(&mut world, &mut all, number, octets);
            }
        }
    }
    let lost: Vec<u32> = (0..).step_by(3).take_while(|n| *n < 128).collect();
    assert_eq!(missing(&mut peer, &mut world), lost);
    let device = world.fleet.device(0).unwrap();
    assert_eq!(device.firmware().unwrap().bitmaps_read(), 1);
    assert_eq!(peer.get(&mut world, FIRST), Ok(Data::DoubleLongUnsigned(0)));

    // Verifying too early leaves the transfer as it is.
    assert_ne!(
        peer.invoke(&mut world, VERIFY, Some(NOTHING.into())),
        ActionResult::Success
    );
    assert_eq!(status(&mut peer, &mut world), 1);
    for (number, octets) in blocks(&image) {
        if lost.contains(&number) {
            let sent = peer.invoke(&mut world, BLOCK, block(number, octets));
            assert_eq!(sent, ActionResult::Success);
        }
    }
    assert_eq!(missing(&mut peer, &mut world), []);
    let count = u32::try_from(image.len()).unwrap().div_ceil(BLOCK_LEN);
    assert_eq!(
        peer.get(&mut world, FIRST),
        Ok(Data::DoubleLongUnsigned(count))
    );
    assert_eq!(peer.get(&mut world, TO_ACTIVATE), Ok(Data::Array(vec![])));
    assert_eq!(
        peer.invoke(&mut world, VERIFY, Some(NOTHING.into())),
        ActionResult::Success
    );
    assert_eq!(status(&mut peer, &mut world), 3);
    let Ok(Data::Array(told)) = peer.get(&mut world, TO_ACTIVATE) else {
        panic!("nothing to activate");
    };
    let [Data::Structure(fields)] = told.as_slice() else {
        panic!("{told:?}");
    };
    let length = u32::try_from(image.len()).unwrap();
    assert_eq!(fields[0], Data::DoubleLongUnsigned(length));
    assert_eq!(fields[1], Data::octet_string(b"Gridward 3"));
    let signature = Image::parse(&image).unwrap().signature().to_vec();
    assert_eq!(fields[2], Data::OctetString(signature));

    // The meter says which firmware it runs only once it runs, and still after a power cut.
    assert_ne!(
        peer.get(&mut world, FIRMWARE),
        Ok(Data::octet_string(b"Gridward 3"))
    );
    assert_eq!(
        peer.invoke(&mut world, ACTIVATE, Some(NOTHING.into())),
        ActionResult::Success
    );
    world.disk.power_cut(&mut Random(1));
    world.restart();
    let mut peer = world.associate(0, MANAGEMENT);
    assert_eq!(status(&mut peer, &mut world), 6);
    assert_eq!(
        peer.get(&mut world, FIRMWARE),
        Ok(Data::octet_string(b"Gridward 3"))
    );
    // Not even where the images are lost does an older one run.
    world.images = Arc::new(MemoryImages::default());
    world.restart();
    let device = world.fleet.device(0).unwrap();
    assert_eq!(device.firmware().unwrap().running(), 3);
    assert_eq!(device.firmware().unwrap().status().number(), 0);
    let log: Vec<u16> = device.log_entries(0).map(|entry| entry.code).collect();
    assert!(log.ends_with(&[17, 18]), "{log:?}");
}

#[test]
fn the_status_machine() {
    let good = image(2, 200);
    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    let proof = proof();
    let fresh = |image: &[u8]| {
        let config = FirmwareConfig::new(maker(), Arc::new(MemoryImages::default()));
        let mut firmware = Firmware::open(&config, TITLE, "smr5").unwrap();
        firmware
            .initiate(b"id", image.len().try_into().unwrap())
            .unwrap();
        firmware
    };
    let whole = |image: &[u8]| {
        let mut firmware = fresh(image);
        for (number, octets) in blocks(image) {
            firmware.block(number, octets, None).unwrap();
        }
        firmware
    };
    let verified = || {
        let mut firmware = whole(&good);
        firmware.verify().unwrap();
        firmware
    };
    let factory = || {
        let config = FirmwareConfig::new(maker(), Arc::new(MemoryImages::default()));
        Firmware::open(&config, TITLE, "smr5").unwrap()
    };
    let states: [(&str, &dyn Fn() -> Firmware); 7] = [
        ("not initiated", &factory),
        ("initiated", &|| fresh(&good)),
        ("whole", &|| whole(&good)),
        ("whole, bad", &|| whole(&bad)),
        ("verified", &|| verified()),
        ("failed", &|| {
            let mut firmware = whole(&bad);
            assert!(firmware.verify().is_err());
            firmware
        }),
        ("activated", &|| {
            let mut firmware = verified();
            firmware.activate(&proof).unwrap();
            firmware
        }),
    ];
    let length = u32::try_from(good.len()).unwrap();
    type Act<'a> = (
        &'a str,
        &'a dyn Fn(&mut Firmware) -> Result<(), FirmwareError>,
    );
    let acts: [Act<'_>; 5] = [
        ("initiate", &|it| it.initiate(b"id", length)),
        ("block", &|it| {
            it.block(0, &good[..BLOCK_LEN as usize], None)
        }),
        ("verify", &|it| it.verify()),
        ("activate", &|it| it.activate(&proof)),
        ("switch off", &|it| it.enable(false)),
    ];
    let mut table = String::new();
    for (state, make) in states {
        for (name, act) in acts {
            let mut firmware = make();
            let before = firmware.status().number();
            let told = match act(&mut firmware) {
                Ok(()) => "done".to_owned(),
                Err(error) => error.to_string(),
            };
            let after = firmware.status().number();
            let (running, line) = (firmware.running(), format!("{state:<13} {name:<10}"));
            table += &format!("{line} {before} -> {after}  runs {running}  {told}\n");
        }
    }
    expect![[r#"
        not initiated initiate   0 -> 1  runs 0  done
        not initiated block      0 -> 0  runs 0  the status of the transfer does not allow this
        not initiated verify     0 -> 0  runs 0  the status of the transfer does not allow this
        not initiated activate   0 -> 0  runs 0  the status of the transfer does not allow this
        not initiated switch off 0 -> 0  runs 0  done
        initiated     initiate   1 -> 1  runs 0  done
        initiated     block      1 -> 1  runs 0  done
        initiated     verify     1 -> 1  runs 0  blocks are missing
        initiated     activate   1 -> 1  runs 0  the status of the transfer does not allow this
        initiated     switch off 1 -> 1  runs 0  done
        whole         initiate   1 -> 1  runs 0  done
        whole         block      1 -> 1  runs 0  done
        whole         verify     1 -> 3  runs 0  done
        whole         activate   1 -> 1  runs 0  the status of the transfer does not allow this
        whole         switch off 1 -> 1  runs 0  done
        whole, bad    initiate   1 -> 1  runs 0  done
        whole, bad    block      1 -> 1  runs 0  done
        whole, bad    verify     1 -> 4  runs 0  the image is refused
        whole, bad    activate   1 -> 1  runs 0  the status of the transfer does not allow this
        whole, bad    switch off 1 -> 1  runs 0  done
        verified      initiate   3 -> 1  runs 0  done
        verified      block      3 -> 3  runs 0  the status of the transfer does not allow this
        verified      verify     3 -> 3  runs 0  done
        verified      activate   3 -> 6  runs 2  done
        verified      switch off 3 -> 3  runs 0  done
        failed        initiate   4 -> 1  runs 0  done
        failed        block      4 -> 4  runs 0  the status of the transfer does not allow this
        failed        verify     4 -> 4  runs 0  the status of the transfer does not allow this
        failed        activate   4 -> 4  runs 0  the status of the transfer does not allow this
        failed        switch off 4 -> 4  runs 0  done
        activated     initiate   6 -> 1  runs 2  done
        activated     block      6 -> 6  runs 2  the status of the transfer does not allow this
        activated     verify     6 -> 6  runs 2  the status of the transfer does not allow this
        activated     activate   6 -> 6  runs 2  the status of the transfer does not allow this
        activated     switch off 6 -> 6  runs 2  done
    "#]]
    .assert_eq(&table);
}

/// A proof that only a verified message makes.
fn proof() -> dlms::security::TagVerified {
    let keys = Keys::new([0x5A; 16].into(), [0xA5; 16].into());
    let ring = KeyRing::new(&AwsLc, SecuritySuite::Suite0, &keys).unwrap();
    let title = SystemTitle(TITLE);
    let protection = Protection::AuthenticatedEncrypted;
    let mut frame = Vec::new();
    let envelope = Envelope::new(Wrapping::Glo, protection);
    let counter = FreshCounter::dangerous_assume_fresh(1);
    ring.protect(envelope, &title, counter, &[0xC0, 1, 1], &mut frame)
        .unwrap();
    let mut window = dlms::security::ReplayWindow::rising(0);
    ring.unprotect_once(&mut frame, &title, protection, &mut window)
        .unwrap()
        .into_proof()
}

fn taken(image: &[u8], model: &str) -> (Firmware, Result<(), FirmwareError>) {
    let config = FirmwareConfig::new(maker(), Arc::new(MemoryImages::default()));
    let mut firmware = Firmware::open(&config, TITLE, model).unwrap();
    let outcome = offer(&mut firmware, image);
    (firmware, outcome)
}

fn offer(firmware: &mut Firmware, image: &[u8]) -> Result<(), FirmwareError> {
    firmware.initiate(b"id", image.len().try_into().unwrap())?;
    for (number, octets) in blocks(image) {
        firmware.block(number, octets, None)?;
    }
    firmware.verify()
}

#[test]
fn what_the_maker_did_not_sign_or_is_not_newer_is_activated_nowhere() {
    let proof = proof();
    let good = image(5, 79_000);
    let refused = |image: &[u8], what: &str| {
        let (mut firmware, outcome) = taken(image, "smr5");
        assert!(outcome.is_err(), "{what} was verified");
        assert!(firmware.activate(&proof).is_err(), "{what} was activated");
        assert_eq!(
            (firmware.running(), firmware.status().number()),
            (0, 4),
            "{what}"
        );
        assert!(firmware.to_activate().is_none());
    };
    // A bit flipped in each of its blocks (A21 of the trust table wants a thousand).
    let (mut random, mut flipped) = (Random(3), 0);
    let mut start = 0;
    while start < good.len() {
        let mut altered = good.clone();
        let place = (start + random.up_to(BLOCK_LEN as usize)).min(good.len() - 1);
        altered[place] ^= 1 << random.below(8);
        refused(&altered, &format!("octet {place}"));
        flipped += 1;
        start += BLOCK_LEN as usize;
    }
    // And in every bit of what stands before the content.
    let head = good.len() - 79_000;
    for bit in 0..head * 8 {
        let mut altered = good.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        refused(&altered, &format!("bit {bit}"));
        flipped += 1;
    }
    assert!(flipped > 1_900, "{flipped}");

    // Another maker's, one for another model, cut and stretched ones.
    let other = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let content = content(1_000);
    let header = ImageHeader::new("smr5", "x", 9, &content).unwrap();
    refused(&signed(&other, &header, &content), "another maker's");
    let header = ImageHeader::new("idis-like", "x", 9, &content).unwrap();
    refused(&signed(key_pair(), &header, &content), "another model's");
    refused(&good[..good.len() - 1], "a cut one");
    refused(&[&good[..], &[0]].concat(), "a stretched one");
    // A true signature over another header.
    let header = ImageHeader::new("smr5", "x", 9, &content).unwrap();
    let old = Image::parse(&good).unwrap();
    refused(
        &header.seal(old.signature(), &content),
        "a signature of something else",
    );

    // Versions only rise.
    let (mut firmware, outcome) = taken(&image(5, 500), "smr5");
    outcome.unwrap();
    firmware.activate(&proof).unwrap();
    for version in [0, 1, 4, 5] {
        let refused = offer(&mut firmware, &image(version, 500));
        assert!(matches!(
            refused,
            Err(FirmwareError::Image(ImageError::Version { .. }))
        ));
        assert!(firmware.activate(&proof).is_err());
        assert_eq!(firmware.running(), 5);
    }
    offer(&mut firmware, &image(6, 500)).unwrap();
    firmware.activate(&proof).unwrap();
    assert_eq!(firmware.running(), 6);
}

#[test]
fn nobody_but_management_can_begin_verify_or_activate() {
    let mut world = World::new(Options::default());
    let image = image(3, 1_000);
    let acts = [
        (INITIATE, initiate(&image)),
        (BLOCK, block(0, &image[..BLOCK_LEN as usize])),
        (VERIFY, Some(NOTHING.to_vec())),
        (ACTIVATE, Some(NOTHING.to_vec())),
    ];
    for sap in [PUBLIC, READING] {
        let mut peer = world.associate(0, sap);
        for (what, parameter) in &acts {
            let done = peer.invoke(&mut world, what, parameter.clone());
            assert_eq!(done, ActionResult::ObjectUndefined, "client {sap}: {what}");
        }
        peer.release(&mut world);
    }
    // Ready to be activated: now whoever holds the broadcast key tries.
    let mut peer = world.associate(0, MANAGEMENT);
    for (what, parameter) in [acts[0].clone(), (STATUS, None)] {
        if parameter.is_some() {
            assert_eq!(
                peer.invoke(&mut world, what, parameter),
                ActionResult::Success
            );
        }
    }
    let (mut sender, mut all) = broadcaster(&world);
    for (number, octets) in blocks(&image) {
        sender.block(&mut world, &mut all, number, octets);
    }
    for method in [1, 3, 4] {
        let apdu = sender.action(
            method,
            if method == 1 {
                &acts[0].1.as_ref().unwrap()[..]
            } else {
                &NOTHING
            },
        );
        for broadcast in [true, false] {
            all.raw_to(&mut world, &apdu, broadcast);
            // In the association of management too.
            peer.raw_to(&mut world, &apdu, broadcast);
        }
        assert_eq!(status(&mut peer, &mut world), 1, "method {method}");
    }
    assert_eq!(
        peer.invoke(&mut world, VERIFY, Some(NOTHING.into())),
        ActionResult::Success
    );
    for method in [1, 2, 3, 4] {
        let apdu = sender.action(method, &NOTHING);
        all.raw_to(&mut world, &apdu, true);
        peer.raw_to(&mut world, &apdu, false);
        // And confirmed.
        let mut plain = vec![0xC3, 1, 0xC1, 0, 18, 0, 0, 44, 0, 0, 255, method, 1];
        plain.extend_from_slice(&NOTHING);
        let apdu = sender.sealed(&plain);
        all.raw_to(&mut world, &apdu, false);
        peer.raw_to(&mut world, &apdu, false);
        assert_eq!(status(&mut peer, &mut world), 3, "method {method}");
    }
    // Reading under it gives nothing.
    let get = [0xC0, 1, 0xC1, 0, 18, 0, 0, 44, 0, 0, 255, 6, 0];
    let apdu = sender.sealed(&get);
    assert_eq!(all.raw_to(&mut world, &apdu, false), None);

    // The true activation is done once, and what was heard of it does nothing for another image.
    assert_eq!(
        peer.invoke(&mut world, ACTIVATE, Some(NOTHING.into())),
        ActionResult::Success
    );
    let heard = peer.sent.last().unwrap().clone();
    let next = self::image(4, 900);
    assert_eq!(
        peer.invoke(&mut world, INITIATE, initiate(&next)),
        ActionResult::Success
    );
    for (number, octets) in blocks(&next) {
        assert_eq!(
            peer.invoke(&mut world, BLOCK, block(number, octets)),
            ActionResult::Success
        );
    }
    assert_eq!(
        peer.invoke(&mut world, VERIFY, Some(NOTHING.into())),
        ActionResult::Success
    );
    for broadcast in [true, false] {
        peer.raw_to(&mut world, &heard, broadcast);
        all.raw_to(&mut world, &heard, broadcast);
    }
    assert_eq!(status(&mut peer, &mut world), 3);
    world.restart();
    let mut late = world.connect(0, MANAGEMENT, 1);
    late.raw(&mut world, &heard);
    let mut peer = world.associate(0, MANAGEMENT);
    assert_eq!(status(&mut peer, &mut world), 3);
    assert_eq!(
        peer.get(&mut world, FIRMWARE),
        Ok(Data::octet_string(b"Gridward 3"))
    );
}

#[test]
fn whoever_has_the_broadcast_key_spoils_a_transfer_at_most() {
    let mut world = World::new(Options::default());
    let image = image(3, 1_000);
    let mut peer = world.associate(0, MANAGEMENT);
    assert_eq!(
        peer.invoke(&mut world, INITIATE, initiate(&image)),
        ActionResult::Success
    );
    let (mut sender, mut all) = broadcaster(&world);
    let mut forger = Broadcaster::new(world.keys(0), SystemTitle(*b"ZZZ\0\0\0\0\x09"));
    // Before the true one the forged block is taken, after it it is not.
    for (number, octets) in blocks(&image) {
        let mut forged = octets.to_vec();
        forged[0] ^= 1;
        if number == 2 {
            forger.block(&mut world, &mut all, number, &forged);
        }
        sender.block(&mut world, &mut all, number, octets);
        forger.block(&mut world, &mut all, number, &forged);
    }
    assert_ne!(
        peer.invoke(&mut world, VERIFY, Some(NOTHING.into())),
        ActionResult::Success
    );
    assert_eq!(status(&mut peer, &mut world), 4);
    assert_ne!(
        peer.invoke(&mut world, ACTIVATE, Some(NOTHING.into())),
        ActionResult::Success
    );

    // End to end the image gets through all the same, whatever is shouted meanwhile.
    assert_eq!(
        peer.invoke(&mut world, INITIATE, initiate(&image)),
        ActionResult::Success
    );
    for (number, octets) in blocks(&image) {
        forger.block(&mut world, &mut all, number, &vec![0xEE; octets.len()]);
    }
    for (number, octets) in blocks(&image) {
        assert_eq!(
            peer.invoke(&mut world, BLOCK, block(number, octets)),
            ActionResult::Success
        );
        forger.block(&mut world, &mut all, number, &vec![0xEE; octets.len()]);
    }
    assert_eq!(
        peer.invoke(&mut world, VERIFY, Some(NOTHING.into())),
        ActionResult::Success
    );
    assert_eq!(
        peer.invoke(&mut world, ACTIVATE, Some(NOTHING.into())),
        ActionResult::Success
    );
}

/// Brings an image end to end, up to its verification.
fn bring(peer: &mut Peer, world: &mut World, image: &[u8]) -> ActionResult {
    assert_eq!(
        peer.invoke(world, INITIATE, initiate(image)),
        ActionResult::Success
    );
    for (number, octets) in blocks(image) {
        assert_eq!(
            peer.invoke(world, BLOCK, block(number, octets)),
            ActionResult::Success
        );
    }
    peer.invoke(world, VERIFY, Some(NOTHING.into()))
}

#[test]
fn forged_altered_and_older_images_under_the_broadcast_key_run_nowhere() {
    let mut world = World::new(Options::default());
    let mut peer = world.associate(0, MANAGEMENT);
    let running = image(5, 1_000);
    assert_eq!(
        bring(&mut peer, &mut world, &running),
        ActionResult::Success
    );
    assert_eq!(
        peer.invoke(&mut world, ACTIVATE, Some(NOTHING.into())),
        ActionResult::Success
    );

    let content = content(1_000);
    let forger_key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let header = ImageHeader::new("smr5", "Gridward 9", 9, &content).unwrap();
    let forged = signed(&forger_key, &header, &content);
    let mut altered = image(9, 1_000);
    *altered.last_mut().unwrap() ^= 1;
    let mut renumbered = image(4, 1_000);
    let version = header.to_octets();
    renumbered[..version.len()].copy_from_slice(&version);
    let mut forger = Broadcaster::new(world.keys(0), SystemTitle(*b"HES\0\0\0\0\x02"));
    let mut all = world.connect(0, BROADCAST_CLIENT, 0);
    for (what, image) in [
        ("forged", forged),
        ("altered", altered),
        ("older", image(4, 1_000)),
        ("older, said to be newer", renumbered),
        ("what runs already", running),
    ] {
        // The head end has begun a transfer of that length, and the forger is first.
        assert_eq!(
            peer.invoke(&mut world, INITIATE, initiate(&image)),
            ActionResult::Success
        );
        for (number, octets) in blocks(&image) {
            forger.block(&mut world, &mut all, number, octets);
        }
        assert_eq!(missing(&mut peer, &mut world), [], "{what}");
        for method in [3, 4] {
            let apdu = forger.action(method, &NOTHING);
            for broadcast in [true, false] {
                all.raw_to(&mut world, &apdu, broadcast);
                peer.raw_to(&mut world, &apdu, broadcast);
            }
        }
        // Not even where the head end itself wants it.
        for method in [VERIFY, ACTIVATE] {
            let refused = peer.invoke(&mut world, method, Some(NOTHING.into()));
            assert_ne!(refused, ActionResult::Success, "{what}");
        }
        assert_eq!(status(&mut peer, &mut world), 4, "{what}");
        world.restart();
        // A meter that starts takes counters only above those that it may have seen.
        forger.counter += 1 << 20;
        peer = world.associate(0, MANAGEMENT);
        assert_eq!(
            peer.get(&mut world, FIRMWARE),
            Ok(Data::octet_string(b"Gridward 5")),
            "{what}"
        );
        assert_eq!(
            world.fleet.device(0).unwrap().firmware().unwrap().running(),
            5
        );
    }
    // The control: a true one goes the same way.
    let next = image(6, 1_000);
    assert_eq!(
        peer.invoke(&mut world, INITIATE, initiate(&next)),
        ActionResult::Success
    );
    for (number, octets) in blocks(&next) {
        forger.block(&mut world, &mut all, number, octets);
    }
    for method in [VERIFY, ACTIVATE] {
        let done = peer.invoke(&mut world, method, Some(NOTHING.into()));
        assert_eq!(done, ActionResult::Success);
    }
    assert_eq!(
        peer.get(&mut world, FIRMWARE),
        Ok(Data::octet_string(b"Gridward 6"))
    );
}

/// All that a concentrator has: the keys of its collector, which the operator allowed it; the
/// broadcast key, had it taken that out of a meter; and every message that it carried.
#[test]
fn a_concentrator_cannot_activate() {
    let mut world = World::new(Options {
        meters: 2,
        collector: true,
        ..Options::default()
    });
    let image = image(3, 1_000);
    let mut peers: Vec<Peer> = (0..2)
        .map(|place| world.associate(place, MANAGEMENT))
        .collect();
    for peer in &mut peers {
        assert_eq!(bring(peer, &mut world, &image), ActionResult::Success);
    }
    // The other meter is told to activate, and that message is carried.
    let mut carried = peers.pop().unwrap();
    assert_eq!(
        carried.invoke(&mut world, ACTIVATE, Some(NOTHING.into())),
        ActionResult::Success
    );
    let mut peer = peers.pop().unwrap();
    let held_back = |world: &mut World| {
        let mut asking = world.associate(0, MANAGEMENT);
        assert_eq!(status(&mut asking, world), 3);
        assert_ne!(
            asking.get(world, FIRMWARE),
            Ok(Data::octet_string(b"Gridward 3"))
        );
        asking.release(world);
    };

    // As its own client.
    let mut own = world.connect(0, COLLECTOR, 1);
    own.associate(&mut world).unwrap();
    for method in [INITIATE, BLOCK, VERIFY, ACTIVATE] {
        let refused = own.invoke(&mut world, method, Some(NOTHING.into()));
        assert_ne!(refused, ActionResult::Success, "{method}");
    }
    // With its own keys and the broadcast key as whoever else there is.
    let keys = world.keys(0).clone();
    let collector = keys.client(COLLECTOR).unwrap();
    let authentication = collector.authentication_key.clone().unwrap();
    for encryption in [
        collector.encryption_key.clone().unwrap(),
        keys.broadcast_key.clone().unwrap(),
    ] {
        let with = Keys::new(encryption, authentication.clone());
        let title = keys.system_title;
        let stranger = world.connect(0, MANAGEMENT, 1 << 24);
        let mut stranger = stranger.with_keys(&with, title, 1 << 24);
        assert!(stranger.associate(&mut world).is_err());
    }
    let mut forger = Broadcaster::new(&keys, SystemTitle(*b"HES\0\0\0\0\x01"));
    // Verifying does no harm: activating would.
    for sap in [MANAGEMENT, COLLECTOR, BROADCAST_CLIENT] {
        let mut link = world.connect(0, sap, 0);
        let apdu = forger.action(4, &NOTHING);
        for broadcast in [true, false] {
            link.raw_to(&mut world, &apdu, broadcast);
            peer.raw_to(&mut world, &apdu, broadcast);
            own.raw_to(&mut world, &apdu, broadcast);
        }
    }
    held_back(&mut world);
    // With what it carried, in the association that is open and in links of its own.
    let heard: Vec<Vec<u8>> = carried.sent.iter().chain(&peer.sent).cloned().collect();
    for sap in [MANAGEMENT, COLLECTOR, BROADCAST_CLIENT, PUBLIC] {
        let mut link = world.connect(0, sap, 0);
        for message in heard.iter().rev() {
            for broadcast in [false, true] {
                link.raw_to(&mut world, message, broadcast);
            }
        }
    }
    let mut other = world.connect(0, MANAGEMENT, 0);
    for message in &heard {
        other.raw(&mut world, message);
        peer.raw(&mut world, message);
    }
    held_back(&mut world);
    assert_eq!(
        world.fleet.device(0).unwrap().firmware().unwrap().running(),
        0
    );

    // The control: the head end can.
    let mut peer = world.associate(0, MANAGEMENT);
    assert_eq!(
        peer.invoke(&mut world, ACTIVATE, Some(NOTHING.into())),
        ActionResult::Success
    );
    assert_eq!(
        world.fleet.device(0).unwrap().firmware().unwrap().running(),
        3
    );
}

#[test]
fn wrong_numbers_sizes_and_floods_are_refused() {
    let mut world = World::new(Options::default());
    let image = image(3, 1_000);
    let last = u32::try_from(image.len()).unwrap() / BLOCK_LEN;
    let mut peer = world.associate(0, MANAGEMENT);
    let one = &image[..BLOCK_LEN as usize];
    // Before it was begun.
    assert_ne!(
        peer.invoke(&mut world, BLOCK, block(0, one)),
        ActionResult::Success
    );
    for size in [0, IMAGE_LEN_MAX + 1, u32::MAX] {
        let parameter = Data::Structure(vec![
            Data::octet_string(b"id"),
            Data::DoubleLongUnsigned(size),
        ]);
        let begun = peer.invoke(&mut world, INITIATE, Some(parameter.to_octets()));
        assert_eq!(begun, ActionResult::OtherReason, "{size}");
    }
    for identifier in [&[][..], &[0x41; 65]] {
        let parameter = Data::Structure(vec![
            Data::octet_string(identifier),
            Data::DoubleLongUnsigned(100),
        ]);
        let begun = peer.invoke(&mut world, INITIATE, Some(parameter.to_octets()));
        assert_eq!(begun, ActionResult::OtherReason);
    }
    assert_eq!(
        peer.invoke(&mut world, INITIATE, initiate(&image)),
        ActionResult::Success
    );
    for (number, octets) in [
        (last + 1, one),
        (u32::MAX, one),
        (0, &one[1..]),
        (0, &image[..=BLOCK_LEN as usize]),
        (0, &[]),
        (last, one),
    ] {
        let sent = peer.invoke(&mut world, BLOCK, block(number, octets));
        assert_eq!(
            sent,
            ActionResult::OtherReason,
            "{number}, {}",
            octets.len()
        );
    }
    for parameter in [
        vec![0],
        NOTHING.to_vec(),
        Data::Structure(vec![]).to_octets(),
    ] {
        let sent = peer.invoke(&mut world, BLOCK, Some(parameter));
        assert_eq!(sent, ActionResult::TypeUnmatched);
    }
    // A flood under the broadcast key fills nothing and leaves the link alive.
    let (mut sender, mut all) = broadcaster(&world);
    let mut random = Random(11);
    for _ in 0..2_000 {
        let number = u32::try_from(random.below(1 << 32)).unwrap();
        let junk = vec![0xEE; random.up_to(200)];
        let apdu = sender.action(2, &block(number.max(last + 1), &junk).unwrap());
        assert_eq!(all.raw_to(&mut world, &apdu, true), None);
    }
    assert_eq!(missing(&mut peer, &mut world).len(), last as usize + 1);
    assert!(world.fleet.device(0).unwrap().firmware().unwrap().refused() >= 2_000);

    // Switched off, nothing is taken.
    let off = peer.set(&mut world, "18 0.0.44.0.0.255 5", &Data::Boolean(false));
    assert_eq!(off, DataAccessResult::Success);
    assert_eq!(
        peer.invoke(&mut world, BLOCK, block(0, one)),
        ActionResult::ReadWriteDenied
    );
    assert_eq!(
        peer.invoke(&mut world, INITIATE, initiate(&image)),
        ActionResult::ReadWriteDenied
    );
}

#[test]
fn a_transfer_resumes_on_files_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let images = Arc::new(DirImages::open(folder.path().join("images")).unwrap());
    let mut world = World::keeping(images);
    let image = image(3, 5_000);
    let mut peer = world.associate(0, MANAGEMENT);
    assert_eq!(
        peer.invoke(&mut world, INITIATE, initiate(&image)),
        ActionResult::Success
    );
    for (number, octets) in blocks(&image).filter(|(number, _)| number % 2 == 0) {
        assert_eq!(
            peer.invoke(&mut world, BLOCK, block(number, octets)),
            ActionResult::Success
        );
    }
    let told = missing(&mut peer, &mut world);
    world.restart();
    let mut peer = world.associate(0, MANAGEMENT);
    assert_eq!(missing(&mut peer, &mut world), told);
    for (number, octets) in blocks(&image).filter(|(number, _)| number % 2 == 1) {
        assert_eq!(
            peer.invoke(&mut world, BLOCK, block(number, octets)),
            ActionResult::Success
        );
    }
    assert_eq!(
        peer.invoke(&mut world, VERIFY, Some(NOTHING.into())),
        ActionResult::Success
    );
    world.restart();
    let mut peer = world.associate(0, MANAGEMENT);
    assert_eq!(status(&mut peer, &mut world), 3);
    assert_eq!(
        peer.invoke(&mut world, ACTIVATE, Some(NOTHING.into())),
        ActionResult::Success
    );
    assert_eq!(
        peer.get(&mut world, FIRMWARE),
        Ok(Data::octet_string(b"Gridward 3"))
    );
    // Images are nobody else's to read.
    use std::os::unix::fs::PermissionsExt as _;
    for entry in std::fs::read_dir(folder.path().join("images")).unwrap() {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0);
    }
}

/// A disk for images that loses what was not synced, and can be told to fail.
#[derive(Clone, Debug, Default)]
struct Fragile(Arc<Mutex<Plate>>);

#[derive(Debug, Default)]
struct Plate {
    state: Option<Vec<u8>>,
    synced: Vec<u8>,
    written: BTreeMap<u64, Vec<u8>>,
    /// Calls until all fail.
    left: Option<u32>,
}

impl Fragile {
    fn step(&self) -> io::Result<()> {
        let mut plate = self.0.lock().unwrap();
        match &mut plate.left {
            Some(0) => Err(io::Error::other("the power is gone")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn power_cut(&self, random: &mut Random) {
        let mut plate = self.0.lock().unwrap();
        plate.left = None;
        let written = std::mem::take(&mut plate.written);
        for (offset, octets) in written {
            // Some of it may have reached the disk, in part.
            let kept = random.up_to(octets.len() + 1);
            let start = usize::try_from(offset).unwrap();
            let end = (start + kept).min(plate.synced.len());
            if start < end && random.below(2) == 0 {
                plate.synced[start..end].copy_from_slice(&octets[..end - start]);
            }
        }
    }
}

impl ImageStore for Fragile {
    fn open(&self, _: [u8; 8]) -> io::Result<Box<dyn ImageMedium>> {
        Ok(Box::new(self.clone()))
    }
}

impl ImageMedium for Fragile {
    fn state(&mut self) -> io::Result<Option<Vec<u8>>> {
        Ok(self.0.lock().unwrap().state.clone())
    }

    fn keep(&mut self, state: &[u8]) -> io::Result<()> {
        self.step()?;
        self.0.lock().unwrap().state = Some(state.to_vec());
        Ok(())
    }

    fn clear(&mut self, size: u32) -> io::Result<()> {
        self.step()?;
        let mut plate = self.0.lock().unwrap();
        plate.synced.resize(size as usize, 0);
        plate.written.clear();
        Ok(())
    }

    fn write(&mut self, offset: u64, octets: &[u8]) -> io::Result<()> {
        self.step()?;
        self.0
            .lock()
            .unwrap()
            .written
            .insert(offset, octets.to_vec());
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.step()?;
        let mut plate = self.0.lock().unwrap();
        for (offset, octets) in std::mem::take(&mut plate.written) {
            let start = usize::try_from(offset).unwrap();
            plate.synced[start..start + octets.len()].copy_from_slice(&octets);
        }
        Ok(())
    }

    fn read(&mut self, size: u32) -> io::Result<Vec<u8>> {
        let plate = self.0.lock().unwrap();
        let mut octets = plate.synced.clone();
        octets.resize(size as usize, 0);
        for (offset, written) in &plate.written {
            let start = usize::try_from(*offset).unwrap();
            octets[start..start + written.len()].copy_from_slice(written);
        }
        Ok(octets)
    }
}

#[test]
fn what_is_told_as_transferred_outlives_a_power_cut_at_every_step() {
    let image = image(2, 20_000);
    let proof = proof();
    let size = u32::try_from(image.len()).unwrap();
    for cut in 0..60 {
        let mut random = Random(u64::from(cut));
        let disk = Fragile::default();
        let config = FirmwareConfig::new(maker(), Arc::new(disk.clone()));
        let mut firmware = Firmware::open(&config, TITLE, "smr5").unwrap();
        firmware.initiate(b"id", size).unwrap();
        let mut told: Vec<u8> = vec![0; firmware.blocks_status().unwrap().1.len()];
        disk.0.lock().unwrap().left = Some(cut * 5);
        for (number, octets) in blocks(&image) {
            if firmware.block(number, octets, None).is_err() {
                break;
            }
            if number % 50 == 49 {
                match firmware.blocks_status() {
                    Ok((_, bits)) => told = bits.to_vec(),
                    Err(_) => break,
                }
            }
        }
        disk.power_cut(&mut random);
        let mut firmware = Firmware::open(&config, TITLE, "smr5").unwrap();
        let bits = firmware.blocks_status().unwrap().1.to_vec();
        for (now, before) in bits.iter().zip(&told) {
            assert_eq!(
                now & before,
                *before,
                "cut {cut}: a block that was told is gone"
            );
        }
        for (number, octets) in blocks(&image) {
            let there = bits[number as usize / 8] & (0x80 >> (number % 8)) != 0;
            if !there {
                firmware.block(number, octets, None).unwrap();
            }
        }
        // What was not told may be lost; what is told is right.
        firmware.verify().unwrap();
        firmware.activate(&proof).unwrap();
    }
    const { assert!(SYNC_BLOCKS < 250, "the loop syncs by itself too") };
}

#[test]
fn a_damaged_state_begins_anew_and_never_panics() {
    let disk = Fragile::default();
    let config = FirmwareConfig::new(maker(), Arc::new(disk.clone()));
    let mut firmware = Firmware::open(&config, TITLE, "smr5").unwrap();
    let image = image(2, 2_000);
    offer(&mut firmware, &image).unwrap();
    let kept = disk.0.lock().unwrap().state.clone().unwrap();
    for place in 0..kept.len() {
        let mut damaged = kept.clone();
        damaged[place] ^= 0x41;
        disk.0.lock().unwrap().state = Some(damaged);
        let firmware = Firmware::open(&config, TITLE, "smr5").unwrap();
        assert_eq!(firmware.status().number(), 0);
        disk.0.lock().unwrap().state = Some(kept[..place].to_vec());
        assert_eq!(
            Firmware::open(&config, TITLE, "smr5")
                .unwrap()
                .status()
                .number(),
            0
        );
    }
}
