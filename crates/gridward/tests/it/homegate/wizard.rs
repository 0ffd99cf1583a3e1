//! What `setup` makes of serial devices, which are pseudo terminals here: what
//! it finds, and that nothing arrives at their far ends. Evidence: octets that
//! are counted there; the ciphered frames are of this program's own making, and
//! held against others in `dlms` and `han`.

use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use dlms::axdr::Data;
use dlms::codec::Wire as _;
use dlms::cosem::{Obis, ScalerUnit, Unit};
use dlms::hdlc::{Address, Control, Frame, llc};
use dlms::security::{
    AwsLc, Envelope, FreshCounter, Key, KeyRing, Keys, Protection, SecuritySuite, SystemTitle,
    Wrapping,
};
use tokio_serial::{SerialPort as _, SerialStream};

use super::played::{LONG, now};

const KEY: &str = "000102030405060708090A0B0C0D0E0F";
const AUTH_KEY: &str = "D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF";

/// A push of 280 W with its counter, ciphered, in a frame of HDLC.
fn pushed(counter: u32, protection: Protection) -> Vec<u8> {
    let mut plain = vec![0x0F, 0x40, 0, 0, 0, 0];
    Data::Array(vec![Data::Structure(vec![
        Obis::new(1, 0, 1, 7, 0, 255).to_data(),
        Data::DoubleLongUnsigned(280),
        ScalerUnit::new(0, Unit::WATT).to_data(),
    ])])
    .encode(&mut plain);
    let sealed = protected(counter, protection, &plain);
    Frame {
        destination: Address::one(16).unwrap(),
        source: Address::one(1).unwrap(),
        segmented: false,
        control: Control::UnnumberedInformation { poll: true },
        information: &[&llc::RESPONSE[..], &sealed].concat(),
    }
    .to_octets()
}

/// Ciphers a message under a counter.
fn protected(counter: u32, protection: Protection, plain: &[u8]) -> Vec<u8> {
    let key = |digits: &str| Key::from_octets(&link::parse_hex(digits).unwrap()).unwrap();
    let keys = Keys::new(key(KEY), key(AUTH_KEY));
    let ring = KeyRing::new(&AwsLc, SecuritySuite::Suite0, &keys).unwrap();
    let mut apdu = Vec::new();
    ring.protect(
        Envelope::new(Wrapping::GeneralGlo, protection),
        &SystemTitle(*b"GWD\0\0\0\0\x01"),
        FreshCounter::dangerous_assume_fresh(counter),
        plain,
        &mut apdu,
    )
    .unwrap();
    apdu
}

/// How a run of the wizard ended.
struct Ended {
    success: bool,
    errors: String,
    /// The configuration, where one was written.
    config: String,
    /// What arrived at the device's far end.
    heard: Vec<u8>,
}

/// Runs the wizard over one device, on which `told` gives what its far end
/// says next, every tenth of a second.
fn wizard(device: &str, answers: &str, told: impl FnMut() -> Vec<u8>) -> Ended {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(run(device, answers, told))
}

async fn run(device: &str, answers: &str, mut told: impl FnMut() -> Vec<u8>) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let devices = folder.path().join("by-id");
    std::fs::create_dir(&devices).unwrap();
    for (name, key) in [("key", KEY), ("auth-key", AUTH_KEY)] {
        let path = folder.path().join(name);
        std::fs::write(&path, key).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, mode).unwrap();
    }
    let (mut far, near) = SerialStream::pair().unwrap();
    symlink(near.name().unwrap(), devices.join(device)).unwrap();
    drop(near);
    let config = folder.path().join("gridward.toml");
    let folder_name = folder.path().to_str().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_gridward"))
        .args(["homegate", "setup", "--listen-s", "2", "--devices"])
        .arg(&devices)
        .arg("--config")
        .arg(&config)
        .arg("--data")
        .arg(folder.path().join("data"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::from(
            std::fs::File::create(folder.path().join("errors")).unwrap(),
        ))
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let answers = answers.replace("FOLDER", folder_name);
    input.write_all(answers.as_bytes()).unwrap();
    drop(input);
    let mut heard = Vec::new();
    let mut octets = [0; 1_024];
    let end = now() + LONG;
    let status = loop {
        // Nobody may listen just now, and nobody may have said anything.
        drop(far.try_write(&told()));
        while let Ok(count @ 1..) = far.try_read(&mut octets) {
            heard.extend_from_slice(&octets[..count]);
        }
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if now() > end {
            drop(child.kill());
            drop(child.wait());
            panic!("the wizard did not end");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    while let Ok(count @ 1..) = far.try_read(&mut octets) {
        heard.extend_from_slice(&octets[..count]);
    }
    let text = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    Ended {
        success: status.success(),
        errors: text(&folder.path().join("errors")),
        config: text(&config).replace(folder_name, "FOLDER"),
        heard,
    }
}

/// Answers to all that is asked once the meter is known.
const REST: &str = "Home\nEurope/Zurich\nno\ncorrect horse battery\n";

#[test]
fn a_ciphered_port_is_found_and_nothing_arrives_there() {
    let run = |answers: &str, protection| {
        let mut counter = 0;
        wizard("usb-port", answers, || {
            counter += 1;
            pushed(counter, protection)
        })
    };
    let tagged = Protection::AuthenticatedEncrypted;
    let ended = run(&format!("FOLDER/key\nFOLDER/auth-key\n{REST}"), tagged);
    assert_eq!(ended.heard, [0; 0], "octets at the far end");
    assert!(ended.success, "{}", ended.errors);
    for line in [
        "source = \"dlms://FOLDER/by-id/usb-port?baud=",
        "key_file = \"FOLDER/key\"\nauth_key_file = \"FOLDER/auth-key\"\n",
    ] {
        assert!(ended.config.contains(line), "{}", ended.config);
    }
    assert!(
        !ended.config.contains("unauthenticated"),
        "{}",
        ended.config
    );
    assert!(!ended.config.contains(KEY), "a key stays in its file");

    // Messages without a tag are read, and that is said.
    let ended = run(&format!("FOLDER/key\n\n{REST}"), Protection::Encrypted);
    assert_eq!(ended.heard, [0; 0], "octets at the far end");
    assert!(ended.success, "{}", ended.errors);
    assert!(
        ended.config.contains("unauthenticated = true\nkey_file"),
        "{}",
        ended.config
    );

    // A key that opens nothing is told before anything is written.
    let ended = run("FOLDER/auth-key\nFOLDER/key\n", tagged);
    assert_eq!(ended.heard, [0; 0], "octets at the far end");
    assert!(
        !ended.success && ended.config.is_empty(),
        "{}",
        ended.config
    );
    assert!(ended.errors.contains("does not open"), "{}", ended.errors);

    // No key at hand: what was found is written, and what is missing told.
    let ended = run(&format!("\n{REST}"), tagged);
    assert!(ended.success, "{}", ended.errors);
    assert!(ended.errors.contains("as key_file"), "{}", ended.errors);
    assert!(!ended.config.contains("key_file"), "{}", ended.config);
}

#[test]
fn ciphered_telegrams_are_found_too() {
    // Each telegram is ciphered as a whole, without any frame around it.
    let text = "/TST5\\253000000_A\r\n\r\n1-0:1.7.0(00.338*kW)\r\n!D33F\r\n";
    let mut counter = 0;
    let answers = format!("FOLDER/key\nFOLDER/auth-key\n{REST}");
    let ended = wizard("usb-port", &answers, || {
        counter += 1;
        protected(counter, Protection::AuthenticatedEncrypted, text.as_bytes())
    });
    assert_eq!(ended.heard, [0; 0], "octets at the far end");
    assert!(ended.success, "{}", ended.errors);
    let source = "source = \"p1://FOLDER/by-id/usb-port\"";
    assert!(ended.config.contains(source), "{}", ended.config);
}

#[test]
fn what_cannot_be_read_is_never_written_to() {
    // Rainforest's name and a yes change nothing for a device that speaks by
    // itself.
    let mut noise = 0x55_u8;
    let ended = wizard("usb-Rainforest-if00", "raven\n\n", || {
        (0..40)
            .map(|_| {
                noise = noise.wrapping_mul(181).wrapping_add(57);
                noise
            })
            .collect()
    });
    assert_eq!(ended.heard, [0; 0], "octets at the far end");
    assert!(!ended.success, "{}", ended.errors);
    assert!(
        ended.errors.contains("nothing is sent there"),
        "{}",
        ended.errors
    );
}

#[test]
fn a_silent_device_is_asked_after_a_yes_alone() {
    let ended = wizard("usb-anything", "no\n\n", Vec::new);
    assert_eq!(ended.heard, [0; 0], "octets at the far end");
    assert!(!ended.success, "{}", ended.errors);

    let ended = wizard("usb-anything", "raven\n\n", Vec::new);
    let heard = String::from_utf8(ended.heard).unwrap();
    assert!(heard.contains("<Name>get_"), "the count counts: {heard:?}");
    let names = heard.matches("<Name>").count();
    assert_eq!(heard.matches("<Name>get_").count(), names, "{heard}");
}
