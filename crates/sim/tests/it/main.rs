//! Tests of the crate through its public surface, in one binary.
//!
//! Evidence: self-agreement; that virtual time passes as it should and that a
//! seed gives the same run again.
#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails shall stop where it does; helpers are not test functions"
)]

mod powerline;
mod tree;

use std::time::Duration;

use link::{Clock as _, FaultPlan, Link, LinkError, LinkExt as _, Message};
use model::MessageClass;
use sim::{Network, SimClock, WAITING_MAX};

fn message(tag: u8) -> Message {
    Message {
        source: 1,
        destination: 2,
        class: MessageClass::Usage,
        payload: vec![tag],
    }
}

async fn arrivals(network: Network, number: u64) -> Vec<(u64, u8)> {
    let clock = SimClock::starting_at(0);
    let (mut near, mut far) = network.link(number);
    for tag in 0..100 {
        near.send(message(tag)).unwrap();
    }
    drop(near);
    let mut seen = Vec::new();
    while let Ok(message) = far.receive().await {
        seen.push((clock.now().as_micros() / 1_000, message.payload[0]));
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn hours_pass_in_virtual_time() {
    let network = Network {
        latency: Duration::from_secs(3_600),
        faults: FaultPlan::default(),
    };
    let seen = arrivals(network, 1).await;
    assert_eq!(seen.len(), 100);
    assert!(
        seen.iter()
            .all(|(at, _)| (3_600_000..3_600_010).contains(at)),
        "{seen:?}"
    );
    assert!(seen.iter().map(|(_, tag)| *tag).eq(0..100));
}

#[tokio::test(start_paused = true)]
async fn a_seed_gives_the_same_faults_again_and_another_gives_others() {
    let network = |seed| Network {
        latency: Duration::from_millis(20),
        faults: FaultPlan {
            seed,
            lose: 200,
            double: 100,
            swap: 100,
            corrupt: 100,
            cut_after: 0,
        },
    };
    let first = arrivals(network(7), 1).await;
    assert_eq!(first, arrivals(network(7), 1).await);
    assert_ne!(first, arrivals(network(8), 1).await);
    assert_ne!(
        first,
        arrivals(network(7), 2).await,
        "each link has faults of its own"
    );
    assert_ne!(first.len(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_link_is_bounded_and_ends_with_its_other_end() {
    let network = Network {
        latency: Duration::ZERO,
        faults: FaultPlan::default(),
    };
    let (mut near, far) = network.link(1);
    for _ in 0..WAITING_MAX {
        near.send(message(1)).unwrap();
    }
    assert!(matches!(
        near.send(message(1)),
        Err(LinkError::Full(MessageClass::Usage))
    ));
    drop(far);
    assert!(matches!(near.receive().await, Err(LinkError::Closed)));
}
