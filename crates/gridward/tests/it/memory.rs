//! What a thief finds in a concentrator that is at work: the memory of the
//! process, and the core dump that the kernel writes of it.
//!
//! Evidence: a search of all mappings for every key in every form that a
//! program might keep it in, while head ends use those keys through it. The
//! control: made-up keys in each of these forms that were planted in the
//! process, and the keys that it has for itself.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dlms::cosem::{AttributeDescriptor, Obis};
use link::{Client, Endpoint, KeyFile, MeterKeys, Surroundings};

use crate::association::association;
use crate::concentrator::{entry, keys_in};
use crate::delivery::until;
use crate::demo::get;
use crate::program::{hex, run};
use crate::session::{Role, done};

/// Meters of a full concentrator.
const METERS: usize = 1_200;

/// Associations that are open at once, below the connections that a
/// concentrator takes.
const AT_ONCE: usize = 150;

const LIMIT: Duration = Duration::from_secs(120);

/// Octets that are searched at once; whole pages.
const PIECE: usize = 1 << 20;

/// Octets that pieces overlap by: no form of a key is longer.
const OVERLAP: usize = 64;

const PAGE: usize = 4_096;

/// The ways in which a key may lie in memory.
pub(crate) const FORMS: [&str; 8] = [
    "raw",
    "reversed",
    "words reversed",
    "hex",
    "HEX",
    "base64",
    "round key 1",
    "round key 1, words reversed",
];

fn words_reversed(key: &[u8]) -> Vec<u8> {
    key.chunks(4)
        .flat_map(|it| it.iter().rev().copied())
        .collect()
}

/// The S-box of AES (FIPS 197, 5.1.1): inverses, then an affine map.
pub(crate) fn s_box() -> [u8; 256] {
    let times = |mut a: u8, mut b: u8| {
        let mut product = 0;
        while b > 0 {
            if b & 1 == 1 {
                product ^= a;
            }
            a = (a << 1) ^ if a & 0x80 == 0 { 0 } else { 0x1B };
            b >>= 1;
        }
        product
    };
    let mut all = [0; 256];
    for (octet, place) in (0..=255_u8).zip(&mut all) {
        let inverse = (0..=255_u8).find(|it| times(*it, octet) == 1).unwrap_or(0);
        *place = (0..5).fold(0x63, |sum, turn| sum ^ inverse.rotate_left(turn));
    }
    all
}

/// The second round key of AES-128 (FIPS 197, 5.2).
fn round_key(key: &[u8], s_box: &[u8; 256]) -> Vec<u8> {
    let substituted = |at: usize| s_box[usize::from(key[at])];
    let mut word = [
        substituted(13) ^ 1,
        substituted(14),
        substituted(15),
        substituted(12),
    ];
    let mut round = Vec::with_capacity(16);
    for part in key.chunks(4) {
        for (sum, octet) in word.iter_mut().zip(part) {
            *sum ^= octet;
        }
        round.extend(word);
    }
    round
}

/// A key in each of [`FORMS`].
pub(crate) fn forms(key: &[u8], s_box: &[u8; 256]) -> [Vec<u8>; FORMS.len()] {
    let mut reversed = key.to_vec();
    reversed.reverse();
    let digits = hex(key);
    let round = round_key(key, s_box);
    // The last digits depend on what follows.
    let base64 = STANDARD.encode(key).as_bytes()[..21].to_vec();
    [
        key.to_vec(),
        reversed,
        words_reversed(key),
        digits.clone().into_bytes(),
        digits.to_uppercase().into_bytes(),
        base64,
        round.clone(),
        words_reversed(&round),
    ]
}

/// Keys to be searched for, found by their first octets.
pub(crate) struct Needles {
    all: Vec<(usize, usize, Vec<u8>)>,
    by_start: BTreeMap<[u8; 8], Vec<usize>>,
    /// A bit for each three octets that one begins with.
    starts: Vec<u64>,
}

impl Needles {
    pub(crate) fn new(keys: &[Vec<u8>]) -> Self {
        let s_box = s_box();
        let mut all = Vec::new();
        for (number, key) in keys.iter().enumerate() {
            for (form, octets) in forms(key, &s_box).into_iter().enumerate() {
                all.push((number, form, octets));
            }
        }
        let mut by_start: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        let mut starts = vec![0_u64; (1 << 24) / 64];
        for (place, (_, _, octets)) in all.iter().enumerate() {
            let start = octets[..8].try_into().unwrap();
            by_start.entry(start).or_default().push(place);
            let start = start_of(octets);
            starts[start / 64] |= 1 << (start % 64);
        }
        Self {
            all,
            by_start,
            starts,
        }
    }

    /// The keys that are in `octets`, with the name of the form.
    pub(crate) fn found_in(
        &self,
        octets: &[u8],
        found: &mut BTreeMap<(usize, &'static str), usize>,
    ) {
        for at in 0..octets.len().saturating_sub(15) {
            let rest = &octets[at..];
            let start = start_of(rest);
            if self.starts[start / 64] & 1 << (start % 64) == 0 {
                continue;
            }
            let start: [u8; 8] = rest[..8].try_into().unwrap();
            for &place in self.by_start.get(&start).into_iter().flatten() {
                let (key, form, octets) = &self.all[place];
                if rest.starts_with(octets) {
                    *found.entry((*key, FORMS[*form])).or_default() += 1;
                }
            }
        }
    }
}

fn start_of(octets: &[u8]) -> usize {
    usize::from(octets[0]) << 16 | usize::from(octets[1]) << 8 | usize::from(octets[2])
}

pub(crate) type Found = BTreeMap<(usize, &'static str), usize>;

/// What comes piece by piece, searched also across the seams.
struct Searched<'a> {
    needles: &'a Needles,
    found: Found,
    /// How many octets there were.
    octets: usize,
    held: Vec<u8>,
}

impl<'a> Searched<'a> {
    fn new(needles: &'a Needles) -> Self {
        Self {
            needles,
            found: Found::new(),
            octets: 0,
            held: Vec::new(),
        }
    }

    /// Takes a piece that follows the one before.
    fn take(&mut self, piece: &[u8]) {
        self.octets += piece.len();
        let keep = self.held.len().saturating_sub(OVERLAP);
        self.held.drain(..keep);
        self.held.extend(piece);
        self.needles.found_in(&self.held, &mut self.found);
    }

    /// What comes next lies elsewhere.
    fn seam(&mut self) {
        self.held.clear();
    }
}

/// Searches all of a process's memory: every page of every mapping that can be
/// read and is there. Most of what an allocator and threads reserve never is.
/// Gives what was found, and how many octets there were.
fn search(pid: u32, needles: &Needles) -> (Found, usize) {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = std::fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let pages = std::fs::File::open(format!("/proc/{pid}/pagemap")).unwrap();
    let mut searched = Searched::new(needles);
    let mut piece = vec![0; PIECE];
    let mut entries = vec![0; PIECE / PAGE * 8];
    for line in maps.lines() {
        let mut words = line.split_ascii_whitespace();
        let (range, rights) = (words.next().unwrap(), words.next().unwrap());
        let special = line.ends_with("[vvar]") || line.ends_with("[vsyscall]");
        if !rights.starts_with('r') || special {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let from = usize::from_str_radix(from, 16).unwrap();
        let to = usize::from_str_radix(to, 16).unwrap();
        searched.seam();
        for at in (from..to).step_by(PIECE) {
            let count = (to - at).min(PIECE) / PAGE;
            let told = &mut entries[..count * 8];
            let place = u64::try_from(at / PAGE * 8).unwrap();
            pages.read_exact_at(told, place).unwrap();
            // Linux, Documentation/admin-guide/mm/pagemap.rst: bit 63 is a page
            // that is there, bit 62 one that is swapped out.
            let there = told.chunks(8).map(|it| it[7] & 0xC0 != 0);
            for (number, there) in there.enumerate() {
                let page = &mut piece[..PAGE];
                let place = u64::try_from(at + number * PAGE).unwrap();
                if there && memory.read_exact_at(page, place).is_ok() {
                    searched.take(page);
                } else {
                    searched.seam();
                }
            }
        }
    }
    (searched.found, searched.octets)
}

/// Searches a file.
fn search_file(path: &Path, needles: &Needles) -> (Found, usize) {
    let mut file = std::fs::File::open(path).unwrap();
    let mut searched = Searched::new(needles);
    let mut piece = vec![0; PIECE];
    loop {
        let count = file.read(&mut piece).unwrap();
        if count == 0 {
            return (searched.found, searched.octets);
        }
        // Nothing but zeros: a hole, which no key lies in.
        if piece[..count].iter().all(|it| *it == 0) {
            searched.seam();
        } else {
            searched.take(&piece[..count]);
        }
    }
}

const NAME: AttributeDescriptor = AttributeDescriptor::new(1, Obis([0, 0, 42, 0, 0, 255]), 2);

/// Associates with meters and reads each; gives the associations, open.
async fn use_keys(at: &Endpoint, meters: &[(MeterKeys, u16)]) -> Vec<Client> {
    let mut tasks = tokio::task::JoinSet::new();
    for (keys, sap) in meters {
        let (at, association) = (at.clone(), association(keys, *sap));
        let name = keys.logical_device_name.as_str().to_owned();
        tasks.spawn(async move {
            let around = Surroundings::system();
            let mut client = Client::connect(&at, association, &around, LIMIT)
                .await
                .unwrap();
            let read = client.read(NAME).await.unwrap();
            assert_eq!(read.as_octets(), Some(name.as_bytes()));
            client
        });
    }
    tasks.join_all().await
}

/// Waits until the concentrator has seen that connections ended: it lets some go where there are
/// too many.
fn gone(status: &str) {
    let address = status.trim_start_matches("http://").trim_end_matches('/');
    until("connections that ended are seen", || {
        let (_, body) = get(address, "/status.json", "");
        let told: serde_json::Value = serde_json::from_str(&body).unwrap();
        (told["wan_connections"] == 0).then_some(())
    });
}

/// Made-up keys without a zero octet, one for each form, as the environment of
/// a process can hold them.
fn planted() -> (Vec<Vec<u8>>, Vec<(String, std::ffi::OsString)>) {
    use std::os::unix::ffi::OsStringExt as _;
    let s_box = s_box();
    let mut keys = Vec::new();
    let mut environment = Vec::new();
    let mut number = 0_u64;
    while keys.len() < FORMS.len() {
        number += 1;
        let octets = (0..16).map(|place| {
            let drawn = sim::draw(number, place);
            drawn.to_be_bytes()[0]
        });
        let key: Vec<u8> = octets.collect();
        let form = keys.len();
        let octets = forms(&key, &s_box)[form].clone();
        if octets.contains(&0) {
            continue;
        }
        keys.push(key);
        let value = std::ffi::OsString::from_vec(octets);
        environment.push((format!("PLANTED_{form}"), value));
    }
    (keys, environment)
}

/// Requirement D5: what is on the pole is worth nothing to a thief.
#[test]
fn a_loaded_concentrator_holds_no_key_of_what_passes() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let count = METERS.to_string();
    done(run(&[
        "keys",
        "generate",
        "--count",
        &count,
        &at("keys.toml"),
    ]));
    // Keys of head ends only: the collector's come afterwards.
    let passing = keys_in(&at("keys.toml"));
    assert!(passing.len() >= 3 * METERS, "{}", passing.len());
    done(run(&[
        "keys",
        "collector",
        &at("keys.toml"),
        &at("collector.toml"),
    ]));
    let collecting = keys_in(&at("collector.toml"));
    assert_eq!(collecting.len(), 2 * METERS);
    done(run(&[
        "keys",
        "generate",
        "--first",
        "900001",
        &at("own.toml"),
    ]));
    let text = std::fs::read_to_string(at("own.toml")).unwrap();
    let text = text.replace("GWD0000000900001", "GWD1DC0000000001");
    std::fs::write(at("own.toml"), text).unwrap();
    let mut meters = Role::start(&[
        "meter",
        "--listen",
        "tcp://127.0.0.1:0",
        "--count",
        &count,
        "--history",
        "1",
        "--keys",
        &at("keys.toml"),
    ]);
    let lines: Vec<_> = (0..METERS).map(|_| meters.line()).collect();
    let url = lines[0]["endpoint"].as_str().unwrap();
    let last = lines.iter().filter_map(|it| it["server"].as_u64()).max();
    let config = format!(
        "[concentrator]\nname = \"GWD1DC0000000001\"\ndata = \"{}\"\nkeys = \"{}\"\n\
         [concentrator.collect]\nkeys = \"{}\"\nall = true\nevery_s = 900\nbackfill_days = 1\n\
         [[concentrator.wan]]\nlisten = \"tcp://127.0.0.1:0\"\n\
         [[concentrator.segment]]\nmedium = \"ip\"\n\
         [[concentrator.segment.meter]]\nendpoint = \"{url}\"\nservers = \"1-{}\"\n",
        at("dc"),
        at("own.toml"),
        at("collector.toml"),
        last.unwrap(),
    );
    std::fs::write(at("dc.toml"), config).unwrap();
    let (planted, environment) = planted();
    let arguments = ["concentrator", "--config", &at("dc.toml")];
    let mut role = Role::start_dumpable(&arguments, folder.path(), environment);
    let line = role.line();
    let url = line["endpoints"][0].as_str().unwrap().to_owned();
    let status = line["status"].as_str().unwrap().to_owned();
    let saps = saps(&url);
    let file = KeyFile::load(Path::new(&at("keys.toml"))).unwrap();
    let in_use: Vec<(MeterKeys, u16)> = file
        .meters
        .into_iter()
        .map(|meter| {
            let sap = saps[meter.logical_device_name.as_str()];
            (meter, u16::try_from(sap).unwrap())
        })
        .collect();

    let pid = role.child.id();
    let passing = Needles::new(&passing);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let endpoint: Endpoint = url.parse().unwrap();
    let mut held = Vec::new();
    let mut used = 0;
    for meters in in_use.chunks(AT_ONCE) {
        held.clear();
        gone(&status);
        held = runtime.block_on(use_keys(&endpoint, meters));
        used += held.len();
        // While their associations are open.
        let (found, searched) = search(pid, &passing);
        assert_eq!(found, Found::new(), "after {used} meters");
        assert!(
            searched > 4 << 20,
            "nothing was searched: {searched} octets"
        );
    }
    assert_eq!(used, METERS);
    let own = [keys_in(&at("own.toml")), collecting].concat();
    let own = Needles::new(&own);
    let planted = Needles::new(&planted);
    let (found, searched) = search(pid, &planted);
    eprintln!("{searched} octets of memory were searched");
    // Each form that was planted is found, and so is what it has for itself.
    let forms: Vec<_> = found.keys().map(|(key, form)| (*key, *form)).collect();
    let all: Vec<_> = FORMS.iter().copied().enumerate().collect();
    assert_eq!(forms, all, "the search misses forms");
    let (found, _) = search(pid, &own);
    let different: std::collections::BTreeSet<_> = found.keys().map(|(key, _)| key).collect();
    eprintln!("{} of its own keys lie in memory", different.len());
    assert!(different.len() >= 2 * METERS, "{}", different.len());

    // And what the kernel writes when it dies.
    let signalled = std::process::Command::new("kill")
        .args(["-ABRT", &pid.to_string()])
        .status();
    assert!(signalled.unwrap().success());
    assert!(!role.child.wait().unwrap().success());
    drop(held);
    match core_of(folder.path()) {
        Some(core) => {
            let (found, size) = search_file(&core, &passing);
            eprintln!("a core dump of {size} octets was searched");
            assert_eq!(found, Found::new(), "in the core dump");
            let (found, _) = search_file(&core, &planted);
            assert_eq!(found.len(), FORMS.len(), "the core dump is not whole");
            let (found, _) = search_file(&core, &own);
            assert!(!found.is_empty());
        }
        None => {
            let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern");
            let pattern = pattern.unwrap_or_default();
            let pattern = pattern.trim();
            let is_elsewhere = pattern.starts_with(['|', '/']);
            assert!(is_elsewhere, "no core dump, which goes to `{pattern}`");
            println!(
                "skipped: no core dump to search, the kernel gives them to `{pattern}`; after \
                 `sysctl kernel.core_pattern=core` it is searched"
            );
        }
    }
    meters.stop();
}

/// The SAP of each meter, once all are in the list.
fn saps(url: &str) -> BTreeMap<String, u64> {
    for _ in 0..600 {
        let list = done(run(&["read", url, "0-0:41.0.0", "--json"])).json();
        let entries = list[0]["value"].as_array().unwrap().clone();
        if entries.len() > METERS {
            return entries.iter().map(entry).collect();
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    panic!("the meters do not register");
}

/// The core dump in a folder, where the kernel was told to put it there.
fn core_of(folder: &Path) -> Option<std::path::PathBuf> {
    let files = std::fs::read_dir(folder).unwrap();
    let mut paths = files.map(|file| file.unwrap().path());
    paths.find(|path| {
        let name = path.file_name().and_then(|it| it.to_str());
        name.is_some_and(|it| it == "core" || it.starts_with("core."))
    })
}

/// The round key of FIPS 197's example (A.1).
#[test]
fn the_key_schedule_is_that_of_the_standard() {
    let key = crate::program::unhex("2b7e151628aed2a6abf7158809cf4f3c");
    let round = round_key(&key, &s_box());
    assert_eq!(hex(&round), "a0fafe1788542cb123a339392a6c7605");
}
