//! AES-GCM of both providers: the same octets and tags, the same refusals, and
//! what is refused stays as it is.
#![no_main]

use dlms::security::{AwsLc, Crypto, Iv, Key, RustCrypto, Tag};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let [form, aad_len, rest @ ..] = octets else {
        return;
    };
    let key_len = if form % 2 == 0 { 16 } else { 32 };
    let Some((key, rest)) = rest.split_at_checked(key_len) else {
        return;
    };
    let Some((iv, rest)) = rest.split_first_chunk::<{ size_of::<Iv>() }>() else {
        return;
    };
    let Some((wrong, rest)) = rest.split_first_chunk::<{ size_of::<Tag>() }>() else {
        return;
    };
    // All that is left is AAD for one form in four, as without encryption.
    let aad_len = if form / 2 % 4 == 0 {
        rest.len()
    } else {
        rest.len().min(usize::from(*aad_len))
    };
    let (aad, plain) = rest.split_at(aad_len);
    let key = Key::from_octets(key).expect("16 or 32 octets");

    let gcms = [RustCrypto.gcm(&key), AwsLc.gcm(&key)];
    let [first, second] = gcms.each_ref().map(|gcm| {
        let mut text = plain.to_vec();
        let tag = gcm.seal(iv, aad, &mut text).expect("short enough");
        (text, tag)
    });
    assert_eq!(first, second);
    let (sealed, tag) = first;
    for gcm in gcms {
        let mut text = sealed.clone();
        assert_eq!(gcm.open(iv, aad, &mut text, wrong).is_ok(), *wrong == tag);
        if *wrong != tag {
            assert_eq!(text, sealed);
            assert!(gcm.open(iv, aad, &mut text, &tag).is_ok());
        }
        assert_eq!(text, plain);
        assert!(gcm.counter_mode(iv, &mut text).is_ok());
        assert_eq!(text, sealed);
    }
});
