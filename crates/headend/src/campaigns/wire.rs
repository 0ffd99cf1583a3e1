//! Image transfer (class 18) as a client of it speaks.

use dlms::axdr::{Data, RawData};
use dlms::client::{ActionItem, GetItem};
use dlms::codec::Wire as _;
use dlms::cosem::{AttributeDescriptor, MethodDescriptor, Obis};
use link::{Client, ClientError};

/// Image transfer, 0-0:44.0.0.255.
const IMAGE_TRANSFER: Obis = Obis::new(0, 0, 44, 0, 0, 255);
const CLASS: u16 = 18;

/// `image_transfer_status`: the blocks are taken.
pub const STATUS_INITIATED: u8 = 1;
/// `image_transfer_status`: the image verified.
pub const STATUS_VERIFIED: u8 = 3;
/// `image_transfer_status`: the image runs.
pub const STATUS_ACTIVATED: u8 = 6;

/// Blocks of the longest image that is looked at.
const BLOCKS_MAX: u32 = 1 << 20;

/// How a meter's image transfer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageState {
    /// Attribute 2, `image_block_size`.
    pub block_len: u32,
    /// Attribute 4, `image_first_not_transferred_block_number`.
    pub first_missing: u32,
    /// Attribute 5, `image_transfer_enabled`.
    pub enabled: bool,
    /// Attribute 6, `image_transfer_status`.
    pub status: u8,
}

/// An image that a meter has verified: an entry of attribute 7.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedImage {
    /// Octets of the image.
    pub size: u32,
    /// What the meter will call itself.
    pub identification: Vec<u8>,
    /// The maker's signature.
    pub signature: Vec<u8>,
}

const fn attribute(id: i8) -> AttributeDescriptor {
    AttributeDescriptor::new(CLASS, IMAGE_TRANSFER, id)
}

fn unexpected() -> ClientError {
    dlms::client::Failure::Unexpected.into()
}

/// Reads attributes, in one request where the meter takes lists.
async fn values(client: &mut Client, ids: &[i8]) -> Result<Vec<Data>, ClientError> {
    let items = ids.iter().map(|id| GetItem {
        attribute: attribute(*id),
        selection: None,
    });
    let values = client.get(items.collect()).await?;
    let values = values.into_iter().map(|value| {
        let octets = value.map_err(ClientError::Refused)?;
        Ok(RawData::new(&octets).decode()?)
    });
    values.collect()
}

/// Reads how the transfer is.
///
/// # Errors
/// Where the meter does not say.
pub async fn state(client: &mut Client) -> Result<ImageState, ClientError> {
    match values(client, &[2, 4, 5, 6]).await?.as_slice() {
        [block_len, first, Data::Boolean(enabled), Data::Enum(status)] => Ok(ImageState {
            block_len: block_len.as_u32().ok_or_else(unexpected)?,
            first_missing: first.as_u32().ok_or_else(unexpected)?,
            enabled: *enabled,
            status: *status,
        }),
        _ => Err(unexpected()),
    }
}

/// Reads which blocks are missing.
///
/// # Errors
/// Where the meter does not say.
pub async fn missing(client: &mut Client) -> Result<Vec<u32>, ClientError> {
    match client.read(attribute(3)).await? {
        Data::BitString(bits) => {
            let bits = bits.as_bit_str();
            if bits.len() > BLOCKS_MAX {
                return Err(unexpected());
            }
            let bits = (0..).zip(bits.iter());
            Ok(bits.filter(|(_, there)| !there).map(|(n, _)| n).collect())
        }
        _ => Err(unexpected()),
    }
}

/// Switches image transfer on.
///
/// # Errors
/// Where the meter refuses.
pub async fn enable(client: &mut Client) -> Result<(), ClientError> {
    client.write(attribute(5), &Data::Boolean(true)).await
}

async fn invoke(client: &mut Client, id: i8, parameter: &Data) -> Result<(), ClientError> {
    let method = MethodDescriptor::new(CLASS, IMAGE_TRANSFER, id);
    client.invoke(method, Some(parameter)).await.map(drop)
}

/// Begins a transfer.
///
/// # Errors
/// Where the meter refuses.
pub async fn initiate(
    client: &mut Client,
    identifier: &[u8],
    size: u32,
) -> Result<(), ClientError> {
    let size = Data::DoubleLongUnsigned(size);
    let parameter = Data::Structure(vec![Data::octet_string(identifier), size]);
    invoke(client, 1, &parameter).await
}

/// The method and parameter of one block.
#[must_use]
pub fn block(number: u32, octets: &[u8]) -> ActionItem {
    let number = Data::DoubleLongUnsigned(number);
    let parameter = Data::Structure(vec![number, Data::octet_string(octets)]);
    ActionItem {
        method: MethodDescriptor::new(CLASS, IMAGE_TRANSFER, 2),
        parameter: Some(parameter.to_octets()),
    }
}

/// Sends one block and waits until the meter has it.
///
/// # Errors
/// Where the meter refuses.
pub async fn send_block(
    client: &mut Client,
    number: u32,
    octets: &[u8],
) -> Result<(), ClientError> {
    let outcomes = client.action(vec![block(number, octets)]).await?;
    match outcomes.as_slice() {
        [outcome] if outcome.result == dlms::xdlms::ActionResult::Success => Ok(()),
        [outcome] => Err(ClientError::NotDone(outcome.result)),
        _ => Err(unexpected()),
    }
}

/// Lets the meter verify the image.
///
/// # Errors
/// Where it does not verify.
pub async fn verify(client: &mut Client) -> Result<(), ClientError> {
    invoke(client, 3, &Data::Integer(0)).await
}

/// Lets the meter run the image.
///
/// # Errors
/// Where it refuses.
pub async fn activate(client: &mut Client) -> Result<(), ClientError> {
    invoke(client, 4, &Data::Integer(0)).await
}

/// Reads what may be activated.
///
/// # Errors
/// Where the meter does not say.
pub async fn to_activate(client: &mut Client) -> Result<Option<VerifiedImage>, ClientError> {
    let Data::Array(images) = client.read(attribute(7)).await? else {
        return Err(unexpected());
    };
    match images.first() {
        None => Ok(None),
        Some(Data::Structure(fields)) => match fields.as_slice() {
            [
                Data::DoubleLongUnsigned(size),
                Data::OctetString(identification),
                Data::OctetString(signature),
            ] => Ok(Some(VerifiedImage {
                size: *size,
                identification: identification.clone(),
                signature: signature.clone(),
            })),
            _ => Err(unexpected()),
        },
        Some(_) => Err(unexpected()),
    }
}
