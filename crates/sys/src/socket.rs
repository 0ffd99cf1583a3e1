//! Options and control messages of sockets that no safe crate knows, as
//! octets: who calls lays them out as the kernel's header has them.
//!
//! Nothing here takes a pointer from the caller or keeps one: the kernel reads
//! and writes only within slices that are borrowed for the call.

use std::io::{self, IoSlice};
use std::mem;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr;

/// A message of a socket's control data (`cmsg(3)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control<'a> {
    /// The protocol that it belongs to.
    pub level: i32,
    /// What it is there.
    pub kind: i32,
    /// Its octets.
    pub data: &'a [u8],
}

/// What was received, in the caller's buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Octets of the message, or of as much of it as there was room for.
    pub length: usize,
    /// Octets of control data.
    pub control_len: usize,
    /// `MSG_…`.
    pub flags: i32,
}

/// Octets that control data is laid out in steps of, and of each header's
/// length field.
const STEP: usize = size_of::<usize>();

/// Octets of a header: its length, level and type.
const HEADER_LEN: usize = STEP + 2 * size_of::<i32>();

/// Options beside SCTP's that are plain numbers. Of SCTP's none has the kernel
/// write elsewhere than to the slice; of other protocols some hold pointers.
const PLAIN: [(i32, i32); 6] = [
    (libc::SOL_SOCKET, libc::SO_BROADCAST),
    (libc::SOL_SOCKET, libc::SO_MEMINFO),
    (libc::IPPROTO_IP, libc::IP_RECVTOS),
    (libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS),
    (libc::SOL_UDP, libc::UDP_GRO),
    (libc::SOL_UDP, libc::UDP_SEGMENT),
];

fn known(level: i32, name: i32) -> io::Result<()> {
    if level == libc::IPPROTO_SCTP || PLAIN.contains(&(level, name)) {
        return Ok(());
    }
    Err(invalid("an option that may hold pointers"))
}

/// Sets an option of SCTP, or one of `PLAIN`.
///
/// # Errors
/// Another option, and what the kernel refuses.
#[expect(
    unsafe_code,
    reason = "no safe crate sets options by number; why it is sound is said below"
)]
pub fn set_option(socket: BorrowedFd<'_>, level: i32, name: i32, value: &[u8]) -> io::Result<()> {
    known(level, name)?;
    let length = libc::socklen_t::try_from(value.len()).map_err(|_| too_long())?;
    // SAFETY: the descriptor is open as long as it is borrowed; the kernel reads
    // at most `length` octets from `value`, which is borrowed for the call, and
    // keeps no pointer to it; no option that is let through has it write to memory.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            value.as_ptr().cast(),
            length,
        )
    };
    // Some options of SCTP tell a number above 0 when they succeed.
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Reads an option of SCTP, or one of `PLAIN`, into `value`, whose octets may
/// say what is asked about, and returns how many octets it has.
///
/// # Errors
/// Another option, and what the kernel refuses.
#[expect(
    unsafe_code,
    reason = "no safe crate reads options by number; why it is sound is said below"
)]
pub fn option(
    socket: BorrowedFd<'_>,
    level: i32,
    name: i32,
    value: &mut [u8],
) -> io::Result<usize> {
    known(level, name)?;
    let mut length = libc::socklen_t::try_from(value.len()).map_err(|_| too_long())?;
    // SAFETY: as above; the kernel writes at most `length` octets to `value`,
    // which is borrowed alone for the call, and any octets are valid there.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            name,
            value.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(usize::try_from(length)
        .unwrap_or(usize::MAX)
        .min(value.len()))
}

/// Sends a message with control data (see [`lay_out`]), without waiting and
/// without a signal where nobody reads any more.
///
/// # Errors
/// Control data of the socket itself, which may pass descriptors; what the kernel
/// refuses, [`io::ErrorKind::WouldBlock`] where it has no room.
pub fn send(socket: BorrowedFd<'_>, payload: &[u8], control: &[u8]) -> io::Result<usize> {
    send_pieces(socket, &[], &[IoSlice::new(payload)], control)
}

/// Sends one message that stands in pieces, to the address in `name` as the
/// kernel has it, or to the peer of the socket where that is empty.
#[expect(
    unsafe_code,
    reason = "no safe crate sends control data of SCTP and UDP; why it is sound is said below"
)]
pub(crate) fn send_pieces(
    socket: BorrowedFd<'_>,
    name: &[u8],
    pieces: &[IoSlice<'_>],
    control: &[u8],
) -> io::Result<usize> {
    if messages(control).any(|message| message.level == libc::SOL_SOCKET) {
        return Err(invalid("control data that may pass descriptors"));
    }
    // SAFETY: all fields are numbers and pointers, for which zero is valid.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    if !name.is_empty() {
        message.msg_name = name.as_ptr().cast_mut().cast();
        message.msg_namelen = libc::socklen_t::try_from(name.len()).map_err(|_| too_long())?;
    }
    message.msg_iov = pieces.as_ptr().cast_mut().cast();
    message.msg_iovlen = pieces.len();
    message.msg_control = control.as_ptr().cast_mut().cast();
    message.msg_controllen = control.len();
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    // SAFETY: `message` names an address, pieces and control data with their
    // lengths, all of which are borrowed for the call; an `IoSlice` is laid out
    // as the kernel's `iovec` (std says so). Sending only reads them, so that it is
    // sound that the pointers were made mutable, and needs no alignment of what
    // it copies as octets.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, flags) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Receives a message, or as much of it as there is room for, with its control
/// data (see [`messages`]), without waiting.
///
/// # Errors
/// What the kernel tells, [`io::ErrorKind::WouldBlock`] where nothing is there.
pub fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    control: &mut [u8],
) -> io::Result<Arrived> {
    receive_named(socket, &mut [], buffer, control)
}

/// Receives as [`receive`] does; `name` takes the sender's address as the kernel
/// has it, or as much of it as there is room for.
#[expect(
    unsafe_code,
    reason = "no safe crate receives control data of SCTP and UDP; why it is sound is said below"
)]
pub(crate) fn receive_named(
    socket: BorrowedFd<'_>,
    name: &mut [u8],
    buffer: &mut [u8],
    control: &mut [u8],
) -> io::Result<Arrived> {
    let mut piece = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: all fields are numbers and pointers, for which zero is valid.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_name = if name.is_empty() {
        ptr::null_mut()
    } else {
        name.as_mut_ptr().cast()
    };
    message.msg_namelen = libc::socklen_t::try_from(name.len()).map_err(|_| too_long())?;
    message.msg_iov = &raw mut piece;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = control.len();
    let flags = libc::MSG_DONTWAIT;
    // SAFETY: `message` names room for an address, one piece and control data,
    // which are borrowed alone for the call; the kernel writes within their
    // lengths, and any octets are valid there. It is told to pass no descriptors
    // by the protocols that this is used with: SCTP and UDP have none.
    let got = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
    Ok(Arrived {
        length: usize::try_from(got).map_err(|_| io::Error::last_os_error())?,
        control_len: message.msg_controllen.min(control.len()),
        flags: message.msg_flags,
    })
}

/// Lays control messages out as the kernel takes them.
#[must_use]
pub fn lay_out(messages: &[Control<'_>]) -> Vec<u8> {
    let mut octets = Vec::new();
    for message in messages {
        octets.extend((HEADER_LEN + message.data.len()).to_ne_bytes());
        octets.extend(message.level.to_ne_bytes());
        octets.extend(message.kind.to_ne_bytes());
        octets.extend_from_slice(message.data);
        octets.resize(octets.len().next_multiple_of(STEP), 0);
    }
    octets
}

/// Goes through control messages as the kernel lays them out; ends at the first
/// that is none.
pub fn messages(octets: &[u8]) -> impl Iterator<Item = Control<'_>> {
    let mut rest = octets;
    std::iter::from_fn(move || {
        let (length, fields) = rest.split_first_chunk::<STEP>()?;
        let (level, fields) = fields.split_first_chunk::<4>()?;
        let (kind, _) = fields.split_first_chunk::<4>()?;
        let length = usize::from_ne_bytes(*length);
        let message = Control {
            level: i32::from_ne_bytes(*level),
            kind: i32::from_ne_bytes(*kind),
            data: rest.get(HEADER_LEN..length)?,
        };
        rest = rest
            .get(length.next_multiple_of(STEP)..)
            .unwrap_or_default();
        Some(message)
    })
}

fn too_long() -> io::Error {
    invalid("too long for an option")
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

#[cfg(test)]
mod tests {
    //! Evidence: the kernel's own sockets; of control data self-agreement, what
    //! the kernel makes of it is tested where SCTP is.
    use std::net::UdpSocket;
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn options_are_set_and_read() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let broadcast = |value: i32| {
            set_option(
                socket.as_fd(),
                libc::SOL_SOCKET,
                libc::SO_BROADCAST,
                &value.to_ne_bytes(),
            )
        };
        broadcast(1).unwrap();
        assert!(socket.broadcast().unwrap());
        let mut value = [0; 16];
        let read = option(
            socket.as_fd(),
            libc::SOL_SOCKET,
            libc::SO_BROADCAST,
            &mut value,
        );
        assert_eq!(read.unwrap(), 4);
        assert_eq!(value[..4], 1_i32.to_ne_bytes());
        assert_eq!(value[4..], [0; 12]);
        assert!(set_option(socket.as_fd(), libc::SOL_SOCKET, i32::MAX, &[]).is_err());
        assert!(option(socket.as_fd(), libc::SOL_SOCKET, i32::MAX, &mut []).is_err());
    }

    #[test]
    fn what_may_hold_pointers_or_pass_descriptors_is_refused() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let refused = |outcome: io::Result<usize>| {
            assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::InvalidInput);
        };
        let name = libc::SO_ATTACH_FILTER;
        let set = set_option(socket.as_fd(), libc::SOL_SOCKET, name, &[0; 16]);
        refused(set.map(|()| 0));
        let name = libc::TCP_ZEROCOPY_RECEIVE;
        refused(option(
            socket.as_fd(),
            libc::IPPROTO_TCP,
            name,
            &mut [0; 64],
        ));
        let rights = Control {
            level: libc::SOL_SOCKET,
            kind: libc::SCM_RIGHTS,
            data: &0_i32.to_ne_bytes(),
        };
        refused(send(socket.as_fd(), b"", &lay_out(&[rights])));
    }

    #[test]
    fn messages_are_sent_and_received_with_control_data() {
        let one = UdpSocket::bind("127.0.0.1:0").unwrap();
        let other = UdpSocket::bind("127.0.0.1:0").unwrap();
        one.connect(other.local_addr().unwrap()).unwrap();
        let (mut buffer, mut control) = ([0; 4], [0; 64]);
        let nothing = receive(other.as_fd(), &mut buffer, &mut control).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        let on = 1_i32.to_ne_bytes();
        set_option(other.as_fd(), libc::IPPROTO_IP, libc::IP_RECVTOS, &on).unwrap();
        let tos = Control {
            level: libc::IPPROTO_IP,
            kind: libc::IP_TOS,
            data: &0x20_i32.to_ne_bytes(),
        };
        assert_eq!(send(one.as_fd(), b"longer", &lay_out(&[tos])).unwrap(), 6);
        let arrived = receive(other.as_fd(), &mut buffer, &mut control).unwrap();
        assert_eq!((arrived.length, &buffer), (4, b"long"));
        assert_ne!(arrived.flags & libc::MSG_TRUNC, 0);
        let told: Vec<Control<'_>> = messages(&control[..arrived.control_len]).collect();
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!((told[0].level, told[0].kind), (0, libc::IP_TOS));
        assert_eq!(told[0].data, [0x20]);
    }

    #[test]
    fn control_data_is_read_as_it_was_laid_out() {
        let messages_ = [
            Control {
                level: 132,
                kind: 2,
                data: b"sixteen octets..",
            },
            Control {
                level: 132,
                kind: 5,
                data: b"odd",
            },
        ];
        let octets = lay_out(&messages_);
        assert_eq!(octets.len() % STEP, 0);
        assert_eq!(messages(&octets).collect::<Vec<_>>(), messages_);
        // Nothing that is cut off or claims too much is read.
        for end in 0..octets.len() {
            assert!(messages(&octets[..end]).count() < 2 || end >= octets.len() - 5);
        }
        let mut huge = octets;
        huge[..STEP].copy_from_slice(&usize::MAX.to_ne_bytes());
        assert_eq!(messages(&huge).count(), 0);
        huge[..STEP].copy_from_slice(&0_usize.to_ne_bytes());
        assert_eq!(messages(&huge).count(), 0);
    }
}
