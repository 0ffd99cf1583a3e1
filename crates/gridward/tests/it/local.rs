//! Profile files, and meters that the user's configuration knows by name:
//! commands as processes with an environment of their own, against a meter
//! that is a process too. Evidence: self-agreement from end to end.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::session::Site;

/// What one process left behind.
struct Ended {
    status: Option<i32>,
    output: String,
    error: String,
}

/// A site, and a user with a home of their own.
struct User {
    site: Site,
    home: PathBuf,
}

impl User {
    fn new() -> Self {
        let site = Site::new("tcp");
        let home = site.folder.path().join("home");
        std::fs::create_dir(&home).unwrap();
        Self { site, home }
    }

    /// Writes a file into the user's home.
    fn write(&self, name: &str, mode: u32, text: &str) -> PathBuf {
        let path = self.home.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gridward"));
        command
            .args(arguments)
            .env_clear()
            .env("HOME", &self.home)
            .current_dir("/");
        command
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        ended(&mut self.command(arguments))
    }

    /// Secrets of the first meter's client: SAP 1 has keys, SAP 2 a password.
    fn secrets(&self) -> (String, String, String) {
        let text = std::fs::read_to_string(&self.site.keys).unwrap();
        let table: toml::Table = text.parse().unwrap();
        let client = |index: usize| table["meter"][0]["client"][index].clone();
        let of = |value: &toml::Value, name: &str| value[name].as_str().unwrap().to_owned();
        (
            of(&client(0), "encryption_key"),
            of(&client(0), "authentication_key"),
            of(&client(1), "password"),
        )
    }
}

fn ended(command: &mut Command) -> Ended {
    let ended = command.output().unwrap();
    Ended {
        status: ended.status.code(),
        output: String::from_utf8(ended.stdout).unwrap(),
        error: String::from_utf8(ended.stderr).unwrap(),
    }
}

/// The value that was read, where it was.
fn read(ended: Ended) -> Value {
    assert_eq!(
        (ended.status, ended.error.as_str()),
        (Some(0), ""),
        "{}",
        ended.output
    );
    let read: Value = serde_json::from_str(&ended.output).unwrap();
    read[0].clone()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_profile_file_stands_for_options() {
    let user = User::new();
    let url = user.site.url.clone();
    let (key, auth_key, password) = user.secrets();
    let with = |path: &Path, more: &[&str]| {
        let arguments = [
            &[
                "read",
                &url,
                "1.8.0",
                "--json",
                "--profile-file",
                text(path),
            ],
            more,
        ];
        user.run(&arguments.concat())
    };

    // Secrets in files beside it, found from wherever the command runs.
    user.write("secrets/guek.hex", 0o600, &format!("{key}\n"));
    user.write("secrets/gak.hex", 0o600, &format!("{auth_key}\n"));
    let lab = "client = 1\nsecurity = \"hls5\"\nkey = \"@secrets/guek.hex\"\n\
               auth_key = \"@secrets/gak.hex\"\nstate = \"counters\"\n";
    let lab = user.write("lab.toml", 0o644, lab);
    assert_eq!(read(with(&lab, &[]))["unit"], "Wh");
    let counters = std::fs::read_dir(user.home.join("counters")).unwrap();
    assert!(counters.count() > 0, "its state folder is used");

    // What is given goes first; a secret that is given takes the place of all.
    let other = with(&lab, &["--server", "2"]);
    assert_eq!(other.status, Some(1), "the other meter has other keys");
    let other = with(&lab, &["--server", "2", "--keys", &user.site.keys]);
    assert_eq!(read(other)["unit"], "Wh");
    let public = with(&lab, &["--client", "2", "--security", "lls"]);
    assert!(
        public.error.contains("lls needs a password"),
        "{}",
        public.error
    );

    // A key file, and the secret itself where nobody else may read it.
    let keyed = user.write(
        "keyed.toml",
        0o644,
        &format!("keys = {:?}\n", user.site.keys),
    );
    assert_eq!(read(with(&keyed, &[]))["unit"], "Wh");
    let inside = format!("client = 2\npassword = \"{password}\"\n");
    let inside = user.write("inside.toml", 0o600, &inside);
    assert_eq!(read(with(&inside, &[]))["unit"], "Wh");
    std::fs::set_permissions(&inside, std::fs::Permissions::from_mode(0o640)).unwrap();
    let exposed = with(&inside, &[]);
    assert_eq!(exposed.status, Some(1));
    assert!(exposed.output.contains("mode 0640"), "{}", exposed.output);
    assert!(exposed.output.contains("chmod 600"), "{}", exposed.output);
    assert!(!exposed.output.contains(&password));
    user.site.role.stop();
}

#[test]
fn a_meter_has_a_name() {
    let user = User::new();
    let config = format!(
        "[headend]\nsite = \"Lab\"\n\n\
         [meters.kitchen]\nurl = {:?}\nkeys = {:?}\n\n\
         [meters.\"flat 2\"]\nurl = {:?}\nkeys = {:?}\nserver = 2\nmeter = \"GWD0000000000002\"\n",
        user.site.url, user.site.keys, user.site.url, user.site.keys
    );
    let own = user.write(".config/gridward/gridward.toml", 0o644, &config);

    let name = |ended| read(ended)["text"].clone();
    let kitchen = user.run(&["read", "kitchen", "0-0:42.0.0", "--json"]);
    assert_eq!(name(kitchen), "GWD0000000000001");
    let flat = user.run(&["read", "flat 2", "0-0:42.0.0", "--json"]);
    assert_eq!(name(flat), "GWD0000000000002");
    let public = &["read", "flat 2", "0-0:42.0.0", "--json", "--client", "16"];
    assert_eq!(name(user.run(public)), "GWD0000000000002");

    for arguments in [
        &["write", "kitchen", "0-0:1.0.0:3", "-60"][..],
        &["invoke", "kitchen", "0-0:96.3.10:1"],
        &["invoke", "kitchen", "0-0:96.3.10:2"],
        &["objects", "kitchen"],
    ] {
        let ended = user.run(arguments);
        assert_eq!(ended.status, Some(0), "{arguments:?}: {}", ended.error);
    }

    // Another configuration, by option and by variable.
    let elsewhere = user.write(
        "elsewhere.toml",
        0o600,
        &config.replace("kitchen", "cellar"),
    );
    let cellar = ["read", "cellar", "0-0:42.0.0", "--json"];
    let given = [&cellar[..], &["--config", text(&elsewhere)]].concat();
    assert_eq!(name(user.run(&given)), "GWD0000000000001");
    let named = ended(user.command(&cellar).env("GRIDWARD_CONFIG", &elsewhere));
    assert_eq!(name(named), "GWD0000000000001");
    let mut moved = user.command(&["read", "kitchen", "0-0:42.0.0", "--json"]);
    let folder = user.home.join(".config");
    moved.env("XDG_CONFIG_HOME", folder);
    moved.env("HOME", user.home.join("elsewhere"));
    assert_eq!(name(ended(&mut moved)), "GWD0000000000001");

    let unknown = user.run(&["read", "kitchn", "1.8.0"]);
    assert_eq!(unknown.status, Some(2));
    assert!(unknown.error.contains("there is no meter kitchn"));
    assert!(
        unknown.error.contains("it has: flat 2, kitchen"),
        "{}",
        unknown.error
    );
    let both = user.run(&["read", "kitchen", "1.8.0", "--profile-file", text(&own)]);
    assert_eq!(both.status, Some(2));
    std::fs::remove_file(own).unwrap();
    let none = user.run(&["read", "10.0.0.7", "1.8.0"]);
    assert_eq!(none.status, Some(2));
    assert!(
        none.error.contains("write a URL, as in tcp://"),
        "{}",
        none.error
    );
    user.site.role.stop();
}

#[test]
fn files_are_checked_and_no_secret_is_told() {
    const SECRET: &str = "c0ffee00c0ffee01c0ffee02c0ffee03";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gridward.toml");
    let check = |mode: u32, file: &str, more: &[&str]| {
        std::fs::write(&path, file).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let arguments = [&["config", "check", text(&path)], more].concat();
        let run = crate::program::run(&arguments);
        assert!(!run.error.contains("c0ffee"), "{}", run.error);
        (run.status, run.error)
    };
    let meter = "[meters.a]\nurl = \"tcp://10.0.0.7\"\n";
    let fine = |file: &str| assert_eq!(check(0o600, file, &[]), (0, String::new()), "{file}");
    fine("");
    fine(&crate::program::run(&["config", "default"]).output);
    // Every key that the default explains is one that is known.
    let default = crate::program::run(&["config", "default"]).output;
    let shown = default.split_once("# [meters.kitchen]").unwrap().1;
    for line in shown.lines() {
        let line = line.trim_start_matches("# ");
        if line.starts_with("keys =") || line.starts_with("meter =") {
            fine(&format!(
                "{meter}keys = \"keys.toml\"\nmeter = \"GWD0000000000001\"\n"
            ));
        } else if !line.is_empty() && !line.starts_with("url") {
            fine(&format!("{meter}{line}\n"));
        }
    }
    fine(&format!("{meter}key = \"{SECRET}\"\n"));

    let key = format!("{meter}key = \"{SECRET}\"\n");
    let wrong = [
        (0o644, key.as_str(), "a secret stands in it"),
        (
            0o600,
            "[meters.a]\nclient = 1\n",
            "meters.a: url is missing",
        ),
        (0o600, "[meters.a]\nurl = \"10.0.0.7\"\n", "meters.a: url:"),
        (
            0o600,
            "[meters.\"tcp://a\"]\nurl = \"tcp://a\"\n",
            "is no URL",
        ),
        (
            0o600,
            &format!("{meter}clint = 1\n"),
            "line 3: unknown field `clint`",
        ),
        (0o600, &format!("{meter}client = 0\n"), "0 is no station"),
        (0o600, &format!("{meter}suite = 3\n"), "suite is 0, 1 or 2"),
        (
            0o600,
            &format!("{meter}timeout = 0\n"),
            "timeout is 1 to 3600",
        ),
        (
            0o600,
            &format!("{meter}max_pdu = 63\n"),
            "max_pdu is 64 to 65535 octets",
        ),
        (0o600, &format!("{meter}meter = \"x\"\n"), "keys is missing"),
        (
            0o600,
            &format!("{meter}security = \"hls9\"\n"),
            "unknown variant `hls9`",
        ),
        (
            0o600,
            &format!("{meter}system_title = \"47\"\n"),
            "16 hexadecimal",
        ),
        (
            0o600,
            &format!("{meter}key = \"{SECRET}0\"\n"),
            "key: not hexadecimal",
        ),
        (
            0o600,
            &format!("{meter}keys = \"k\"\nkey = \"{SECRET}\"\n"),
            "takes the place",
        ),
        (
            0o600,
            &format!("{meter}client = \"{SECRET}\"\n"),
            "line 3: not the kind of value",
        ),
        (0o600, &format!("{meter}key = {SECRET}\n"), "line 3: "),
        (
            0o600,
            "[headend.collector]\nconcurency = 3\n",
            "unknown field `concurency`",
        ),
        (0o600, "[meter]\n", "unknown field `meter`"),
    ];
    for (mode, file, told) in wrong {
        let (status, error) = check(mode, file, &[]);
        assert_eq!(status, 1, "{file}: {error}");
        assert!(error.contains(told), "{file}: {error}");
    }

    assert_eq!(
        check(0o644, "client = 1\nkeys = \"k\"\n", &["--profile"]).0,
        0
    );
    for (mode, file, told) in [
        (0o600, "url = \"tcp://a\"\n", "goes with any place"),
        (0o644, &format!("auth_key = \"{SECRET}\"\n"), "chmod 600"),
        (0o600, "[headend]\n", "unknown field `headend`"),
    ] {
        let (status, error) = check(mode, file, &["--profile"]);
        assert_eq!(status, 1, "{file}: {error}");
        assert!(error.contains(told), "{file}: {error}");
    }
}
