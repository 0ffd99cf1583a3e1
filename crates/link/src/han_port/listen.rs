//! Lines that are only listened to.

use std::fs::File;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::net::sockopt;
use rustix::termios::{self, ControlModes, OptionalActions, QueueSelector};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::unix::pipe;

use super::url::{DeviceOptions, Parity, Place};
use crate::HostPort;

/// A line that can be read and has no way to be written: a device that the
/// system has opened for reading only, or the reading half of a connection.
pub(super) struct Ears(Line);

enum Line {
    /// What reads from any descriptor, and has no way to write.
    Device(pipe::Receiver),
    Server(TcpStream),
}

impl Ears {
    pub(super) async fn open(place: &Place) -> io::Result<Self> {
        Ok(Self(match place {
            Place::Device(device) => {
                Line::Device(pipe::Receiver::from_file_unchecked(terminal(device)?)?)
            }
            Place::Server(at) => Line::Server(server(at).await?),
        }))
    }
}

impl AsyncRead for Ears {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Line::Device(device) => Pin::new(device).poll_read(cx, buffer),
            Line::Server(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

/// Connects to a serial server. A connection on which nothing is ever sent
/// notices by probes alone that the other side was cut off or restarted.
pub(super) async fn server(at: &HostPort) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((at.host.as_str(), at.port)).await?;
    sockopt::set_socket_keepalive(&stream, true)?;
    sockopt::set_tcp_keepidle(&stream, PROBE_INTERVAL)?;
    sockopt::set_tcp_keepintvl(&stream, PROBE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(&stream, PROBES)?;
    Ok(stream)
}

/// Silence before a serial server is probed, and between probes; probes without
/// an answer until it is lost.
const PROBE_INTERVAL: Duration = Duration::from_secs(4);
const PROBES: u32 = 3;

/// Opens a terminal for reading only, for this process alone, and has it give
/// octets as they come.
fn terminal(device: &DeviceOptions) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let line = rustix::fs::open(&device.path, flags, Mode::empty())?;
    let mut form = termios::tcgetattr(&line)?;
    form.make_raw();
    form.set_speed(device.baud)?;
    let dropped = ControlModes::CSIZE
        | ControlModes::PARENB
        | ControlModes::PARODD
        | ControlModes::CSTOPB
        | ControlModes::CRTSCTS;
    form.control_modes &= !dropped;
    form.control_modes |= ControlModes::CREAD | ControlModes::CLOCAL;
    form.control_modes |= match device.bits {
        7 => ControlModes::CS7,
        _ => ControlModes::CS8,
    };
    form.control_modes |= match device.parity {
        Parity::None => ControlModes::empty(),
        Parity::Even => ControlModes::PARENB,
        Parity::Odd => ControlModes::PARENB | ControlModes::PARODD,
    };
    termios::tcsetattr(&line, OptionalActions::Now, &form)?;
    termios::ioctl_tiocexcl(&line)?;
    // What came before is half a message at most.
    termios::tcflush(&line, QueueSelector::IFlush)?;
    Ok(File::from(line))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::marker::PhantomData;
    use std::path::PathBuf;

    use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt};
    use tokio_serial::SerialPort as _;

    use super::*;

    /// Tells whether a type can be written to: the inherent constant is found
    /// before the trait's where its bound holds.
    struct Writes<T>(PhantomData<T>);
    trait Unwritable {
        const CAN: bool = false;
    }
    impl<T> Unwritable for Writes<T> {}
    impl<T: AsyncWrite> Writes<T> {
        const CAN: bool = true;
    }

    #[test]
    fn what_is_listened_to_cannot_be_written() {
        const {
            assert!(Writes::<TcpStream>::CAN, "the question tells the two apart");
            assert!(!Writes::<Ears>::CAN);
        }
    }

    fn device(path: PathBuf) -> DeviceOptions {
        DeviceOptions {
            path,
            baud: 2_400,
            bits: 8,
            parity: Parity::Even,
            is_form_open: false,
            hardware_flow: false,
        }
    }

    #[tokio::test]
    async fn the_system_refuses_to_write_to_a_device_that_is_listened_to() {
        let (mut meter, end) = tokio_serial::SerialStream::pair().unwrap();
        let path = PathBuf::from(end.name().unwrap());
        let mut file = terminal(&device(path.clone())).unwrap();
        let refused = file.write_all(b"!").unwrap_err();
        assert_eq!(
            refused.raw_os_error(),
            Some(rustix::io::Errno::BADF.raw_os_error())
        );
        drop(file);
        drop(end);

        let mut ears = Ears::open(&Place::Device(device(path))).await;
        // The other end of the pair held the terminal for itself.
        if let Ok(ears) = &mut ears {
            AsyncWriteExt::write_all(&mut meter, b"told").await.unwrap();
            let mut heard = [0; 4];
            ears.read_exact(&mut heard).await.unwrap();
            assert_eq!(&heard, b"told");
        }
        assert!(ears.is_ok(), "{:?}", ears.err());
    }

    #[test]
    fn what_is_no_terminal_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(terminal(&device(file.path().to_owned())).is_err());
        assert!(terminal(&device("/does/not/exist".into())).is_err());
    }
}
