//! How long what goes into one datagram may be. Evidence: self-agreement, and
//! the longest packet that the simulated network's links counted.

use std::sync::{Arc, Mutex};

use dlms::axdr::Data;
use dlms::client::Failure;
use dlms::codec::Wire as _;
use dlms::wrapper::Wrapper;
use dlms::xdlms::{Conformance, DataAccessResult};
use link::{
    Accepted, Clock, Devices, Link as _, LinkExt as _, Listener, Message, SCION_PDU_LEN_MAX, Sap,
    Service, SharedDevice, SystemClock, serve,
};
use model::MessageClass;
use scion::daemon::Route;
use scion::packet::Place;
use scion::policy::Policy;
use scion::session::{Role, Session};

use super::*;
use crate::device::{Device, LONG, long};

const MOST: usize = SCION_PDU_LEN_MAX as usize;

/// Octets of the headers of packets between two neighbours, and of the wrapper.
const HEADERS: usize = 80 + 8;

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

async fn bind(net: &Net) -> (Listener, Endpoint) {
    let daemon = net.daemons[1];
    let url = format!("scion://[{METERS},127.0.0.1]:0?daemon={daemon}");
    let url = url.parse().unwrap();
    let listener = Listener::bind(&url, &[1], Limits::default(), clock()).await;
    let listener = listener.unwrap();
    let local = listener.local().clone();
    (listener, local)
}

fn message(length: usize) -> Message {
    Message {
        source: 16,
        destination: 1,
        class: MessageClass::Request,
        payload: vec![0xC0; length],
    }
}

/// Octets of the longest packet that came to a link.
fn longest(net: &Net) -> usize {
    let longest = net.counters().iter().map(|one| one.longest).max();
    usize::try_from(longest.unwrap()).unwrap()
}

async fn accepted(listener: &mut Listener) -> Accepted {
    let accepted = tokio::time::timeout(LIMIT, listener.accept()).await;
    accepted.unwrap().unwrap()
}

#[tokio::test]
async fn a_datagram_takes_1024_octets_and_one_more_is_refused_with_the_limit() {
    let net = Net::start().await;
    let (mut listener, meter) = bind(&net).await;
    let endpoint = net.endpoint(&meter, "");
    let mut link = link::connect(&endpoint, (16, 1), &clock(), LIMIT)
        .await
        .unwrap();
    assert_eq!(link.payload_max(), 1_024);
    let refused = link.send(message(MOST + 1)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "a message of 1025 octets; this transport carries 1024 at most"
    );
    // The link stays usable, and the longest goes through whole.
    link.send(message(MOST)).unwrap();
    link.flush().await.unwrap();
    let mut other = accepted(&mut listener).await;
    assert_eq!(other.link.receive().await.unwrap().payload.len(), MOST);
    assert_eq!(longest(&net), MOST + HEADERS);
    // The same at the other end.
    assert!(matches!(
        other.link.send(message(MOST + 1)),
        Err(LinkError::TooLong {
            length: 1_025,
            max: 1_024
        })
    ));
}

#[tokio::test]
async fn a_longer_one_that_comes_is_dropped_and_the_next_one_taken() {
    let net = Net::start().await;
    let (mut listener, meter) = bind(&net).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let place = |port| Place {
        isd_as: METERS.parse().unwrap(),
        host: "127.0.0.1".parse().unwrap(),
        port,
    };
    let here = place(socket.local_addr().unwrap().port());
    let there = place(meter.host_port().unwrap().port);
    // Within one AS packets go straight to the host.
    let mut session = Session::new(Role::Asks, here, there, Policy::default(), 7);
    session.update(vec![Route::within(here.isd_as)], 0);
    for length in [MOST + 1, MOST] {
        let apdu = vec![0xC0; length];
        let wrapper = Wrapper {
            source: 16,
            destination: 1,
            apdu: &apdu,
        };
        let packets = session.send(&wrapper.to_octets(), 0, false, Duration::from_secs(1));
        for packet in packets.unwrap() {
            socket.send_to(&packet.octets, packet.to).await.unwrap();
        }
    }
    let mut other = accepted(&mut listener).await;
    assert_eq!(other.link.receive().await.unwrap().payload.len(), MOST);
}

/// A device that would put all into one APDU.
struct Wide;

impl Devices for Wide {
    fn find(&self, server: Sap) -> Option<SharedDevice> {
        let device = Device {
            pdu_len_max: u16::MAX,
            ..Device::new(server)
        };
        Some(Arc::new(Mutex::new(device)))
    }

    fn saps(&self) -> Vec<Sap> {
        vec![1]
    }
}

async fn serve_wide(net: &Net) -> Endpoint {
    let (mut listener, meter) = bind(net).await;
    tokio::spawn(async move {
        while let Some(accepted) = listener.accept().await {
            let (link, devices) = (accepted.link, Arc::new(Wide));
            tokio::spawn(serve(link, devices, Service::default(), clock()));
        }
    });
    meter
}

fn octets(count: usize) -> Data {
    Data::OctetString(vec![7; count])
}

/// The client says that it takes 65,535 octets, the device that it gives as
/// many, and blocks keep under what the link carries, both ways.
#[tokio::test]
async fn blocks_keep_under_it_whatever_both_ends_would_take() {
    let net = Net::start().await;
    let meter = serve_wide(&net).await;
    let endpoint = net.endpoint(&meter, "");
    let link = link::connect(&endpoint, (16, 1), &clock(), LIMIT).await;
    let link = link.unwrap();
    // Not by way of the endpoint, which would tell the client the limit.
    let mut client = Client::associate(link, Association::public(1), &surroundings())
        .await
        .unwrap();
    let told = client.read_octets(LONG, None, &mut |_| {}).await.unwrap();
    assert_eq!(told, long(1));
    assert_eq!(longest(&net), MOST + HEADERS);
    net.network.forget();
    // The device takes no values, but it takes their blocks first.
    for count in [1_007, 1_008, 5_000] {
        assert!(matches!(
            client.write(LONG, &octets(count)).await,
            Err(ClientError::Refused(DataAccessResult::ReadWriteDenied))
        ));
    }
    assert_eq!(longest(&net), MOST + HEADERS);
    client.release().await;
}

#[tokio::test]
async fn without_blocks_what_has_no_room_is_told_and_not_sent() {
    let net = Net::start().await;
    let endpoint = net.endpoint(&serve_wide(&net).await, "");
    let mut association = Association::public(1);
    association.config.conformance = Conformance::GET | Conformance::SET;
    let client = Client::connect(&endpoint, association, &surroundings(), LIMIT).await;
    let mut client = client.unwrap();
    // With what stands before the value this is 1,024 octets.
    assert!(matches!(
        client.write(LONG, &octets(1_007)).await,
        Err(ClientError::Refused(DataAccessResult::ReadWriteDenied))
    ));
    net.network.forget();
    let refused = client.write(LONG, &octets(1_008)).await.unwrap_err();
    assert!(matches!(refused, ClientError::Failed(Failure::NoRoom)));
    assert_eq!(
        refused.to_string(),
        "the meter or the way to it takes no APDU that is long enough for the request"
    );
    assert!(net.counters().iter().all(|one| one.packets == 0));
}
