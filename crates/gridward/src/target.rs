//! Which attribute or method is meant: `1-0:1.8.0:2`, `3/1-0:1.8.0:2`.

use dlms::axdr::{Data, RawData};
use dlms::cosem::{AttributeDescriptor, Obis, ObjectListElement};
use link::{Client, ClientError};

use crate::failure::Failure;

/// The association object that lists what there is (IEC 62056-6-2, class 15).
const OBJECT_LIST: AttributeDescriptor =
    AttributeDescriptor::new(15, Obis::new(0, 0, 40, 0, 0, 255), 2);

/// An attribute or a method of an object, whose class may still be open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) class_id: Option<u16>,
    pub(crate) obis: Obis,
    pub(crate) member: Option<i8>,
}

impl Target {
    /// Reads `[CLASS/]OBIS[:MEMBER]`.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let wrong = || {
            Failure::usage(format!("{text:?} names no object")).hint(
                "write an OBIS code, with the attribute or method behind a colon and, if need \
                 be, the class in front: 1-0:1.8.0, 0.0.1.0.0.255:2, 3/1-0:1.8.0:2",
            )
        };
        let (class_id, rest) = match text.split_once('/') {
            Some((class_id, rest)) => (Some(class_id.trim().parse().map_err(|_| wrong())?), rest),
            None => (None, text),
        };
        let member = rest
            .rsplit_once(':')
            .and_then(|(head, tail)| Some((head, tail.trim().parse::<i8>().ok()?)))
            .filter(|(head, _)| head.parse::<Obis>().is_ok());
        let (obis, member) = match member {
            Some((head, member)) => (head, Some(member)),
            None => (rest, None),
        };
        Ok(Self {
            class_id,
            obis: obis.parse().map_err(|_| wrong())?,
            member,
        })
    }
}

/// Tells the class that an object with this code most likely has: what the
/// SMR 5.0 profile and the inventories of Landis+Gyr E350, E570 and MetCom
/// MCS301 agree on.
pub(crate) fn likely_class(obis: Obis) -> Option<u16> {
    let [a, _, c, d, e, _] = obis.0;
    Some(match (a, c, d, e) {
        (0, 1, 0, 0) => 8,
        (0, 10, 0, _) => 9,
        (0, 11, 0, _) => 11,
        (0, 13, 0, _) => 20,
        (0, 15, _, _) => 22,
        (0, 17, 0, _) => 71,
        (0, 22, 0, _) => 23,
        (0, 24, 1, _) => 72,
        (0, 25, 9, _) => 40,
        (0, 40, 0, _) => 15,
        (0, 41, 0, _) => 17,
        (0, 42, 0, _) => 1,
        (0, 43, 0, _) => 64,
        (0, 43, 1, _) => 1,
        (0, 44, 0, _) => 18,
        (0, 96, 3, 10) | (0, 24, 4, _) => 70,
        (0, 96 | 97, ..) => 1,
        (_, 99 | 98, ..) => 7,
        (1, 0, 0, _) | (1, 0, 2, 0) => 1,
        (1, 1..=92, 6, _) => 4,
        (1, 1..=92, 7..=10, _) => 3,
        _ => return None,
    })
}

/// Reads the list of all objects; `progress` hears how many octets came.
pub(crate) async fn object_list(
    client: &mut Client,
    progress: &mut (dyn FnMut(usize) + Send),
) -> Result<Vec<ObjectListElement>, ClientError> {
    let octets = client.read_octets(OBJECT_LIST, None, progress).await?;
    let list = RawData::new(&octets).decode()?;
    // One strange entry shall not hide the others.
    Ok(list
        .elements()
        .unwrap_or_default()
        .iter()
        .filter_map(|element| ObjectListElement::from_data(element).ok())
        .collect())
}

/// Finds classes in the meter's own list where they are not known.
pub(crate) struct Classes {
    list: Option<Vec<ObjectListElement>>,
}

impl Classes {
    pub(crate) const fn new() -> Self {
        Self { list: None }
    }

    /// Tells the class as the user says, else as is likely.
    pub(crate) fn known(target: &Target) -> Option<u16> {
        target.class_id.or_else(|| likely_class(target.obis))
    }

    /// Tells the class as the user says, else as is likely, else as the meter
    /// lists it.
    pub(crate) async fn of(
        &mut self,
        client: &mut Client,
        target: &Target,
    ) -> Result<Option<u16>, ClientError> {
        match Self::known(target) {
            Some(class_id) => Ok(Some(class_id)),
            None => self.listed(client, target.obis).await,
        }
    }

    /// Tells the class as the meter lists it.
    pub(crate) async fn listed(
        &mut self,
        client: &mut Client,
        obis: Obis,
    ) -> Result<Option<u16>, ClientError> {
        if self.list.is_none() {
            self.list = Some(object_list(client, &mut |_| {}).await?);
        }
        let list = self.list.as_deref().unwrap_or_default();
        Ok(list
            .iter()
            .find(|element| element.logical_name == obis)
            .map(|element| element.class_id))
    }
}

/// What is said where the meter does not list an object.
pub(crate) fn not_there(obis: Obis) -> Failure {
    Failure::new(format!("the meter lists no object {obis}"))
        .hint("`gridward objects` lists what there is; CLASS/OBIS says which class is meant")
}

/// Whether an attribute is a value that another attribute scales.
pub(crate) const fn scaler_attribute(class_id: u16, attribute: i8) -> Option<i8> {
    match (class_id, attribute) {
        // Register, extended register.
        (3 | 4, 2) => Some(3),
        // Demand register.
        (5, 2 | 3) => Some(4),
        _ => None,
    }
}

/// Decodes a value that came as octets.
pub(crate) fn decode(octets: &[u8]) -> Result<Data, ClientError> {
    Ok(RawData::new(octets).decode()?)
}
