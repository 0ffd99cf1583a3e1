//! What a server sends unasked.

use alloc::vec::Vec;

use crate::axdr::{DateTime, RawData};
use crate::codec::{DecodeError, Reader, Wire};
use crate::cosem::AttributeDescriptor;

use super::service::{
    LongInvokeIdAndPriority, date_time, expect_tag, last_data, optional, put_date_time,
    put_optional,
};

/// The tag of an octet string, which some meters put in front of a date-time
/// that should have none.
const OCTET_STRING: u8 = 0x09;

/// Pushes values (`Data-Notification`).
///
/// ```text
/// 0F long-invoke (4) length date-time value
/// ```
///
/// The body is everything to the end of the APDU; whether it is a value is
/// found when it is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataNotification<'a> {
    /// Ties the confirmation to it, where one is due.
    pub invoke: LongInvokeIdAndPriority,
    /// `date-time`: when it was sent.
    pub date_time: Option<DateTime>,
    /// A quirk: the date-time has a tag, `09 0C ..` in place of `0C ..`. Seen
    /// on Kaifa MA304H3E and MA309. No right form begins like that.
    pub date_time_tagged: bool,
    /// `notification-body`: the value.
    pub body: RawData<'a>,
}

impl<'a> Wire<'a> for DataNotification<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(0x0F);
        self.invoke.encode(out);
        if self.date_time_tagged {
            out.push(OCTET_STRING);
        }
        put_date_time(out, self.date_time);
        self.body.encode(out);
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        expect_tag(reader, 0x0F, "data-notification")?;
        let invoke = LongInvokeIdAndPriority::decode(reader)?;
        let date_time_tagged = matches!(reader.peek_rest(), [OCTET_STRING, 12, ..]);
        if date_time_tagged {
            reader.u8("date-time")?;
        }
        Ok(Self {
            invoke,
            date_time: date_time(reader, "date-time")?,
            date_time_tagged,
            body: last_data(reader, "notification-body")?,
        })
    }
}

/// Confirms a [`DataNotification`] (`Data-Notification-Confirm`).
///
/// ```text
/// 10 long-invoke (4) length date-time
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataNotificationConfirm {
    /// As in the notification.
    pub invoke: LongInvokeIdAndPriority,
    /// `date-time`: when it was sent.
    pub date_time: Option<DateTime>,
}

impl Wire<'_> for DataNotificationConfirm {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(0x10);
        self.invoke.encode(out);
        put_date_time(out, self.date_time);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        expect_tag(reader, 0x10, "data-notification-confirm")?;
        Ok(Self {
            invoke: LongInvokeIdAndPriority::decode(reader)?,
            date_time: date_time(reader, "date-time")?,
        })
    }
}

/// Reports the value of an attribute (`EventNotificationRequest`).
///
/// ```text
/// C2 (00 | 01 length date-time) attribute value
/// ```
///
/// The value is everything to the end of the APDU; whether it is one is found
/// when it is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventNotificationRequest<'a> {
    /// `time`: when it happened. An octet string that is there but empty is
    /// told as `Some(None)`.
    pub time: Option<Option<DateTime>>,
    /// The attribute.
    pub attribute: AttributeDescriptor,
    /// Its value (`attribute-value`).
    pub value: RawData<'a>,
}

impl<'a> Wire<'a> for EventNotificationRequest<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(0xC2);
        put_optional(out, self.time, put_date_time);
        self.attribute.encode(out);
        self.value.encode(out);
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        expect_tag(reader, 0xC2, "event-notification-request")?;
        Ok(Self {
            time: optional(reader, "time", |reader| date_time(reader, "time"))?,
            attribute: AttributeDescriptor::decode(reader)?,
            value: last_data(reader, "attribute-value")?,
        })
    }
}
