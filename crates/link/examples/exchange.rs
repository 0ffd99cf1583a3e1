//! Messages of all classes there and back over `sctp://` and `sctps://`: for
//! trying a back end or a peer of somebody else's.
//!
//! ```text
//! exchange papers FOLDER              certificates for both sides
//! exchange listen URL                 sends each message back, ends with the first association
//! exchange connect URL COUNT LENGTH   sends COUNT messages of LENGTH octets, waits for them
//! ```
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "an example may stop where it fails"
)]

use std::path::Path;
use std::sync::Arc;

use link::{Clock, Endpoint, LinkError, SctpDialer, SctpSocket, SystemClock};
use model::MessageClass;

/// Messages that are under way at once.
const AHEAD: usize = 200;

/// Identifiers of messages: those of each class count from here.
const FIRST: u32 = 1;

fn papers(folder: &Path) {
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    std::fs::create_dir_all(folder).unwrap();
    let certificate = authority.self_signed(&key).unwrap();
    std::fs::write(folder.join("ca.pem"), certificate.pem()).unwrap();
    let issuer = rcgen::Issuer::new(authority, key);
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["peer.example".to_owned()]).unwrap();
    let signed = params.signed_by(&key, &issuer).unwrap();
    std::fs::write(folder.join("peer.pem"), signed.pem()).unwrap();
    std::fs::write(folder.join("peer.key"), key.serialize_pem()).unwrap();
}

async fn listen(endpoint: &Endpoint, clock: &Arc<dyn Clock>) {
    let socket = SctpSocket::listen(endpoint, 1, clock).await.unwrap();
    println!("ready");
    let mut association = socket.accept().await.unwrap();
    association.secure().await.unwrap();
    let mut count = 0;
    let end = loop {
        let message = match association.receive().await {
            Ok(message) => message,
            Err(end) => break end,
        };
        loop {
            let payload = message.payload.clone();
            match association.send(message.class, message.protocol, payload) {
                Ok(()) => break,
                Err(LinkError::Full(_)) => association.flush().await.unwrap(),
                Err(error) => panic!("{error}"),
            }
        }
        count += 1;
    };
    println!("{count} sent back; {end}");
}

async fn connect(endpoint: &Endpoint, count: usize, length: usize, clock: &Arc<dyn Clock>) {
    let dialer = SctpDialer::default();
    let mut association = dialer.connect(endpoint, clock).await.unwrap();
    let mut events = association.observe();
    let (mut sent, mut received) = (0, 0);
    let mut next = MessageClass::ALL.map(|_| FIRST);
    let mut order = next;
    let payload = bytes::Bytes::from(vec![7; length]);
    while received < count {
        while sent < count && sent < received + AHEAD {
            let place = sent % next.len();
            let class = *MessageClass::ALL.get(place).unwrap();
            let number = next.get_mut(place).unwrap();
            match association.send(class, *number, payload.clone()) {
                Ok(()) => *number += 1,
                Err(LinkError::Full(_)) => break,
                Err(error) => panic!("{error}"),
            }
            sent += 1;
        }
        let message = association.receive().await.unwrap();
        let place = usize::from(message.class.priority());
        let expected = order.get_mut(place).unwrap();
        assert_eq!(message.protocol, *expected, "out of order");
        assert_eq!(message.payload.len(), length);
        *expected += 1;
        received += 1;
    }
    let status = association.status();
    for path in &status.paths {
        println!("{path:?}");
    }
    println!("{:?}", status.counters);
    while let Ok(event) = events.try_recv() {
        println!("{event:?}");
    }
    association.close().await.unwrap();
    println!("{received} of {count} came back");
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    match words.as_slice() {
        ["papers", folder] => papers(Path::new(folder)),
        ["listen", url] => runtime.block_on(listen(&url.parse().unwrap(), &clock)),
        ["connect", url, count, length] => {
            let (count, length) = (count.parse().unwrap(), length.parse().unwrap());
            runtime.block_on(connect(&url.parse().unwrap(), count, length, &clock));
        }
        _ => println!("exchange papers FOLDER | listen URL | connect URL COUNT LENGTH"),
    }
}
