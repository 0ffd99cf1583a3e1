//! Floods and silence, from the meters' side and from the WAN: whoever else is
//! there is served.
//!
//! Evidence: robustness, with real TCP.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use concentrator::direct::RouterLimits;
use dlms::server::{Input, Output, Server};
use link::{
    Endpoint, IpLimits, IpMeter, IpSegment, LinkError, LinkExt as _, Message, Node, Sap, Segment,
    SegmentEvent, connect,
};
use model::MessageClass;

use crate::device::{Device, NAME};
use crate::shell::{
    LIMIT, Running, clock, meter_name, meters, read, run, servers, start, start_with,
};

/// What a meter does once it has said its name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    /// Tells what nobody asked for, as fast as it goes.
    Pushes,
    /// Takes nothing any more, and says nothing.
    Deaf,
}

/// A meter that is well until it is told to begin.
struct Odd {
    endpoint: Endpoint,
    begin: Arc<AtomicBool>,
}

/// The name of an odd meter.
const ODD: Sap = 900;

fn odd(then: Then) -> Odd {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
    let begin = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&begin);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            serve(stream.unwrap(), then, &told);
        }
    });
    Odd {
        endpoint: endpoint.parse().unwrap(),
        begin,
    }
}

fn serve(mut stream: TcpStream, then: Then, begin: &AtomicBool) {
    let mut value = vec![0x09, 16];
    value.extend(meter_name(ODD).bytes());
    let mut meter = Device {
        values: [(NAME, value)].into(),
    };
    let mut server = Server::default();
    stream
        .set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    // A DataNotification in clear, from 1 to client 102.
    let mut push = vec![0, 1, 0, 1, 0, 102, 0, 8, 0x0F, 0, 0, 0, 1, 0, 0x11, 7];
    push = push.repeat(200);
    loop {
        if begin.load(Ordering::Relaxed) {
            match then {
                Then::Pushes => {
                    if stream.write_all(&push).is_err() {
                        return;
                    }
                    continue;
                }
                Then::Deaf => {
                    std::thread::sleep(Duration::from_millis(20));
                    continue;
                }
            }
        }
        let mut header = [0; 8];
        match stream.peek(&mut header) {
            Ok(0) => return,
            Ok(8..) => {}
            // Nothing, or not all of it, has come yet.
            Ok(_) | Err(_) => continue,
        }
        stream.read_exact(&mut header).unwrap();
        let mut apdu = vec![0; usize::from(u16::from_be_bytes([header[6], header[7]]))];
        while stream.peek(&mut apdu).is_ok_and(|count| count < apdu.len()) {}
        stream.read_exact(&mut apdu).unwrap();
        let client = u16::from_be_bytes([header[2], header[3]]);
        let input = Input::Apdu {
            client,
            broadcast: false,
            octets: &apdu,
        };
        server.handle(input, dlms::Instant::ORIGIN, &mut meter);
        while let Output::Transmit { octets, .. } = server.poll() {
            let length = u16::try_from(octets.len()).unwrap();
            let mut answer = Vec::new();
            for word in [1, 1, client, length] {
                answer.extend(word.to_be_bytes());
            }
            answer.extend(octets);
            stream.write_all(&answer).unwrap();
        }
    }
}

/// Good meters, and an odd one.
async fn street(folder: &std::path::Path, odd: &Odd) -> Running {
    let good = meters(3).await;
    let mut all: Vec<_> = servers(3)
        .into_iter()
        .map(|server| IpMeter {
            endpoint: good.clone(),
            server,
        })
        .collect();
    all.push(IpMeter {
        endpoint: odd.endpoint.clone(),
        server: 1,
    });
    let running = start_with(folder, all, RouterLimits::default()).await;
    running.there(4).await;
    running
}

/// Reads the good meters once.
async fn all_read(running: &Running) {
    for meter in 1..=3 {
        let name = read(&running.at, running.sap(meter), NAME.instance, 1).await;
        let octets = dlms::codec::Wire::to_octets(&name);
        assert_eq!(&octets[2..], meter_name(meter).as_bytes());
    }
}

fn counters(running: &Running) -> concentrator::direct::Counters {
    let core = running.core.lock().unwrap_or_else(PoisonError::into_inner);
    core.counters()
}

#[tokio::test]
async fn a_meter_that_pushes_without_end_leaves_the_others_alive() {
    let folder = tempfile::tempdir().unwrap();
    let odd = odd(Then::Pushes);
    let running = street(folder.path(), &odd).await;
    // Somebody who hears what is pushed.
    let mut ear = connect(&running.at, (16, 1), &clock(), LIMIT)
        .await
        .unwrap();
    let hello = Message {
        source: 16,
        destination: running.sap(1),
        class: MessageClass::Request,
        payload: vec![0x60],
    };
    ear.send(hello).unwrap();
    ear.flush().await.unwrap();
    odd.begin.store(true, Ordering::Relaxed);
    let much = async {
        while counters(&running).unasked < 2_000 {
            all_read(&running).await;
        }
    };
    tokio::time::timeout(LIMIT, much).await.unwrap();
    all_read(&running).await;
    // Of the flood the ear has its bound and no more.
    let (mut heard, mut others) = (0, 0);
    while let Ok(told) = tokio::time::timeout(Duration::from_millis(200), ear.receive()).await {
        if told.unwrap().source == running.sap(ODD) {
            heard += 1;
        } else {
            others += 1;
        }
        assert!(heard < 200, "what nobody asked for is not metered");
        assert!(others < 50, "the others' pushes: {others}");
    }
    assert!(heard >= 10, "{heard}");
    running.end().await;
}

#[tokio::test]
async fn a_meter_that_takes_nothing_leaves_the_others_alive() {
    let folder = tempfile::tempdir().unwrap();
    let odd = odd(Then::Deaf);
    let running = street(folder.path(), &odd).await;
    odd.begin.store(true, Ordering::Relaxed);
    let mut link = connect(&running.at, (3, 1), &clock(), LIMIT).await.unwrap();
    for _ in 0..500 {
        let message = Message {
            source: 3,
            destination: running.sap(ODD),
            class: MessageClass::Request,
            payload: vec![0xC0; 60_000],
        };
        link.send(message).unwrap();
        tokio::time::timeout(LIMIT, link.flush())
            .await
            .unwrap()
            .unwrap();
    }
    all_read(&running).await;
    assert!(counters(&running).full > 0, "its queue has no bound");
    running.end().await;
}

#[tokio::test]
async fn connections_that_say_nothing_keep_nobody_out() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = meters(3).await;
    let limits = RouterLimits::default();
    let running = start(folder.path(), &endpoint, servers(3), limits).await;
    running.there(3).await;
    let mut silent = Vec::new();
    // More than may be open: those that waited for longest make room.
    for _ in 0..290 {
        let link = connect(&running.at, (16, 1), &clock(), LIMIT).await;
        silent.push(link.unwrap());
    }
    all_read(&running).await;
    // And one that is in use stays, whoever comes after it.
    let mut used = crate::shell::client(&running.at, running.sap(1)).await;
    for _ in 0..40 {
        let link = connect(&running.at, (16, 1), &clock(), LIMIT).await;
        silent.push(link.unwrap());
        silent.remove(0);
    }
    used.read(NAME).await.unwrap();
    used.release().await;
    running.end().await;
}

/// A segment from which something comes whenever somebody looks.
struct Noisy(bool);

impl Segment for Noisy {
    fn send(&mut self, _: Option<Node>, _: Message) -> Result<(), LinkError> {
        Err(LinkError::Closed)
    }

    fn poll_event(&mut self, _: &mut Context<'_>) -> Poll<Result<SegmentEvent, LinkError>> {
        let node = Node(0);
        if !std::mem::replace(&mut self.0, true) {
            return Poll::Ready(Ok(SegmentEvent::Joined {
                node,
                server: 1,
                title: None,
                hops: 0,
            }));
        }
        let message = Message {
            source: 1,
            destination: 102,
            class: MessageClass::Usage,
            payload: vec![0x0F; 100],
        };
        Poll::Ready(Ok(SegmentEvent::Received(node, message)))
    }

    fn window(&self) -> usize {
        4
    }

    fn payload_max(&self) -> usize {
        1_024
    }

    fn medium(&self) -> &'static str {
        "ip"
    }

    fn is_one_wire(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn a_segment_that_never_ceases_leaves_the_others_alive() {
    let folder = tempfile::tempdir().unwrap();
    let good = meters(3).await;
    let all = servers(3).into_iter().map(|server| IpMeter {
        endpoint: good.clone(),
        server,
    });
    let quiet = IpSegment::start(all.collect(), IpLimits::default(), &clock());
    let segments: Vec<Box<dyn Segment>> = vec![Box::new(Noisy(false)), Box::new(quiet)];
    let running = run(folder.path(), segments, RouterLimits::default()).await;
    running.there(3).await;
    all_read(&running).await;
    assert!(counters(&running).nobody > 1_000, "there was no flood");
    running.end().await;
}

/// Half a message, and then nothing: at the WAN, in every place that may be
/// taken.
#[tokio::test]
async fn messages_that_never_end_keep_nobody_out() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = meters(3).await;
    let limits = RouterLimits::default();
    let running = start(folder.path(), &endpoint, servers(3), limits).await;
    running.there(3).await;
    let port = running.at.host_port().unwrap().port;
    let halves: Vec<_> = (0..60)
        .map(|number| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            // A header that announces 65,535 octets, and up to some of them.
            let whole = [&[0, 1, 0, 16, 1, 0, 0xFF, 0xFF][..], &[0xC0; 60]].concat();
            stream.write_all(&whole[..number]).unwrap();
            stream
        })
        .collect();
    all_read(&running).await;
    drop(halves);
    running.end().await;
}
