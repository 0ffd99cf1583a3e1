//! Sources that are polled: what they are told, and the line to them.

use std::io;

use han::egress::{self, Cleared};
use han::measure::Report;
use han::port::Port;
use han::raven;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio_serial::{DataBits, FlowControl, SerialPortBuilderExt as _};

use super::listen::server;
use super::source::{
    Command, INPUT_SIZE, OPENING_MAX, Shared, SourceError, SourceEvent, SourceSettings, Unheard,
};
use super::url::{Parity, Place, SourceProtocol, SourceUrl};

/// Why an open line ends.
pub(super) enum End {
    /// As it was told.
    Told,
    /// It was lost.
    Lost(SourceError),
    /// Nobody is there any more.
    Unheard,
}

impl From<Unheard> for End {
    fn from(_: Unheard) -> Self {
        Self::Unheard
    }
}

impl From<SourceError> for End {
    fn from(error: SourceError) -> Self {
        Self::Lost(error)
    }
}

/// Does what it is told until nobody is there any more.
pub(super) async fn run(
    url: SourceUrl,
    settings: SourceSettings,
    mut told: mpsc::Receiver<Command>,
    shared: Shared,
) {
    while let Some(command) = told.recv().await {
        if !matches!(command, Command::Connect) {
            continue;
        }
        let end = match Line::open(&url.place).await {
            Err(error) => End::Lost(error),
            Ok(mut line) => match url.protocol {
                SourceProtocol::Raven => {
                    let mut adapter = Adapter::new(url.meter);
                    adapter.serve(&mut line, &mut told, &shared).await
                }
                _ => super::radio::serve(&url, &settings, &mut line, &mut told, &shared).await,
            }
            .err()
            .unwrap_or(End::Told),
        };
        match end {
            End::Told => {}
            End::Unheard => return,
            End::Lost(lost) => {
                tracing::info!(source = %url, reason = %lost, "the port is closed");
                if shared.tell(SourceEvent::Disconnected(lost)).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// A line in both directions.
pub(super) struct Line(Box<dyn Octets>);

/// A stream of octets in both directions.
trait Octets: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Octets for T {}

impl Line {
    async fn open(place: &Place) -> Result<Self, SourceError> {
        let opening = async {
            Ok(Self(match place {
                Place::Device(device) => {
                    let flow = if device.hardware_flow {
                        FlowControl::Hardware
                    } else {
                        FlowControl::None
                    };
                    let bits = match device.bits {
                        7 => DataBits::Seven,
                        _ => DataBits::Eight,
                    };
                    let parity = match device.parity {
                        Parity::None => tokio_serial::Parity::None,
                        Parity::Even => tokio_serial::Parity::Even,
                        Parity::Odd => tokio_serial::Parity::Odd,
                    };
                    let stream = tokio_serial::new(device.path.to_string_lossy(), device.baud)
                        .data_bits(bits)
                        .parity(parity)
                        .flow_control(flow)
                        .open_native_async()
                        .map_err(io::Error::from)?;
                    Box::new(stream)
                }
                Place::Server(at) => {
                    let stream = server(at).await?;
                    stream.set_nodelay(true)?;
                    Box::new(stream)
                }
            }))
        };
        tokio::time::timeout(OPENING_MAX, opening)
            .await
            .unwrap_or(Err(SourceError::silent(OPENING_MAX)))
    }

    /// Reads what has come.
    pub(super) async fn read<'a>(&mut self, input: &'a mut [u8]) -> Result<&'a [u8], SourceError> {
        match self.0.read(input).await? {
            0 => Err(SourceError::Closed),
            count => Ok(input.get(..count).unwrap_or_default()),
        }
    }

    /// Writes what may leave; there is no other way to write.
    async fn write_cleared(&mut self, cleared: Cleared<'_>) -> Result<(), SourceError> {
        self.write(cleared.octets()).await
    }

    /// Writes what [`han::ash`] has framed: it frames what may leave alone.
    pub(super) async fn write_ash(&mut self, octets: &[u8]) -> Result<(), SourceError> {
        self.write(octets).await
    }

    async fn write(&mut self, octets: &[u8]) -> Result<(), SourceError> {
        let writing = async {
            self.0.write_all(octets).await?;
            self.0.flush().await
        };
        tokio::time::timeout(OPENING_MAX, writing)
            .await
            .map_err(|_| SourceError::silent(OPENING_MAX))?
            .map_err(SourceError::Io)
    }
}

/// A RAVEn or EMU-2: asked for power and total, which it tells when it has
/// read them; it tells some by itself as well.
pub(super) struct Adapter {
    meter: Option<u64>,
    port: Port,
    /// The poll that is not answered yet, and what of it.
    asked: Option<(u64, [bool; 2])>,
}

/// What a poll asks for.
const POLL: [raven::Command; 2] = [
    raven::Command::GetInstantaneousDemand,
    raven::Command::GetCurrentSummationDelivered,
];

impl Adapter {
    pub(super) fn new(meter: Option<u64>) -> Self {
        Self {
            meter,
            port: Port::new(han::port::Protocol::Raven, None),
            asked: None,
        }
    }

    async fn serve(
        &mut self,
        line: &mut Line,
        told: &mut mpsc::Receiver<Command>,
        shared: &Shared,
    ) -> Result<(), End> {
        shared.tell(SourceEvent::Connected).await?;
        let mut input = [0; INPUT_SIZE];
        loop {
            tokio::select! {
                command = told.recv() => match command {
                    None => return Err(End::Unheard),
                    Some(Command::Disconnect) => return Ok(()),
                    Some(Command::Connect) => shared.tell(SourceEvent::Connected).await?,
                    Some(Command::Ask { number }) => {
                        self.asked = Some((number, [false; 2]));
                        for command in POLL {
                            let octets = command.encode(self.meter, true);
                            let cleared = egress::check_adapter(&octets)
                                .map_err(SourceError::Refused)?;
                            line.write_cleared(cleared).await?;
                        }
                    }
                },
                heard = line.read(&mut input) => {
                    let reports = self.port.handle(heard?, shared.clock.now());
                    shared.count(self.port.counters());
                    for report in reports {
                        self.take(report, shared).await?;
                    }
                }
            }
        }
    }

    async fn take(&mut self, report: Report, shared: &Shared) -> Result<(), Unheard> {
        if let Some(meter) = self.meter
            && report.meter.as_deref() != Some(format!("{meter:016x}").as_str())
        {
            return Ok(());
        }
        let told = [
            report.net_power().is_some(),
            report.total(1).is_some() || report.total(2).is_some(),
        ];
        shared.tell(SourceEvent::Report(report)).await?;
        if let Some((number, seen)) = &mut self.asked {
            for (seen, told) in seen.iter_mut().zip(told) {
                *seen |= told;
            }
            if seen.iter().all(|seen| *seen) {
                let number = *number;
                self.asked = None;
                shared.tell(SourceEvent::Answered { number }).await?;
            }
        }
        Ok(())
    }
}
