//! What the services share: invoke ids, results, data blocks, lists.

use alloc::vec::Vec;

use crate::axdr::{DateTime, RawData};
use crate::codec::{DecodeError, Malformed, Reader, Wire, put_length, put_octets};
use crate::codes::code_points;

/// How many items one list of a request or a response may hold. Each takes at
/// least one octet, so the APDU bounds it too.
pub const LIST_MAX: usize = 4_096;

/// Ties a response to its request (`Invoke-Id-And-Priority`).
///
/// ```text
///    7         6             5..4       3..0
/// | priority | service-class | reserved | invoke-id |
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct InvokeIdAndPriority(pub u8);

impl InvokeIdAndPriority {
    /// Makes one for a confirmed request of normal priority; only the low four
    /// bits of `invoke_id` count.
    #[must_use]
    pub const fn confirmed(invoke_id: u8) -> Self {
        Self(0x40 | (invoke_id & 0x0F))
    }

    /// Makes one for an unconfirmed request of normal priority; only the low
    /// four bits of `invoke_id` count.
    #[must_use]
    pub const fn unconfirmed(invoke_id: u8) -> Self {
        Self(invoke_id & 0x0F)
    }

    /// Sets the priority to high or normal.
    #[must_use]
    pub const fn with_high_priority(self, high: bool) -> Self {
        Self((self.0 & 0x7F) | if high { 0x80 } else { 0 })
    }

    /// Tells the id (0 to 15).
    #[must_use]
    pub const fn invoke_id(self) -> u8 {
        self.0 & 0x0F
    }

    /// Tells whether an answer is due.
    #[must_use]
    pub const fn is_confirmed(self) -> bool {
        self.0 & 0x40 != 0
    }

    /// Tells whether the priority is high.
    #[must_use]
    pub const fn is_high_priority(self) -> bool {
        self.0 & 0x80 != 0
    }
}

impl Wire<'_> for InvokeIdAndPriority {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.0);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.u8("invoke-id-and-priority").map(Self)
    }
}

/// Ties a response to its request where ids are long
/// (`Long-Invoke-Id-And-Priority`).
///
/// ```text
///    31         30              29                  28                 27..24     23..0
/// | priority | service-class | processing-option | self-descriptive | reserved | long-invoke-id |
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LongInvokeIdAndPriority(pub u32);

impl LongInvokeIdAndPriority {
    /// Makes one of the confirmed service class; only the low 24 bits of `id`
    /// count.
    #[must_use]
    pub const fn confirmed(id: u32) -> Self {
        Self(0x4000_0000 | (id & 0x00FF_FFFF))
    }

    /// Makes one of the unconfirmed service class; only the low 24 bits of
    /// `id` count.
    #[must_use]
    pub const fn unconfirmed(id: u32) -> Self {
        Self(id & 0x00FF_FFFF)
    }

    /// Tells the id (24 bits).
    #[must_use]
    pub const fn long_invoke_id(self) -> u32 {
        self.0 & 0x00FF_FFFF
    }

    /// Tells whether a response repeats what was asked for.
    #[must_use]
    pub const fn is_self_descriptive(self) -> bool {
        self.0 & 0x1000_0000 != 0
    }

    /// Tells whether a list ends at its first error, instead of going on.
    #[must_use]
    pub const fn breaks_on_error(self) -> bool {
        self.0 & 0x2000_0000 != 0
    }

    /// Tells whether an answer is due.
    #[must_use]
    pub const fn is_confirmed(self) -> bool {
        self.0 & 0x4000_0000 != 0
    }

    /// Tells whether the priority is high.
    #[must_use]
    pub const fn is_high_priority(self) -> bool {
        self.0 & 0x8000_0000 != 0
    }
}

impl Wire<'_> for LongInvokeIdAndPriority {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_be_bytes());
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.u32("long-invoke-id-and-priority").map(Self)
    }
}

code_points! {
    /// How an attribute was read or written (`Data-Access-Result`).
    pub enum DataAccessResult {
        0 Success "success",
        1 HardwareFault "hardware-fault",
        2 TemporaryFailure "temporary-failure",
        3 ReadWriteDenied "read-write-denied",
        4 ObjectUndefined "object-undefined",
        9 ObjectClassInconsistent "object-class-inconsistent",
        11 ObjectUnavailable "object-unavailable",
        12 TypeUnmatched "type-unmatched",
        13 ScopeOfAccessViolated "scope-of-access-violated",
        14 DataBlockUnavailable "data-block-unavailable",
        15 LongGetAborted "long-get-aborted",
        16 NoLongGetInProgress "no-long-get-in-progress",
        17 LongSetAborted "long-set-aborted",
        18 NoLongSetInProgress "no-long-set-in-progress",
        19 DataBlockNumberInvalid "data-block-number-invalid",
        250 OtherReason "other-reason",
    }
}

code_points! {
    /// How a method went (`Action-Result`).
    pub enum ActionResult {
        0 Success "success",
        1 HardwareFault "hardware-fault",
        2 TemporaryFailure "temporary-failure",
        3 ReadWriteDenied "read-write-denied",
        4 ObjectUndefined "object-undefined",
        9 ObjectClassInconsistent "object-class-inconsistent",
        11 ObjectUnavailable "object-unavailable",
        12 TypeUnmatched "type-unmatched",
        13 ScopeOfAccessViolated "scope-of-access-violated",
        14 DataBlockUnavailable "data-block-unavailable",
        15 LongActionAborted "long-action-aborted",
        16 NoLongActionInProgress "no-long-action-in-progress",
        250 OtherReason "other-reason",
    }
}

impl core::error::Error for DataAccessResult {}

impl core::error::Error for ActionResult {}

impl Wire<'_> for DataAccessResult {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.code());
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.u8("data-access-result").map(Self::from_code)
    }
}

impl Wire<'_> for ActionResult {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.code());
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.u8("action-result").map(Self::from_code)
    }
}

/// A value, or why there is none (`Get-Data-Result`).
pub type GetDataResult<'a> = Result<RawData<'a>, DataAccessResult>;

impl<'a> Wire<'a> for GetDataResult<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Ok(data) => {
                out.push(0);
                data.encode(out);
            }
            Err(refusal) => out.extend_from_slice(&[1, refusal.code()]),
        }
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        get_data_result(reader, RawData::skim)
    }
}

/// A [`GetDataResult`] that ends its APDU: the value is taken without looking
/// at it.
pub(super) fn last_get_data_result<'a>(
    reader: &mut Reader<'a>,
) -> Result<GetDataResult<'a>, DecodeError> {
    get_data_result(reader, |reader| last_data(reader, "data"))
}

fn get_data_result<'a>(
    reader: &mut Reader<'a>,
    data: impl FnOnce(&mut Reader<'a>) -> Result<RawData<'a>, DecodeError>,
) -> Result<GetDataResult<'a>, DecodeError> {
    let start = reader.clone();
    match reader.u8("get-data-result")? {
        0 => data(reader).map(Ok),
        1 => DataAccessResult::decode(reader).map(Err),
        choice => Err(start.error("get-data-result", Malformed::Tag(choice))),
    }
}

/// A value that ends its APDU, taken without looking at it.
pub(super) const fn last_data<'a>(
    reader: &mut Reader<'a>,
    field: &'static str,
) -> Result<RawData<'a>, DecodeError> {
    if reader.is_empty() {
        return Err(reader.error(field, Malformed::Truncated));
    }
    Ok(RawData::from_rest(reader))
}

/// A part of a Get-Response that is too long for one APDU (`DataBlock-G`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataBlockG<'a> {
    /// Whether no further block follows.
    pub last_block: bool,
    /// The number of the block, counted from 1.
    pub block_number: u32,
    /// The octets (`raw-data`), or why there are none.
    pub result: Result<&'a [u8], DataAccessResult>,
}

impl<'a> Wire<'a> for DataBlockG<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.last_block));
        out.extend_from_slice(&self.block_number.to_be_bytes());
        match self.result {
            Ok(octets) => {
                out.push(0);
                put_octets(out, octets);
            }
            Err(refusal) => out.extend_from_slice(&[1, refusal.code()]),
        }
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let last_block = boolean(reader, "last-block")?;
        let block_number = reader.u32("block-number")?;
        let start = reader.clone();
        let result = match reader.u8("datablock result")? {
            0 => Ok(reader.octets("raw-data")?),
            1 => Err(DataAccessResult::decode(reader)?),
            choice => return Err(start.error("datablock result", Malformed::Tag(choice))),
        };
        Ok(Self {
            last_block,
            block_number,
            result,
        })
    }
}

/// A part of a Set-Request, of a parameter or of what a method returns that is
/// too long for one APDU (`DataBlock-SA`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataBlockSa<'a> {
    /// Whether no further block follows.
    pub last_block: bool,
    /// The number of the block, counted from 1.
    pub block_number: u32,
    /// The octets.
    pub raw_data: &'a [u8],
}

impl<'a> Wire<'a> for DataBlockSa<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.last_block));
        out.extend_from_slice(&self.block_number.to_be_bytes());
        put_octets(out, self.raw_data);
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            last_block: boolean(reader, "last-block")?,
            block_number: reader.u32("block-number")?,
            raw_data: reader.octets("raw-data")?,
        })
    }
}

/// Takes a `BOOLEAN`: any octet but 0 is true.
pub(super) fn boolean(reader: &mut Reader<'_>, field: &'static str) -> Result<bool, DecodeError> {
    reader.u8(field).map(|octet| octet != 0)
}

/// Takes what may be absent: the octet in front of it says whether it is.
pub(super) fn optional<'a, T>(
    reader: &mut Reader<'a>,
    field: &'static str,
    take: impl FnOnce(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<Option<T>, DecodeError> {
    let start = reader.clone();
    match reader.u8(field)? {
        0 => Ok(None),
        1 => take(reader).map(Some),
        _ => Err(start.error(field, Malformed::Value)),
    }
}

/// Appends what may be absent.
pub(super) fn put_optional<T>(
    out: &mut Vec<u8>,
    value: Option<T>,
    put: impl FnOnce(&mut Vec<u8>, T),
) {
    match value {
        None => out.push(0),
        Some(value) => {
            out.push(1);
            put(out, value);
        }
    }
}

/// Takes a `SEQUENCE OF` whose items have at least `least` octets each.
pub(super) fn list<'a, T: Wire<'a>>(
    reader: &mut Reader<'a>,
    least: usize,
    field: &'static str,
) -> Result<Vec<T>, DecodeError> {
    let start = reader.clone();
    let count = reader.length(field)?;
    if count > LIST_MAX {
        return Err(start.error(field, Malformed::Limit));
    }
    if count > reader.remaining() / least.max(1) {
        return Err(start.error(field, Malformed::Truncated));
    }
    let mut items = Vec::with_capacity(count);
    for _ in 0..count {
        items.push(T::decode(reader)?);
    }
    Ok(items)
}

/// Appends a `SEQUENCE OF`.
pub(super) fn put_list<'a, T: Wire<'a>>(out: &mut Vec<u8>, items: &[T]) {
    put_length(out, items.len());
    for item in items {
        item.encode(out);
    }
}

/// Takes an octet string that holds a date-time or nothing.
pub(super) fn date_time(
    reader: &mut Reader<'_>,
    field: &'static str,
) -> Result<Option<DateTime>, DecodeError> {
    let start = reader.clone();
    let mut octets = reader.nested(field)?;
    match octets.remaining() {
        0 => Ok(None),
        12 => Ok(Some(DateTime::from_octets(octets.array(field)?))),
        _ => Err(start.error(field, Malformed::Length)),
    }
}

/// Appends an octet string that holds a date-time or nothing.
pub(super) fn put_date_time(out: &mut Vec<u8>, value: Option<DateTime>) {
    match value {
        None => out.push(0),
        Some(value) => put_octets(out, &value.to_octets()),
    }
}

/// Takes the tag of an APDU.
pub(super) const fn expect_tag(
    reader: &mut Reader<'_>,
    tag: u8,
    apdu: &'static str,
) -> Result<(), DecodeError> {
    let offset = reader.offset();
    match reader.u8(apdu) {
        Ok(found) if found == tag => Ok(()),
        Ok(found) => Err(DecodeError {
            offset,
            field: apdu,
            reason: Malformed::Tag(found),
        }),
        Err(error) => Err(error),
    }
}
