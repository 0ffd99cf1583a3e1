//! Orders as a client of Disconnect control (class 70) and Data (class 1) gives them; an order to
//! a concentrator as `docs/concentrator.md` has it.

use dlms::axdr::{Data, RawData};
use dlms::client::Failure;
use dlms::cosem::{AttributeDescriptor, MethodDescriptor, Obis};
use dlms::xdlms::DataAccessResult;
use link::{Client, ClientError};
use model::{BreakerState, LogicalDeviceName, MessageClass, Timestamp};

use crate::collector::RegisterRef;
use crate::concentrators::{PAIR, PairWord};
use crate::meters::BREAKER;
use crate::store::{MeterOrderKind, ReadBack};

/// Disconnect control.
const BREAKER_CLASS: u16 = 70;
/// `remote_disconnect`.
const REMOTE_DISCONNECT: i8 = 1;
/// `remote_reconnect`.
const REMOTE_RECONNECT: i8 = 2;

/// Consumer message, class 1, 0-0:96.13.0.255.
const MESSAGE: Obis = Obis::new(0, 0, 96, 13, 0, 255);

/// What came of giving an order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// The meter says that it was done.
    Done(String),
    /// The meter says no.
    Refused(String),
    /// Nothing left the head end.
    NotSent(String),
    /// No answer that can be trusted.
    Nothing(String),
}

/// Gives an order, and waits for the answer to it. A link that loses messages may repeat one to the
/// last octet, which the meter answers and does not obey again.
pub(super) async fn give(client: &mut Client, kind: MeterOrderKind, text: &str) -> Answered {
    client.set_class(MessageClass::Control);
    let before = client.sent();
    let given = match kind {
        MeterOrderKind::Connect => switch(client, REMOTE_RECONNECT).await,
        MeterOrderKind::Disconnect => switch(client, REMOTE_DISCONNECT).await,
        MeterOrderKind::Text => {
            let attribute = AttributeDescriptor::new(1, MESSAGE, 2);
            let text = Data::octet_string(text.as_bytes());
            client.write(attribute, &text).await
        }
        MeterOrderKind::Read => Ok(()),
        MeterOrderKind::Switchover => {
            let handed_over = hand_over(client, text).await;
            client.set_class(MessageClass::Usage);
            return handed_over;
        }
    };
    client.set_class(MessageClass::Usage);
    match given {
        Ok(()) => Answered::Done("The meter answered: success.".to_owned()),
        Err(error) => answered(&error, client.sent() > before),
    }
}

async fn switch(client: &mut Client, method: i8) -> Result<(), ClientError> {
    let method = MethodDescriptor::new(BREAKER_CLASS, BREAKER, method);
    client
        .invoke(method, Some(&Data::Integer(0)))
        .await
        .map(drop)
}

/// Has a concentrator hand all segments over to `other`, where it says that this can be, in the
/// epoch in which it has them: an order that comes late, or twice, is about another epoch.
async fn hand_over(client: &mut Client, other: &str) -> Answered {
    let attribute = AttributeDescriptor::new(PAIR.class, PAIR.object, PAIR.attribute);
    let told = match client.read(attribute).await {
        Ok(told) => PairWord::decode(&told),
        Err(_) => None,
    };
    let Some(word) = told else {
        return Answered::NotSent("It does not tell how it stands with another one.".to_owned());
    };
    let pair = match word.can_switch() {
        Ok(pair) if pair.peer.as_str() == other => pair,
        Ok(_) => return Answered::NotSent("Another concentrator stands by for it.".to_owned()),
        Err(why) => return Answered::NotSent(why.to_string()),
    };
    let value = Data::Structure(vec![
        Data::octet_string(other.as_bytes()),
        Data::Long64Unsigned(pair.epoch),
    ]);
    let before = client.sent();
    match client.write(attribute, &value).await {
        Ok(()) => Answered::Done("The concentrator answered: success.".to_owned()),
        Err(ClientError::Refused(DataAccessResult::TemporaryFailure)) => Answered::Refused(
            "The concentrator refused: the other one is away or not in step.".to_owned(),
        ),
        Err(ClientError::Refused(DataAccessResult::ScopeOfAccessViolated)) => Answered::Refused(
            "The concentrator refused: segments changed hands meanwhile.".to_owned(),
        ),
        Err(error) => answered(&error, client.sent() > before),
    }
}

/// Says what an error means for an order of which something was sent already, or nothing.
fn answered(error: &ClientError, sent: bool) -> Answered {
    let sentence = || {
        let mut text = error.to_string();
        if let Some(first) = text.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        text.push('.');
        text
    };
    match error {
        ClientError::Refused(_)
        | ClientError::NotDone(_)
        | ClientError::Failed(Failure::Exception(_) | Failure::ServiceError(_)) => {
            Answered::Refused(sentence())
        }
        ClientError::Failed(
            Failure::NotOffered(_)
            | Failure::NoRoom
            | Failure::NotReserved
            | Failure::NoKeys
            | Failure::Counter(_)
            | Failure::Protect(_)
            | Failure::NotAssociated,
        )
        | ClientError::Entropy(_)
            // A long text goes in blocks: what fails behind the first of them was sent in part.
            if !sent =>
        {
            Answered::NotSent(sentence())
        }
        _ => Answered::Nothing(sentence()),
    }
}

/// Names what shows whether an order was obeyed.
pub(super) const fn shown_by(kind: MeterOrderKind) -> &'static [RegisterRef] {
    const OUTPUT: RegisterRef = RegisterRef {
        class: BREAKER_CLASS,
        object: BREAKER,
        attribute: 2,
    };
    const CONTROL: RegisterRef = RegisterRef {
        attribute: 3,
        ..OUTPUT
    };
    const TEXT: RegisterRef = RegisterRef {
        class: 1,
        object: MESSAGE,
        attribute: 2,
    };
    match kind {
        MeterOrderKind::Switchover => &[PAIR],
        MeterOrderKind::Text => &[TEXT],
        MeterOrderKind::Connect | MeterOrderKind::Disconnect => &[OUTPUT, CONTROL],
        MeterOrderKind::Read => &[],
    }
}

/// Reads what the meter, whose name is `own`, gave of [`shown_by`]; nothing where it gave nothing.
pub(super) fn read_back(
    kind: MeterOrderKind,
    own: &LogicalDeviceName,
    told: &[Option<Vec<u8>>],
    at: Timestamp,
) -> Option<ReadBack> {
    let value = |index: usize| {
        let octets = told.get(index)?.as_ref()?;
        RawData::new(octets).decode().ok()
    };
    let mut read = ReadBack {
        output: None,
        control: None,
        text: None,
        at,
    };
    if kind == MeterOrderKind::Switchover {
        if let Some(PairWord::Of(pair)) = value(0).and_then(|it| PairWord::decode(&it)) {
            if pair.is_handed_over() {
                read.text = Some(pair.peer.to_string());
            } else if pair.held > 0 {
                read.text = Some(own.to_string());
            }
        }
    } else if kind == MeterOrderKind::Text {
        if let Some(Data::OctetString(text) | Data::VisibleString(text)) = value(0) {
            read.text = Some(String::from_utf8_lossy(&text).into_owned());
        }
    } else {
        if let Some(Data::Boolean(output)) = value(0) {
            read.output = Some(output);
        }
        if let Some(Data::Enum(control)) = value(1) {
            read.control = Some(BreakerState::from_control_state(control));
        }
    }
    let is_there = read.output.is_some() || read.control.is_some() || read.text.is_some();
    is_there.then_some(read)
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement.
    use super::*;

    #[test]
    fn what_was_sent_in_part_is_not_told_as_not_sent() {
        for failure in [Failure::NoRoom, Failure::NotReserved, Failure::NoKeys] {
            let error = ClientError::Failed(failure);
            let told = answered(&error, false);
            assert!(matches!(told, Answered::NotSent(_)), "{told:?}");
            let told = answered(&error, true);
            assert!(matches!(told, Answered::Nothing(_)), "{told:?}");
        }
        // What the meter says no to it says no to, however it came.
        let refusal = ClientError::Refused(DataAccessResult::ReadWriteDenied);
        let told = answered(&refusal, true);
        assert!(matches!(told, Answered::Refused(_)), "{told:?}");
    }
}
