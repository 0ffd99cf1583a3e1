//! A meter that the head end reaches over SCTP.
//!
//! Evidence: self-agreement over real sockets. Which class a message has is read from the streams
//! of the packets between the two, which a relay sees; what the meter did is looked at in it.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use headend::Config;
use model::{BreakerState, MessageClass};
use serde_json::json;
use tempfile::TempDir;
use tokio::net::UdpSocket;

use super::orders::{idle, start, two_meters};
use super::{Operator, until};

const TIMEOUT: Duration = Duration::from_secs(30);
const PLACE: &str = "Lindenweg 14, flat 3";

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    ToMeter,
    FromMeter,
}

/// Streams with data that were seen since it was asked last.
type Streams = Arc<Mutex<BTreeSet<(Way, u16)>>>;

/// Streams of the data chunks of an SCTP packet (RFC 9260, section 3.3.1; RFC 8260, section 2.1).
fn streams(packet: &[u8]) -> Vec<u16> {
    const DATA: u8 = 0x00;
    const I_DATA: u8 = 0x40;
    let mut streams = Vec::new();
    let mut rest = packet.get(12..).unwrap_or_default();
    while let [kind, _, high, low, value @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])).max(4);
        if let (DATA | I_DATA, [_, _, _, _, high, low, ..]) = (*kind, value) {
            streams.push(u16::from_be_bytes([*high, *low]));
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    streams
}

/// Carries packets to a meter's UDP port and back; tells its own port.
async fn relay(meter: u16) -> (u16, Streams) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = socket.local_addr().unwrap().port();
    let meter = SocketAddr::from((Ipv4Addr::LOCALHOST, meter));
    let seen = Streams::default();
    let written = Arc::clone(&seen);
    tokio::spawn(async move {
        let mut octets = vec![0; 65_535];
        let mut head_end = None;
        while let Ok((length, from)) = socket.recv_from(&mut octets).await {
            let packet = &octets[..length];
            let (way, to) = if from == meter {
                (Way::FromMeter, head_end)
            } else {
                head_end = Some(from);
                (Way::ToMeter, Some(meter))
            };
            written
                .lock()
                .unwrap()
                .extend(streams(packet).into_iter().map(|stream| (way, stream)));
            if let Some(to) = to {
                drop(socket.send_to(packet, to).await);
            }
        }
    });
    (port, seen)
}

fn both(class: MessageClass) -> [(Way, u16); 2] {
    [Way::ToMeter, Way::FromMeter].map(|way| (way, u16::from(class.priority())))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_meter_at_sctp_is_collected_in_usage_and_ordered_in_control() {
    let folder = TempDir::new().unwrap();
    let (fleet, at) = two_meters(&folder, "sctp://127.0.0.1?udp=0").await;
    let Some(link::SctpOver::Udp(udp)) = at.sctp().map(|options| options.over) else {
        panic!("{at}")
    };
    let (udp, seen) = relay(udp).await;
    let endpoint = at.with_udp_port(udp);
    let text = format!(
        "[[meter]]\nlogical_device_name = \"GWD0000000000001\"\nendpoint = \"{endpoint}\"\n\
         server = 1\nclient = 1\nplace = \"{PLACE}\"\n"
    );
    std::fs::write(folder.path().join("meters.toml"), text).unwrap();
    let mut config = Config {
        enrolment: Some(folder.path().join("meters.toml")),
        keys: Some(folder.path().join("keys.toml")),
        ..idle()
    };
    config.collector.enabled = true;
    let (head_end, token) = start(&config, &folder, TIMEOUT).await;
    let token = token.expect("a first start tells the token");
    let operator = Operator::at(head_end.address(), &token);
    let id = operator.id(1).await;

    // Its load profile comes by itself, in usage.
    until("a collection", async || {
        let meter = operator.json(&format!("/api/v1/meters/{id}")).await;
        (!meter["last_read"].is_null()).then_some(())
    })
    .await;
    let streams = || seen.lock().unwrap().clone();
    for way in both(MessageClass::Usage) {
        assert!(streams().contains(&way), "{way:?}: {:?}", streams());
    }
    for way in both(MessageClass::Control) {
        assert!(!streams().contains(&way), "{way:?}: {:?}", streams());
    }

    // An order goes in control, and so does its answer.
    let path = format!("/api/v1/meters/{id}/orders");
    let dry = operator
        .json(&format!("{path}/dry-run?kind=disconnect"))
        .await;
    assert_eq!(dry["possible"], true, "{dry}");
    let body = json!({
        "kind": "disconnect",
        "reason": "Moved out on 20 November, case 88-204",
        "confirm": dry["confirm"],
        "as_of": dry["as_of"],
    });
    let given = operator.post(&path, &body).await;
    assert_eq!(given.status, 202, "{}", given.text());
    let number = given.json()["number"].as_i64().unwrap();
    let order = until("the order's end", async || {
        let order = operator.json(&format!("/api/v1/orders/{number}")).await;
        (!order["ended"].is_null()).then_some(order)
    })
    .await;
    assert_eq!(order["state"], "done", "{order}");
    let state = |device: &meter::device::Device| device.breaker_state();
    assert_eq!(
        fleet.with_device(0, state).unwrap(),
        BreakerState::Disconnected
    );
    for way in both(MessageClass::Control) {
        assert!(streams().contains(&way), "{way:?}: {:?}", streams());
    }
    head_end.stop().await;
}
