//! Octets of real meters. They lie beside the project, not in it: a test that
//! needs one says on its output that it was skipped where they are absent.

use std::path::PathBuf;

use serde_json::Value;

/// A file of the folder beside the project; `None`, and a line that says so,
/// where it is absent.
#[expect(clippy::print_stdout, reason = "a test that is skipped says so")]
pub(crate) fn beside(path: &str) -> Option<PathBuf> {
    let file =
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")).join(path);
    if file.exists() {
        return Some(file);
    }
    println!("skipped: {path} is not beside the project");
    None
}

/// The captures whose names begin so.
pub(crate) fn vectors(prefix: &str) -> Vec<(String, Value)> {
    let Some(folder) = beside("dlms/vectors") else {
        return Vec::new();
    };
    let mut found: Vec<(String, Value)> = std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem()?.to_str()?.to_owned();
            let wanted = name.starts_with(prefix) && path.extension()? == "json";
            wanted.then(|| {
                let text = std::fs::read_to_string(&path).unwrap();
                (name, serde_json::from_str(&text).unwrap())
            })
        })
        .collect();
    found.sort_by(|(left, _), (right, _)| left.cmp(right));
    found
}

pub(crate) fn octets(vector: &Value) -> Vec<u8> {
    unhex(vector["hex"].as_str().unwrap())
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(u8::is_ascii_hexdigit)
        .map(|digit| u8::try_from(char::from(digit).to_digit(16).unwrap()).unwrap())
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}
