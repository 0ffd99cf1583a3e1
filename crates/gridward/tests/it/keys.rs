//! Key files through the command line. Evidence: self-agreement, and the
//! file's mode as the operating system tells it.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use expect_test::expect;

use crate::program::run;

#[test]
fn a_file_is_made_for_its_owner_alone_and_is_found_right() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("meters.toml");
    let file = path.to_str().unwrap();
    let made = run(&["keys", "generate", "--count", "3", file]);
    assert_eq!((made.status, made.error.as_str()), (0, ""));
    assert!(
        made.output
            .contains("3 meters, GWD0000000000001 to GWD0000000000003")
    );
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.matches("[[meter]]").count(), 3);

    let checked = run(&["keys", "check", "--json", file]);
    assert_eq!(checked.status, 0);
    assert_eq!(checked.json()["meters"], 3);

    let again = run(&["keys", "generate", file]);
    assert_eq!(again.status, 1);
    assert!(again.error.contains("is there already"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);

    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let open = run(&["keys", "check", file]);
    assert_eq!(open.status, 1);
    assert!(open.error.contains("chmod 600"), "{}", open.error);
}

#[test]
fn weak_keys_are_named_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weak.toml");
    std::fs::write(
        &path,
        "[[meter]]\n\
         logical_device_name = \"GWD0000000000001\"\n\
         system_title = \"4757440000000001\"\n\
         [[meter.client]]\n\
         sap = 1\n\
         mechanism = \"hls5\"\n\
         encryption_key = \"000102030405060708090a0b0c0d0e0f\"\n\
         authentication_key = \"d0d1d2d3d4d5d6d7d8d9dadbdcdddedf\"\n",
    )
    .unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let checked = run(&["keys", "check", path.to_str().unwrap()]);
    let shown = checked.shown().replace(path.to_str().unwrap(), "weak.toml");
    expect![[r#"
        GWD0000000000001: global unicast encryption key of client 1
            counting from 00: example of IEC 62056-5-3 and default of many tools
        GWD0000000000001: authentication key of client 1
            counting from D0: example of IEC 62056-5-3 and default of many tools
        error: weak.toml: 2 secrets are known to everybody
        hint: gridward keys generate FILE makes fresh keys
        (exit status 1)
    "#]]
    .assert_eq(&shown);
    assert!(!checked.output.contains("000102"));
    let told = run(&["keys", "check", "--json", path.to_str().unwrap()]);
    assert_eq!(told.status, 1);
    assert_eq!(told.json()["weak"].as_array().unwrap().len(), 2);
}
