//! The client and the listener over every transport, on real sockets.
//!
//! Evidence: self-agreement; real TCP, UDP, TLS and pseudo-terminals. What the
//! octets mean is proved elsewhere, by vectors and strangers.

use std::future::Future as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use dlms::client::{Failure, Phase};
use dlms::xdlms::DataAccessResult;
use link::{
    Association, Client, ClientError, Clock, Endpoint, Limits, LinkError, Listener, Service,
    Surroundings, SystemClock, serve,
};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::device::{Fleet, LONG, NAME, long, name};
use crate::papers::Papers;

pub(crate) const LIMIT: Duration = Duration::from_secs(20);

pub(crate) fn surroundings() -> Surroundings {
    Surroundings::system()
}

/// Listens for `saps` and tells where.
pub(crate) async fn listen(endpoint: &str, saps: &[u16], limits: Limits) -> Endpoint {
    listen_as(endpoint, saps, limits, Service::default()).await
}

/// The same, served otherwise.
async fn listen_as(endpoint: &str, saps: &[u16], limits: Limits, service: Service) -> Endpoint {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let endpoint: Endpoint = endpoint.parse().unwrap();
    let mut listener = Listener::bind(&endpoint, saps, limits, Arc::clone(&clock))
        .await
        .unwrap();
    let local = listener.local().clone();
    let fleet = Arc::new(Fleet(saps.to_vec()));
    tokio::spawn(async move {
        while let Some(accepted) = listener.accept().await {
            let (fleet, clock) = (Arc::clone(&fleet), Arc::clone(&clock));
            tokio::spawn(async move {
                let _permit = accepted.permit;
                serve(accepted.link, fleet, service, clock).await
            });
        }
    });
    local
}

pub(crate) async fn check(endpoint: &Endpoint, sap: u16) {
    let mut client = Client::connect(endpoint, Association::public(sap), &surroundings(), LIMIT)
        .await
        .unwrap();
    let octets = client.read_octets(NAME, None, &mut |_| {}).await.unwrap();
    assert_eq!(octets, name(sap), "{endpoint}");
    let mut seen = Vec::new();
    let octets = client
        .read_octets(LONG, None, &mut |octets| seen.push(octets))
        .await
        .unwrap();
    assert_eq!(octets, long(sap), "{endpoint}");
    assert!(seen.len() > 10 && seen.is_sorted(), "{seen:?}");
    let unknown = dlms::cosem::AttributeDescriptor {
        attribute: 7,
        ..NAME
    };
    assert!(matches!(
        client.read(unknown).await,
        Err(ClientError::Refused(DataAccessResult::ObjectUndefined))
    ));
    client.release().await;
}

#[tokio::test]
async fn tcp_and_udp_and_hdlc_carry_whole_sessions() {
    for endpoint in [
        "tcp://127.0.0.1:0",
        "tcp://[::1]:0",
        "udp://127.0.0.1:0",
        "hdlc+tcp://127.0.0.1:0",
        "hdlc+tcp://127.0.0.1:0?address=17&window=4&info=512",
    ] {
        let endpoint = listen(endpoint, &[1, 2, 77], Limits::default()).await;
        for sap in [1, 2, 77] {
            check(&endpoint, sap).await;
        }
    }
}

#[tokio::test]
async fn tls_carries_a_session_only_between_those_who_show_the_right_certificates() {
    let (papers, others) = (Papers::new(), Papers::new());
    let listening = format!(
        "tls://127.0.0.1:0?ca={}&cert={}&key={}",
        papers.at("ca.pem"),
        papers.at("meter.example.pem"),
        papers.at("meter.example.key")
    );
    let local = listen(&listening, &[1], Limits::default()).await;
    let port = local.host_port().unwrap().port;
    let client = |ca: &Papers, own: Option<&Papers>, name: &str| -> Endpoint {
        let own = own.map_or_else(String::new, |own| {
            format!(
                "&cert={}&key={}",
                own.at("client.example.pem"),
                own.at("client.example.key")
            )
        });
        format!(
            "tls://127.0.0.1:{port}?ca={}{own}&name={name}",
            ca.at("ca.pem")
        )
        .parse()
        .unwrap()
    };
    check(&client(&papers, Some(&papers), "meter.example"), 1).await;
    for (what, endpoint) in [
        (
            "an authority that did not sign the meter",
            client(&others, Some(&papers), "meter.example"),
        ),
        (
            "a certificate of another authority",
            client(&papers, Some(&others), "meter.example"),
        ),
        ("no certificate", client(&papers, None, "meter.example")),
        (
            "another name",
            client(&papers, Some(&papers), "other.example"),
        ),
    ] {
        let refused =
            Client::connect(&endpoint, Association::public(1), &surroundings(), LIMIT).await;
        assert!(
            matches!(
                refused,
                Err(ClientError::Link(
                    LinkError::Tls(_) | LinkError::Io(_) | LinkError::Closed
                ))
            ),
            "{what} was let in"
        );
    }
    let nameless: Endpoint = format!("tls://127.0.0.1:{port}").parse().unwrap();
    let refused = Client::connect(&nameless, Association::public(1), &surroundings(), LIMIT).await;
    let Err(refused) = refused else {
        panic!("connected without an authority")
    };
    assert_eq!(
        refused.to_string(),
        "TLS: name the authority of the peer's certificate: ?ca=FILE"
    );
}

#[tokio::test]
async fn a_silent_peer_delays_nobody() {
    let endpoint = listen("tcp://127.0.0.1:0", &[1], Limits::default()).await;
    // One connection says nothing after half a header.
    let mut silent = reach(&endpoint).await;
    silent.write_all(&[0, 1, 0]).await.unwrap();
    check(&endpoint, 1).await;
    // What is no wrapper is cut off at once.
    let mut wrong = reach(&endpoint).await;
    wrong.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    hung_up(wrong).await;
    check(&endpoint, 1).await;
    drop(silent);
}

#[tokio::test]
async fn silent_peers_are_given_up_and_then_others_get_in() {
    let limits = Limits {
        links_max: 2,
        ..Limits::default()
    };
    let service = Service {
        idle: Duration::from_secs(2),
        ..Service::default()
    };
    let endpoint = listen_as("tcp://127.0.0.1:0", &[1], limits, service).await;
    let mut silent = Vec::new();
    for _ in 0..2 {
        let mut stream = reach(&endpoint).await;
        stream.write_all(&[0, 1, 0]).await.unwrap();
        silent.push(stream);
    }
    // Both places are taken: it gets in when one of them was given up.
    check(&endpoint, 1).await;
    let gone = |stream: &TcpStream| matches!(stream.try_read(&mut [0; 8]), Ok(0));
    assert!(silent.iter().any(gone), "the third was let in beside two");
    for stream in silent {
        hung_up(stream).await;
    }
}

#[tokio::test]
async fn a_peer_that_never_shakes_hands_is_given_up() {
    let papers = Papers::new();
    let listening = format!(
        "tls://127.0.0.1:0?ca={}&cert={}&key={}",
        papers.at("ca.pem"),
        papers.at("meter.example.pem"),
        papers.at("meter.example.key")
    );
    let limits = Limits {
        handshake: Duration::from_millis(200),
        ..Limits::default()
    };
    let endpoint = listen(&listening, &[1], limits).await;
    hung_up(reach(&endpoint).await).await;
}

/// A connection that has not said anything yet.
async fn reach(endpoint: &Endpoint) -> TcpStream {
    let at = endpoint.host_port().unwrap();
    TcpStream::connect((at.host.as_str(), at.port))
        .await
        .unwrap()
}

/// Waits until the other side has ended a connection.
async fn hung_up(mut stream: TcpStream) {
    let ended = tokio::time::timeout(LIMIT, stream.read(&mut [0; 64]))
        .await
        .expect("still open");
    assert_eq!(ended.unwrap_or(0), 0);
}

#[tokio::test]
async fn no_answer_is_told_with_what_was_waited_for() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let endpoint: Endpoint = format!("tcp://127.0.0.1:{port}").parse().unwrap();
    let mut association = Association::public(1);
    association.config.timeout = Duration::from_millis(50);
    let failed = Client::connect(&endpoint, association, &surroundings(), LIMIT).await;
    assert!(matches!(
        failed,
        Err(ClientError::Failed(Failure::NoAnswer(Phase::Associating)))
    ));
    drop(silent);
    let refused = Client::connect(&endpoint, Association::public(1), &surroundings(), LIMIT).await;
    assert!(matches!(refused, Err(ClientError::Link(LinkError::Io(_)))));
}

#[tokio::test]
async fn a_request_that_is_dropped_does_not_answer_the_next() {
    let endpoint = listen("tcp://127.0.0.1:0", &[1], Limits::default()).await;
    let mut client = Client::connect(&endpoint, Association::public(1), &surroundings(), LIMIT)
        .await
        .unwrap();
    for _ in 0..20 {
        // Dropped after it was polled once: sent, and not answered yet.
        let mut unheard = |_| {};
        let mut request = Box::pin(client.read_octets(LONG, None, &mut unheard));
        let polled = std::future::poll_fn(|cx| Poll::Ready(request.as_mut().poll(cx).is_pending()));
        assert!(polled.await, "answered before it could be dropped");
        drop(request);
        assert_eq!(
            client.read_octets(NAME, None, &mut |_| {}).await.unwrap(),
            name(1)
        );
    }
}

#[tokio::test]
async fn hdlc_goes_over_a_serial_line() {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let (one, other) = pty_pair();
    let meter: Endpoint = format!("serial://{}?baud=115200", one.display())
        .parse()
        .unwrap();
    let reader: Endpoint = format!("serial://{}?baud=115200", other.display())
        .parse()
        .unwrap();
    let mut listener = Listener::bind(&meter, &[1], Limits::default(), Arc::clone(&clock))
        .await
        .unwrap();
    let accepted = listener.accept().await.unwrap();
    tokio::spawn(serve(
        accepted.link,
        Arc::new(Fleet(vec![1])),
        Service::default(),
        clock,
    ));
    check(&reader, 1).await;
}

/// Two pseudo-terminals whose masters are joined: a serial cable.
fn pty_pair() -> (PathBuf, PathBuf) {
    use tokio_serial::SerialPort as _;
    let (mut master_one, slave_one) = tokio_serial::SerialStream::pair().unwrap();
    let (mut master_two, slave_two) = tokio_serial::SerialStream::pair().unwrap();
    let paths = (
        PathBuf::from(slave_one.name().unwrap()),
        PathBuf::from(slave_two.name().unwrap()),
    );
    tokio::spawn(async move {
        let _held = (slave_one, slave_two);
        tokio::io::copy_bidirectional(&mut master_one, &mut master_two).await
    });
    paths
}

#[tokio::test]
async fn a_meter_that_is_silent_on_hdlc_is_given_up() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let endpoint: Endpoint = format!("hdlc+tcp://127.0.0.1:{port}").parse().unwrap();
    let failed = Client::connect(&endpoint, Association::public(1), &surroundings(), LIMIT).await;
    assert!(matches!(
        failed,
        Err(ClientError::Link(LinkError::DataLink(_)))
    ));
}
