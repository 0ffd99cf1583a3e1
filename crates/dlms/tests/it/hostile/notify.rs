//! What a device tells without being asked, both ways. Evidence:
//! self-agreement, and robustness.

use dlms::client::{Event, NOTIFICATIONS_MAX};
use dlms::codec::Wire;
use dlms::security::{Protection, Wrapping};
use dlms::xdlms::{DataNotification, EventNotificationRequest, LongInvokeIdAndPriority};

use super::{Pair, SHORT, device, get, manager, strict_with};
use crate::pair::{Faults, ways};

fn push(invoke: LongInvokeIdAndPriority) -> Vec<u8> {
    DataNotification {
        invoke,
        date_time: None,
        date_time_tagged: false,
        body: dlms::axdr::RawData::new(&[0x12, 0x12, 0x34]),
    }
    .to_octets()
}

fn report() -> Vec<u8> {
    EventNotificationRequest {
        time: None,
        attribute: SHORT,
        value: dlms::axdr::RawData::new(&[0x12, 0x12, 0x34]),
    }
    .to_octets()
}

#[test]
fn notifications_come_through_and_are_confirmed_in_every_way_to_associate() {
    for (sap, config) in ways() {
        let way = format!("{sap} {:?} {:?}", config.protection, config.wrapping);
        let least = config.protection;
        let dedicated = config.wrapping.is_dedicated();
        let mut pair = Pair::new(config, sap, Faults::default());
        pair.device.terms.get_mut(&sap).unwrap().protection = least;
        if dedicated {
            pair.device.dedicated = Some([0x42; 16].into());
        }
        pair.associate().unwrap();
        let told = [
            push(LongInvokeIdAndPriority::unconfirmed(1)),
            push(LongInvokeIdAndPriority::confirmed(2)),
            report(),
        ];
        for apdu in &told {
            pair.notify(apdu);
            let Some(Event::Notification(notification)) = pair.events.pop_front() else {
                panic!("{way}")
            };
            assert_eq!(notification.apdu, *apdu, "{way}");
            assert_eq!(
                notification.verified.is_some(),
                least.authenticated(),
                "{way}"
            );
        }
        assert_eq!(pair.device.confirmed, [2], "{way}");
        assert!(pair.request(get(&[SHORT])).is_ok(), "{way}");
    }
}

#[test]
fn forged_and_repeated_notifications_are_dropped_and_counted() {
    let mut pair = strict_with(manager(Wrapping::Glo));
    pair.associate().unwrap();
    pair.notify(&push(LongInvokeIdAndPriority::unconfirmed(1)));
    pair.events.clear();
    let (_, sealed) = pair.sent.last().unwrap().clone();
    let before = pair.client.counts().unverified;
    let mut changed = sealed.clone();
    *changed.last_mut().unwrap() ^= 1;
    for forged in [
        sealed,
        changed,
        push(LongInvokeIdAndPriority::confirmed(9)),
        report(),
    ] {
        pair.input(dlms::client::Input::Apdu(&forged));
    }
    assert!(pair.events.is_empty());
    assert_eq!(pair.client.counts().unverified, before + 4);
    assert_eq!(pair.client.security().unwrap().send.next(), 3);
}

#[test]
fn a_flood_of_notifications_is_bounded() {
    let config = crate::pair::config(device::PUBLIC, Protection::None, Wrapping::Glo);
    let mut pair = Pair::new(config, device::PUBLIC, Faults::default());
    pair.associate().unwrap();
    for id in 0..1_000 {
        let apdu = push(LongInvokeIdAndPriority::unconfirmed(id));
        pair.client
            .handle(dlms::client::Input::Apdu(&apdu), pair.now);
    }
    let mut told = 0;
    while let dlms::client::Output::Event(Event::Notification(_)) = pair.client.poll() {
        told += 1;
    }
    assert_eq!(told, NOTIFICATIONS_MAX);
    assert_eq!(
        pair.client.counts().notifications,
        1_000 - u64::try_from(NOTIFICATIONS_MAX).unwrap()
    );
}
