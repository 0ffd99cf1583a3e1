//! A head end that reads day profiles through a concentrator, and one that looks what it has read.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use dlms::axdr::{Data, RawData};
use dlms::cosem::{AttributeDescriptor, EntryDescriptor, ProfileSelection};
use link::{Client, Endpoint, KeyFile, MeterKeys, Surroundings};

use crate::association::association;
use crate::days::LOAD;
use crate::until_all;

const LIMIT: Duration = Duration::from_secs(120);
const AT_ONCE: usize = 64;
const DAY: u32 = 96;

/// Reads the last 96 rows of every meter.
pub(crate) fn read_all(url: &str, keys: &str, saps: &BTreeMap<String, u16>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let endpoint: Endpoint = url.parse().unwrap();
    let file = KeyFile::load(Path::new(keys)).unwrap();
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for keys in file.meters {
            let sap = saps[keys.logical_device_name.as_str()];
            if tasks.len() >= AT_ONCE {
                tasks.join_next().await.unwrap().unwrap();
            }
            tasks.spawn(read(endpoint.clone(), keys, sap));
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
    });
}

async fn read(endpoint: Endpoint, keys: MeterKeys, sap: u16) {
    let around = Surroundings::system();
    let client = Client::connect(&endpoint, association(&keys, sap), &around, LIMIT).await;
    let mut client = client.unwrap();
    let buffer = AttributeDescriptor::new(7, LOAD, 2);
    let last = ProfileSelection::Entry(EntryDescriptor::rows(97, 96 + DAY));
    let read = client.read_octets(buffer, Some(&last), &mut |_| {}).await;
    let rows = RawData::new(&read.unwrap()).decode().unwrap();
    let Data::Array(rows) = rows else {
        panic!("no profile");
    };
    assert_eq!(rows.len(), usize::try_from(DAY).unwrap());
    client.release().await;
}

/// What the status page tells.
pub(crate) fn page(status: &str) -> serde_json::Value {
    let address = status.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET /status.json HTTP/1.0\r\nHost: {address}\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap()
}

/// Waits until the page tells a day of every meter.
pub(crate) fn until_collected(status: &str, count: usize) {
    until_all("meters were read", count, || {
        // The page takes time of the process that is measured: rarely.
        std::thread::sleep(Duration::from_secs(2));
        let told = page(status);
        let meters = told["meters"].as_array().unwrap();
        let full = meters.iter().filter(|it| it["rows"].as_u64() >= Some(90));
        full.count()
    });
}
