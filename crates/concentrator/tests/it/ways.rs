//! Over which way head ends come, as the concentrator tells it: over DLMS and on its page.
//!
//! Evidence: self-agreement over real sockets.

use std::net::SocketAddr;
use std::time::Duration;

use concentrator::config::WanConfig;
use concentrator::device::WAYS;
use concentrator::shell::Concentrator;
use dlms::axdr::Data;
use dlms::cosem::AttributeDescriptor;
use link::{Association, Client, Limits, Listener};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::device::NAME;
use crate::lines::{LIMIT, clock, config, management, own_keys, surroundings};

/// What the status page tells, once it is as it should be.
async fn page(at: SocketAddr, what: impl Fn(&Value) -> bool) -> Value {
    let told = async {
        loop {
            let mut stream = TcpStream::connect(at).await.unwrap();
            let request = format!("GET /status.json HTTP/1.1\r\nHost: {at}\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            let (_, body) = answer.split_once("\r\n\r\n").unwrap();
            let told = serde_json::from_str(body).unwrap();
            if what(&told) {
                return told;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let told = tokio::time::timeout(LIMIT, told).await;
    told.expect("the page tells something else")
}

/// Requirement D9: one way that is opened from here, one where head ends connect. A connection
/// counts once something came over it; which way is in use, when that changed, and how long nobody
/// came, is told.
#[tokio::test]
async fn going_over_to_another_way_is_told_with_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let (keys, path) = own_keys(folder.path());
    let any = "tcp://127.0.0.1:0".parse().unwrap();
    let bound = Listener::bind(&any, &[], Limits::default(), clock()).await;
    let mut head_end = bound.unwrap();
    let mut config = config(folder.path(), "tcp://127.0.0.1:0".to_owned());
    config.keys = Some(path);
    config.wan[0].name = Some("LTE".to_owned());
    let fibre = WanConfig {
        name: Some("Fibre".to_owned()),
        connect: Some(head_end.local().to_string()),
        ..WanConfig::default()
    };
    config.wan.insert(0, fibre);
    let started = Concentrator::start(&config, Vec::new(), &surroundings()).await;
    let concentrator = started.unwrap();
    let at = concentrator.local().next().unwrap().clone();
    let status = concentrator.status().unwrap();
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(concentrator.run(stopped));
    let accepted = tokio::time::timeout(LIMIT, head_end.accept()).await;
    let accepted = accepted.unwrap().unwrap();
    // Whoever is connected and says nothing is nobody yet.
    let told = page(status, |told| told["wan_connections"] == 1).await;
    assert_eq!(
        [&told["ways"][0]["state"], &told["ways"][1]["state"]],
        ["new", "new"]
    );
    let around = link::Surroundings::system();
    let client = Client::associate(accepted.link, management(&keys), &around).await;
    let mut client = client.unwrap();
    let told = client.read(AttributeDescriptor::new(1, WAYS, 2)).await;
    let told = told.unwrap();
    let Some([ways, current, change]) = told.as_structure() else {
        panic!("{told:?}");
    };
    assert_eq!((current.as_u8(), change), (Some(0), &Data::NullData));
    let ways = ways.as_array().unwrap();
    let [first, second] = [0, 1].map(|way: usize| ways[way].as_structure().unwrap());
    let place = head_end.local().host_port().unwrap().to_string();
    let named = |way: &[Data]| [0, 1].map(|it: usize| way[it].as_octets().unwrap().to_vec());
    assert_eq!(named(first), [b"Fibre".to_vec(), place.into_bytes()]);
    let place = at.host_port().unwrap().to_string();
    assert_eq!(named(second), [b"LTE".to_vec(), place.into_bytes()]);
    // Opened from here or not, connections, up or new.
    let is = |way: &[Data]| (way[2].as_bool(), way[4].as_u16(), way[5].as_u8());
    assert_eq!(is(first), (Some(true), Some(1), Some(1)));
    assert_eq!(is(second), (Some(false), Some(0), Some(0)));
    assert!(first[6].as_u32().unwrap() > 1_600_000_000);
    assert_eq!((&first[7], &second[8]), (&Data::NullData, &Data::NullData));
    // It is cut, and the head end comes over the other one.
    let cut = clock();
    let began = cut.now();
    drop(client);
    drop(accepted.permit);
    page(status, |told| told["ways"][0]["state"] == "down").await;
    let public = Client::connect(&at, Association::public(1), &around, LIMIT).await;
    let mut public = public.unwrap();
    public.read(NAME).await.unwrap();
    let whole = cut.now().since(began).as_millis();
    let told = page(status, |told| told["ways"][1]["current"] == true).await;
    assert_eq!(told["ways"][1]["state"], "up");
    assert!(told["ways"][0]["lost"].as_i64() >= told["ways"][0]["gained"].as_i64());
    let change = &told["changed_over"];
    assert_eq!([&change["from"], &change["to"]], [0, 1]);
    let took = change["took_ms"].as_u64().unwrap();
    assert!(u128::from(took) <= whole, "{took} of {whole} ms");
    drop(public);
    stop.send(true).unwrap();
    task.await.unwrap().unwrap();
}
