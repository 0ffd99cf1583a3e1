//! Firmware images. Evidence: hand-counted offsets of a written image, refusals, mutation; AWS-LC
//! signs and verifies. That OpenSSL agrees is shown with the program.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use dlms::security::{AwsLc, PublicKey};
use model::{IMAGE_LEN_MAX, IMAGE_NAME_LEN_MAX, Image, ImageError, ImageHeader};

fn keys() -> (EcdsaKeyPair, PublicKey) {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let public = PublicKey::from_octets(pair.public_key().as_ref()).unwrap();
    (pair, public)
}

fn sealed(pair: &EcdsaKeyPair, version: u32) -> Vec<u8> {
    let header = ImageHeader::new("smr5", "Gridward 2.0", version, b"content").unwrap();
    let signature = pair.sign(&SystemRandom::new(), &header.to_octets());
    let signature = signature.unwrap().as_ref().try_into().unwrap();
    header.seal(&signature, b"content")
}

#[test]
fn an_image_is_what_its_table_says() {
    let (pair, maker) = keys();
    let octets = sealed(&pair, 0x0102_0304);
    assert_eq!(&octets[..6], b"GWFW\x01\x01");
    assert_eq!(&octets[6..11], b"\x04smr5");
    assert_eq!(&octets[11..24], b"\x0CGridward 2.0");
    assert_eq!(octets[24..32], [1, 2, 3, 4, 0, 0, 0, 7]);
    // SHA-256 of "content", by sha256sum.
    let digest = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73";
    let found: String = octets[32..64]
        .iter()
        .map(|it| format!("{it:02x}"))
        .collect();
    assert_eq!(found, digest);
    assert_eq!(&octets[128..], b"content");

    let image = Image::parse(&octets).unwrap();
    assert_eq!(image.header().model(), "smr5");
    assert_eq!(image.header().identifier(), "Gridward 2.0");
    assert_eq!(image.header().version(), 0x0102_0304);
    assert_eq!(image.header().length(), 7);
    assert_eq!(image.content(), b"content");
    assert!(image.verify(&AwsLc, &maker).is_ok());
    assert!(image.admit(&AwsLc, &maker, "smr5", 0x0102_0303).is_ok());
    let refused = image
        .admit(&AwsLc, &maker, "smr5", 0x0102_0304)
        .unwrap_err();
    assert!(matches!(refused, ImageError::Version { .. }));
    let refused = image.admit(&AwsLc, &maker, "smr4", 0).unwrap_err();
    assert_eq!(refused, ImageError::Model);
    let (_, stranger) = keys();
    assert_eq!(
        image.verify(&AwsLc, &stranger).unwrap_err(),
        ImageError::Signature
    );
}

#[test]
fn what_cannot_be_an_image_is_refused() {
    let long = "x".repeat(IMAGE_NAME_LEN_MAX + 1);
    for name in ["", "tab\t", "ü", long.as_str()] {
        assert_eq!(ImageHeader::new(name, "x", 1, b"c"), Err(ImageError::Name));
        assert_eq!(ImageHeader::new("x", name, 1, b"c"), Err(ImageError::Name));
    }
    assert_eq!(ImageHeader::new("x", "x", 1, b""), Err(ImageError::Length));
    let most = vec![0; IMAGE_LEN_MAX as usize];
    assert_eq!(
        ImageHeader::new("x", "x", 1, &most),
        Err(ImageError::Length)
    );
    assert_eq!(
        Image::parse(&[most, vec![0]].concat()),
        Err(ImageError::Length)
    );
    assert!(PublicKey::from_octets(&[4; 64]).is_err());
    assert!(PublicKey::from_octets(&[2; 65]).is_err());
    // A point that is not on the curve verifies nothing.
    let (pair, _) = keys();
    let octets = sealed(&pair, 1);
    let nowhere = PublicKey::from_octets(&[4; 65]).unwrap();
    let image = Image::parse(&octets).unwrap();
    assert_eq!(
        image.verify(&AwsLc, &nowhere).unwrap_err(),
        ImageError::Signature
    );
}

#[test]
fn mutants_never_panic_and_never_verify() {
    let (pair, maker) = keys();
    let octets = sealed(&pair, 7);
    for end in 0..octets.len() {
        assert!(Image::parse(&octets[..end]).is_err(), "cut at {end}");
    }
    let mut state = 9_u64;
    let mut random = |bound: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(state >> 33).unwrap() % bound
    };
    let mut parsed = 0;
    for _ in 0..20_000 {
        let mut mutant = octets.clone();
        for _ in 0..=random(3) {
            let place = random(mutant.len());
            match random(3) {
                0 => mutant[place] ^= 1 << random(8),
                1 => mutant.insert(place, u8::try_from(random(256)).unwrap()),
                _ => drop(mutant.remove(place)),
            }
        }
        if mutant == octets {
            continue;
        }
        if let Ok(image) = Image::parse(&mutant) {
            parsed += 1;
            assert!(image.verify(&AwsLc, &maker).is_err());
        }
    }
    assert!(parsed > 1_000, "{parsed} were looked at");
}
