//! Messages that are lost, late or given up. Evidence: robustness.

use dlms::client::{Config, Event, Input, Output, Repeat, Response};

use super::{ECHO, LONG, Pair, SHORT, action, device, get, octets};
use crate::pair::{Faults, ways};

fn patient(config: Config) -> Config {
    Config {
        repeat: Repeat::Everything,
        repeats_max: 3,
        ..config
    }
}

/// Loses the message of each place in turn, once.
#[test]
fn each_message_of_a_session_may_be_lost_once() {
    for (sap, config) in ways() {
        let dedicated = config.wrapping.is_dedicated();
        let way = format!("{sap} {:?} {:?}", config.protection, config.wrapping);
        let mut place = 0;
        loop {
            let mut pair = Pair::new(patient(config.clone()), sap, Faults::default());
            if dedicated {
                pair.device.dedicated = Some([0x42; 16].into());
            }
            let mut passed = 0;
            pair.tamper = Some(Box::new(move |by_client, octets| {
                passed += 1;
                if passed == place + 1 {
                    Vec::new()
                } else {
                    vec![(by_client, octets)]
                }
            }));
            pair.associate()
                .unwrap_or_else(|failure| panic!("{way}, message {place}: {failure}"));
            let long = pair.device.values[&LONG.instance].clone();
            assert_eq!(
                pair.request(get(&[LONG])),
                Ok(Response::Get(vec![Ok(long)])),
                "{way}, message {place}"
            );
            if sap == device::MANAGER {
                let Ok(Response::Action(outcomes)) =
                    pair.request(action(&[(ECHO, Some(octets(600)))]))
                else {
                    panic!("{way}, message {place}")
                };
                assert_eq!(outcomes[0].returned, Some(Ok(octets(600))));
                assert_eq!(pair.device.invoked, 1, "{way}, message {place}");
            }
            pair.input(Input::Release);
            pair.drive();
            assert!(
                matches!(pair.events.pop_front(), Some(Event::Released(_))),
                "{way}, message {place}"
            );
            place += 1;
            if place >= pair.sent.len() {
                break;
            }
        }
        assert!(place > 20, "{way}: {place} messages");
    }
}

#[test]
fn a_request_that_was_cancelled_leaves_room_for_the_next() {
    for (sap, config) in ways() {
        let dedicated = config.wrapping.is_dedicated();
        for repeat in [Repeat::Nothing, Repeat::Everything] {
            let config = Config {
                repeat,
                ..config.clone()
            };
            let mut pair = Pair::new(config, sap, Faults::default());
            if dedicated {
                pair.device.dedicated = Some([0x42; 16].into());
            }
            pair.associate().unwrap();
            // Cancelled after each number of blocks of the answer.
            for blocks in 0..8 {
                let now = pair.now;
                pair.client.handle(Input::Request(get(&[LONG])), now);
                let mut late = None;
                let mut seen = 0;
                while seen <= blocks {
                    match pair.client.poll() {
                        Output::Transmit(apdu) => {
                            let mut answers = pair.attack(sap, &apdu);
                            seen += 1;
                            if seen > blocks {
                                late = answers.pop();
                            } else {
                                pair.client.handle(Input::Apdu(&answers[0]), now);
                            }
                        }
                        Output::Reserve(plan) => pair.client.handle(Input::Reserved(plan), now),
                        Output::Event(Event::Progress(_)) => {}
                        other => panic!("{other:?}"),
                    }
                }
                pair.client.handle(Input::Cancel, now);
                let value = pair.device.values[&SHORT.instance].clone();
                pair.client.handle(Input::Request(get(&[SHORT])), now);
                // The answer to what was cancelled comes first.
                pair.client.handle(Input::Apdu(&late.unwrap()), now);
                let mut read = None;
                while read.is_none() {
                    match pair.client.poll() {
                        Output::Transmit(apdu) => {
                            let answers = pair.attack(sap, &apdu);
                            pair.client.handle(Input::Apdu(&answers[0]), now);
                        }
                        Output::Reserve(plan) => pair.client.handle(Input::Reserved(plan), now),
                        Output::Event(Event::Response(response)) => read = Some(response),
                        other => panic!("{other:?}"),
                    }
                }
                assert_eq!(read, Some(Response::Get(vec![Ok(value)])));
            }
        }
    }
}

#[test]
fn releasing_while_a_request_is_under_way_gives_it_up() {
    let mut pair = super::strict();
    pair.associate().unwrap();
    pair.client.handle(Input::Request(get(&[SHORT])), pair.now);
    pair.input(Input::Release);
    pair.drive();
    assert!(matches!(pair.events.pop_front(), Some(Event::Released(_))));
}
