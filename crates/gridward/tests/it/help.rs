//! Help texts and what is said to wrong usage. Evidence: snapshots, looked at.

use expect_test::expect_file;

use crate::program::run;

#[test]
fn help_texts() {
    let mut shown = String::new();
    for (command, above_others) in gridward::commands() {
        let mut arguments: Vec<&str> = command.iter().map(String::as_str).collect();
        arguments.push("--help");
        let help = run(&arguments);
        assert_eq!((help.status, help.error.as_str()), (0, ""));
        // What has commands below it leaves examples to them, but for the program itself.
        let exempt = above_others && !command.is_empty();
        let example = help.output.contains("\nExample");
        assert!(exempt || example, "{command:?} has no example");
        for line in help.output.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
        shown.push_str(&format!(
            "$ gridward {}\n{}\n",
            arguments.join(" "),
            help.output
        ));
    }
    expect_file!["../snapshots/help.txt"].assert_eq(&shown);
}

#[test]
fn wrong_usage_ends_with_two() {
    let mut shown = String::new();
    for arguments in [
        &["decoed"][..],
        &["decode"],
        &["decode", "--as", "ascii", "00"],
        &["decode", "--key", "0011", "00"],
        &["decode", "--key", "not a key", "00"],
        &["decode", "--system-title", "GWD", "00"],
        &["keys", "generate", "--count", "0", "meters.toml"],
        &["read", "tpc://10.0.0.7", "1.8.0"],
        &["read", "tcp://10.0.0.7", "1.8.x"],
        &[
            "read",
            "tcp://10.0.0.7",
            "1.8.0",
            "--client",
            "2",
            "--security",
            "lls",
        ],
        &["read", "tcp://10.0.0.7", "1.8.0", "--security", "hls7"],
        &["write", "tcp://10.0.0.7", "1.8.0", "u8:256"],
        &["invoke", "tcp://10.0.0.7", "0-0:96.3.10"],
        &[
            "outlets",
            "switch",
            "1",
            "2=dim",
            "--reason",
            "It is too bright",
        ],
        &["outlets", "switch", "1", "2=off", "--reason", "so"],
        &["outlets", "usage", "1", "2", "--date", "yesterday"],
    ] {
        let refused = run(arguments);
        assert_eq!(refused.status, 2, "{arguments:?}");
        assert_eq!(refused.output, "", "{arguments:?}");
        assert!(!refused.error.contains("not a key"), "a secret is shown");
        shown.push_str(&format!(
            "$ gridward {}\n{}\n",
            arguments.join(" "),
            refused.error
        ));
    }
    expect_file!["../snapshots/usage.txt"].assert_eq(&shown);
}

#[test]
fn version() {
    let version = run(&["--version"]);
    assert_eq!(version.status, 0);
    assert_eq!(
        version.output,
        format!("gridward {}\n", env!("CARGO_PKG_VERSION"))
    );
}
