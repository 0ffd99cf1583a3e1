//! Associations of SCTP for tests, both ends here.

use std::sync::Arc;
use std::time::Duration;

use link::{Clock, Endpoint, SctpAssociation, SctpDialer, SctpSocket, SystemClock};

use super::papers::Papers;

/// The longest that anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(100);

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::new())
}

pub(crate) async fn patiently<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what)
        .await
        .expect("nothing happened")
}

/// A URL with TLS, with the papers of one side.
pub(crate) fn protected(papers: &Papers, side: &str, rest: &str) -> String {
    format!(
        "sctps://127.0.0.1?ca={}&cert={}&key={}{rest}",
        papers.at("ca.pem"),
        papers.at(&format!("{side}.pem")),
        papers.at(&format!("{side}.key"))
    )
}

/// An association and its other end.
pub(crate) async fn pair(listening: &str, dialling: &str) -> (SctpAssociation, SctpAssociation) {
    let clock = clock();
    let listening: Endpoint = listening.parse().unwrap();
    let socket = SctpSocket::listen(&listening, 16, &clock).await.unwrap();
    let peer: Endpoint = dialling.parse().unwrap();
    let peer = peer
        .with_port(socket.port())
        .with_udp_port(socket.udp_port());
    let accept = async {
        let mut association = socket.accept().await.unwrap();
        association.secure().await.unwrap();
        association
    };
    let dialer = SctpDialer::default();
    let (there, here) =
        patiently(async { tokio::join!(accept, dialer.connect(&peer, &clock)) }).await;
    (here.unwrap(), there)
}
