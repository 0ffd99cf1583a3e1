//! TUN devices: network interfaces whose IP packets a program reads and writes.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;

use rustix::ioctl::{Updater, ioctl};

/// `TUNSETIFF` (linux/if_tun.h: `_IOW('T', 202, int)`).
const TUNSETIFF: rustix::ioctl::Opcode = 0x4004_54ca;
/// A device of IP packets.
const IFF_TUN: u16 = 0x0001;
/// Nothing stands before a packet.
const IFF_NO_PI: u16 = 0x1000;

/// Octets of an interface's name, the zero at its end among them (IFNAMSIZ).
const NAME_LEN: usize = 16;

/// `struct ifreq` (linux/if.h): a name, then a union of 24 octets of which the
/// flags are the first two.
#[repr(C)]
struct Request {
    name: [u8; NAME_LEN],
    flags: u16,
    rest: [u8; 22],
}

/// Makes a TUN device, or takes one that was made for this user, and gives what
/// its packets are read from and written to: one with each call, which never
/// block. A device that was made goes with it.
///
/// # Errors
/// A name that is none, no `/dev/net/tun`, or no right to it (CAP_NET_ADMIN).
pub fn open(name: &str) -> io::Result<OwnedFd> {
    let fit = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() >= NAME_LEN || !name.bytes().all(fit) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "an interface is called by 1 to 15 letters, digits, - _ and .",
        ));
    }
    let file = File::options()
        .read(true)
        .write(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open("/dev/net/tun")?;
    let mut request = Request {
        name: [0; NAME_LEN],
        flags: IFF_TUN | IFF_NO_PI,
        rest: [0; 22],
    };
    for (to, octet) in request.name.iter_mut().zip(name.bytes()) {
        *to = octet;
    }
    set(&file, &mut request)?;
    Ok(file.into())
}

#[expect(
    unsafe_code,
    reason = "the kernel takes a device's name by ioctl alone; why it is sound is said below"
)]
fn set(file: &File, request: &mut Request) -> io::Result<()> {
    // SAFETY: TUNSETIFF reads and writes one `struct ifreq`, which is 40 octets
    // on the systems that this is built for (checked below), and keeps no
    // pointer to it; `request` is one, whole and alone ours for the call.
    unsafe {
        let update = Updater::<TUNSETIFF, Request>::new(request);
        ioctl(file, update)?;
    }
    Ok(())
}

const _: () = assert!(size_of::<Request>() == 40, "struct ifreq of 64-bit Linux");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_none_is_refused_before_anything_is_opened() {
        for name in ["", "a name", "sixteen-letters-", "a/b"] {
            let refused = open(name).map(drop).map_err(|error| error.kind());
            assert_eq!(refused, Err(io::ErrorKind::InvalidInput), "{name}");
        }
    }
}
