//! A campaign between processes: meters, the concentrator before them, the head end behind it, and
//! `gridward image` for what is brought.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::demo::get;
use crate::program::run;
use crate::session::{Role, done};

/// A request with a body, and its answer.
pub(crate) fn post(url: &str, path: &str, token: &str, body: &Value) -> (u16, Value) {
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(address).unwrap();
    let body = body.to_string();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, json_of(&answer))
}

fn json_of(answer: &str) -> Value {
    let start = answer.find('{').unwrap();
    let end = answer.rfind('}').unwrap();
    serde_json::from_str(&answer[start..=end]).unwrap()
}

fn base64(octets: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in octets.chunks(3) {
        let bits = (0..3).fold(0_u32, |bits, place| {
            bits << 8 | u32::from(group.get(place).copied().unwrap_or(0))
        });
        for place in 0..4 {
            let digit = usize::try_from(bits >> (18 - 6 * place) & 0x3F).unwrap();
            out.push(if place <= group.len() {
                char::from(DIGITS[digit])
            } else {
                '='
            });
        }
    }
    out
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test of processes waits in real time"
)]
fn now() -> Instant {
    Instant::now()
}

/// Waits for a phase of a campaign; shows the campaign.
pub(crate) fn reached(url: &str, token: &str, id: u64, wanted: impl Fn(&Value) -> bool) -> Value {
    let begun = now();
    loop {
        let (_, body) = get(url, &format!("/api/v1/campaigns/{id}"), token);
        let campaign = json_of(&body);
        if wanted(&campaign) {
            return campaign;
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "{campaign:#}");
        thread::sleep(Duration::from_millis(100));
    }
}

const METERS: usize = 5;

/// Meters on IP behind a concentrator, and the head end that knows them.
struct Town {
    folder: tempfile::TempDir,
    meters: Role,
    meters_url: String,
    concentrator: Role,
    head_end: Option<Role>,
    api: String,
    token: String,
}

impl Town {
    fn at(folder: &tempfile::TempDir, name: &str) -> String {
        folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| Self::at(&folder, name);
        done(run(&["image", "keys", &at("maker.pem")]));
        let number = METERS.to_string();
        let mut meters = Role::start(&[
            "meter",
            "--listen",
            "tcp://127.0.0.1:0",
            "--count",
            &number,
            "--history",
            "1",
            "--keys",
            &at("keys.toml"),
            "--maker-key",
            &at("maker.pem.pub"),
            "--steady",
        ]);
        let told: Vec<Value> = (0..METERS).map(|_| meters.line()).collect();
        let meters_url = told[0]["endpoint"].as_str().unwrap().to_owned();
        done(run(&["keys", "generate", &at("own.toml")]));
        let text = std::fs::read_to_string(at("own.toml")).unwrap();
        let text = text.replace("GWD0000000000001", "GWD1DC0000000001");
        std::fs::write(at("own.toml"), text).unwrap();
        let config = format!(
            "[concentrator]\nname = \"GWD1DC0000000001\"\ndata = \"{}\"\nkeys = \"{}\"\n\
             [[concentrator.wan]]\nlisten = \"tcp://127.0.0.1:0\"\n\
             [[concentrator.segment]]\nmedium = \"ip\"\n\
             [[concentrator.segment.meter]]\nendpoint = \"{meters_url}\"\nservers = \"1-{METERS}\"\n",
            at("dc"),
            at("own.toml")
        );
        std::fs::write(at("dc.toml"), config).unwrap();
        let mut concentrator = Role::start(&["concentrator", "--config", &at("dc.toml")]);
        let line = concentrator.line();
        let url = line["endpoints"][0].as_str().unwrap().to_owned();
        // All have registered before the head end begins.
        let begun = now();
        loop {
            let list = done(run(&["read", &url, "0-0:41.0.0", "--json"])).json();
            if list[0]["value"].as_array().unwrap().len() > METERS {
                break;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(120),
                "they do not register"
            );
            thread::sleep(Duration::from_millis(100));
        }
        let mut lines = String::new();
        for meter in &told {
            let name = &meter["logical_device_name"];
            let title = &meter["system_title"];
            lines += &format!(
                "{{\"logical_device_name\":{name},\"system_title\":{title},\
                 \"endpoint\":\"{url}\",\"server\":1}}\n"
            );
        }
        std::fs::write(at("meters.jsonl"), lines).unwrap();
        let config = format!(
            "[headend]\nenrolment = \"meters.jsonl\"\nkeys = \"keys.toml\"\n\
             maker_key = \"maker.pem.pub\"\n[[headend.concentrator]]\nendpoint = \"{url}\"\n\
             every_s = 1\n"
        );
        std::fs::write(at("headend.toml"), config).unwrap();
        let mut town = Self {
            folder,
            meters,
            meters_url,
            concentrator,
            head_end: None,
            api: String::new(),
            token: String::new(),
        };
        town.start();
        town
    }

    fn start(&mut self) {
        let (config, data) = (
            Self::at(&self.folder, "headend.toml"),
            Self::at(&self.folder, "headend"),
        );
        let mut role = Role::start(&[
            "headend",
            "--config",
            &config,
            "--data",
            &data,
            "--listen",
            "127.0.0.1:0",
        ]);
        let line = role.line();
        self.api = line["url"].as_str().unwrap().to_owned();
        if let Some(token) = line["token"].as_str() {
            token.clone_into(&mut self.token);
        }
        self.head_end = Some(role);
    }

    /// Waits until every meter was collected: then their SAPs are known.
    fn collected(&self) {
        let begun = now();
        loop {
            let (_, body) = get(&self.api, "/api/v1/meters", &self.token);
            let read = json_of(&body)["rows"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|row| row["last_read"].is_string())
                .count();
            if read == METERS {
                return;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(120),
                "{read} of {METERS}"
            );
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Signs an image.
    fn image(&self, version: &str, octets: usize) -> Vec<u8> {
        let at = |name: &str| Self::at(&self.folder, name);
        let content: Vec<u8> = (0..octets)
            .map(|it| u8::try_from(it % 251).unwrap())
            .collect();
        std::fs::write(at("firmware.bin"), content).unwrap();
        let identifier = format!("Gridward {version}");
        done(run(&[
            "image",
            "sign",
            &at("firmware.bin"),
            "--key",
            &at("maker.pem"),
            "--model",
            "smr5",
            "--identifier",
            &identifier,
            "--version-number",
            version,
            "--out",
            &at("image"),
        ]));
        done(run(&[
            "image",
            "check",
            &at("image"),
            "--key",
            &at("maker.pem.pub"),
        ]));
        std::fs::read(at("image")).unwrap()
    }

    fn begin(&self, image: &[u8], settings: &Value) -> (u16, Value) {
        let body = json!({ "image": base64(image), "settings": settings });
        post(&self.api, "/api/v1/campaigns", &self.token, &body)
    }

    /// What a meter says that it runs, end to end.
    fn runs(&self, number: usize) -> String {
        let server = number.to_string();
        let read = done(run(&[
            "read",
            &self.meters_url,
            "1-0:0.2.0",
            "--server",
            &server,
            "--keys",
            &Self::at(&self.folder, "keys.toml"),
            "--meter",
            &format!("GWD{number:013}"),
            "--state",
            &Self::at(&self.folder, "state"),
            "--json",
        ]));
        read.json()[0]["text"].as_str().unwrap().to_owned()
    }

    fn stop(self) {
        if let Some(head_end) = self.head_end {
            head_end.stop();
        }
        self.concentrator.stop();
        self.meters.stop();
    }
}

/// Requirement D7: broadcast once, holes repaired, activated end to end; and a head end that is
/// killed in the middle of it goes on.
#[test]
fn a_campaign_goes_through_a_concentrator_and_outlives_the_head_end() {
    let mut town = Town::new();
    town.collected();
    let image = town.image("2", 24_000);
    let altered = {
        let mut altered = image.clone();
        altered[5_000] ^= 1;
        altered
    };
    let (status, refused) = town.begin(&altered, &json!({}));
    assert_eq!(status, 400, "{refused}");
    let (status, _) = town.begin(&image, &json!({ "rings": [500] }));
    assert_eq!(status, 400);

    let settings = json!({
        "pace_ms": 20, "rings": [200, 1_000], "soak_s": 1, "retry_s": 1, "tries": 20,
        "line": { "medium": "s-fsk", "credit": 1, "loss_permille": 50 },
    });
    let (status, begun) = town.begin(&image, &settings);
    assert_eq!(status, 201, "{begun}");
    let id = begun["id"].as_u64().unwrap();
    let campaign = reached(&town.api, &town.token, id, |it| it["phase"] != "initiating");
    assert_eq!(campaign["image"]["identifier"], "Gridward 2");
    // Killed while it broadcasts.
    drop(town.head_end.take());
    town.start();
    let campaign = reached(&town.api, &town.token, id, |it| {
        it["phase"] == "done" || it["phase"].as_str().unwrap().starts_with("stopped")
    });
    assert_eq!(campaign["phase"], "done", "{campaign:#}");
    assert_eq!(campaign["progress"]["active"], METERS, "{campaign:#}");
    // Two passes of 302 blocks at least, by broadcast.
    assert!(
        campaign["progress"]["blocks_sent"].as_u64().unwrap() >= 600,
        "{campaign:#}"
    );
    // It tells the bound that goes with what was said of the segment, as the program plans it.
    let group = &campaign["progress"]["groups"][0];
    let (size, count) = (image.len().to_string(), METERS.to_string());
    let planned = done(run(&[
        "image", "plan", "--size", &size, "--meters", &count, "--credit", "1", "--json",
    ]));
    assert_eq!(
        group["bound"]["bound_s"],
        planned.json()["bound_s"],
        "{group:#}"
    );
    assert!(group["taken_s"].as_i64().unwrap() > 0, "{group:#}");
    // Who was asked is on record, in both rounds.
    let rounds = &campaign["progress"]["rounds"];
    assert_eq!(rounds[0]["meters"], METERS, "{campaign:#}");
    // Nobody counts under the same keys beside this test.
    town.head_end.take().unwrap().stop();
    for number in 1..=METERS {
        assert_eq!(town.runs(number), "Gridward 2");
    }
    town.start();

    // An older one goes nowhere: the first ring of one meter fails, and that is too much.
    let old = town.image("1", 2_000);
    let (status, begun) = town.begin(&old, &json!({ "pace_ms": 20, "tries": 20, "retry_s": 1 }));
    assert_eq!(status, 201, "{begun}");
    let id = begun["id"].as_u64().unwrap();
    let campaign = reached(&town.api, &town.token, id, |it| !it["ended"].is_null());
    assert_eq!(campaign["phase"], "stopped_by_failures", "{campaign:#}");
    assert_eq!(campaign["progress"]["active"], 0);
    assert_eq!(campaign["failed"][0]["reason"], "not_verified");
    town.stop();
}

#[test]
fn a_makers_files_are_what_openssl_takes() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    done(run(&["image", "keys", &at("maker.pem")]));
    let again = run(&["image", "keys", &at("maker.pem")]);
    assert_eq!(again.status, 1);
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(at("maker.pem"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    std::fs::write(at("firmware.bin"), [7; 3_000]).unwrap();
    let sign = |key: &str| {
        run(&[
            "image",
            "sign",
            &at("firmware.bin"),
            "--key",
            key,
            "--model",
            "smr5",
            "--identifier",
            "Gridward 9",
            "--version-number",
            "9",
            "--out",
            &at("image"),
        ])
    };
    done(sign(&at("maker.pem")));
    let check = |extra: &[&str]| {
        let (image, key) = (at("image"), at("maker.pem.pub"));
        let mut all = vec!["image", "check", &image, "--key", &key];
        all.extend(extra);
        run(&all)
    };
    done(check(&["--running", "8"]));
    assert!(
        check(&["--running", "9"])
            .error
            .contains("is not above version 9")
    );
    assert!(
        check(&["--model", "idis-like"])
            .error
            .contains("another model")
    );

    let Ok(found) = Command::new("openssl").arg("version").output() else {
        println!("skipped: there is no openssl here");
        return;
    };
    assert!(found.status.success());
    // What is signed, and the signature in the form that it wants: DER of two numbers.
    let image = std::fs::read(at("image")).unwrap();
    let parsed = model::Image::parse(&image).unwrap();
    std::fs::write(at("signed"), parsed.header().to_octets()).unwrap();
    let number = |octets: &[u8]| {
        let mut plain: Vec<u8> = octets.iter().copied().skip_while(|it| *it == 0).collect();
        if plain.first().is_none_or(|first| *first >= 0x80) {
            plain.insert(0, 0);
        }
        let mut out = vec![2, u8::try_from(plain.len()).unwrap()];
        out.extend(plain);
        out
    };
    let (r, s) = parsed.signature().split_at(32);
    let body = [number(r), number(s)].concat();
    let der = [&[0x30, u8::try_from(body.len()).unwrap()][..], &body].concat();
    std::fs::write(at("signature"), der).unwrap();
    let verified = Command::new("openssl")
        .args([
            "dgst",
            "-sha256",
            "-verify",
            &at("maker.pem.pub"),
            "-signature",
            &at("signature"),
        ])
        .arg(at("signed"))
        .output()
        .unwrap();
    assert!(verified.status.success(), "{verified:?}");
    // And a key that openssl makes signs here.
    let made = Command::new("openssl")
        .args([
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-out",
        ])
        .arg(at("other.pem"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let public = Command::new("openssl")
        .args([
            "pkey",
            "-pubout",
            "-in",
            &at("other.pem"),
            "-out",
            &at("other.pub"),
        ])
        .output()
        .unwrap();
    assert!(public.status.success(), "{public:?}");
    std::fs::set_permissions(at("other.pem"), std::fs::Permissions::from_mode(0o600)).unwrap();
    done(sign(&at("other.pem")));
    done(run(&[
        "image",
        "check",
        &at("image"),
        "--key",
        &at("other.pub"),
    ]));
    let refused = check(&[]);
    assert_eq!(refused.status, 1);
    assert!(
        refused.error.contains("signature does not verify"),
        "{}",
        refused.error
    );
}
