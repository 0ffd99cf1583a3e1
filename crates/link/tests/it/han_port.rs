//! Ports of homes over real sockets and pseudo terminals. Evidence:
//! self-agreement on what is said, which `han` and `interop/han` hold against
//! others; that nothing is sent to a port that pushes is counted at its other
//! end.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use han::raven;
use link::{Source, SourceEvent, SourceSettings, SystemClock};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_serial::SerialPort as _;

const TELEGRAM: &[u8] = b"/TST5\\253000000_A\r\n\r\n1-0:1.7.0(00.338*kW)\r\n!D33F\r\n";

/// Long enough for any machine; nothing waits for it when all is well.
const LIMIT: Duration = Duration::from_secs(120);

fn start(url: &str) -> Source {
    Source::start(
        url.parse().unwrap(),
        SourceSettings::default(),
        Arc::new(SystemClock::new()),
    )
}

async fn next(source: &mut Source) -> SourceEvent {
    tokio::time::timeout(LIMIT, source.next())
        .await
        .unwrap()
        .unwrap()
}

/// Waits for a report, over whatever else is told.
async fn power(source: &mut Source) -> String {
    loop {
        if let SourceEvent::Report(report) = next(source).await
            && let Some(power) = report.net_power()
        {
            return power.to_string();
        }
    }
}

async fn connected(source: &mut Source) {
    loop {
        if let SourceEvent::Connected = next(source).await {
            return;
        }
    }
}

async fn accept(listener: &TcpListener) -> TcpStream {
    tokio::time::timeout(LIMIT, listener.accept())
        .await
        .unwrap()
        .unwrap()
        .0
}

#[tokio::test]
async fn a_port_that_pushes_is_heard_opened_again_and_never_written_to() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut source = start(&format!("p1+tcp://{address}"));
    assert!(!source.is_polled());
    for _ in 0..2 {
        let mut meter = accept(&listener).await;
        connected(&mut source).await;
        // Whatever it is told, nothing leaves.
        for number in 0..1_000 {
            source.connect();
            source.ask(number);
            source.disconnect();
        }
        for part in TELEGRAM.chunks(7) {
            AsyncWriteExt::write_all(&mut meter, part).await.unwrap();
        }
        assert_eq!(power(&mut source).await, "338 W");
        // Half a telegram, then the serial server goes away.
        AsyncWriteExt::write_all(&mut meter, &TELEGRAM[..20])
            .await
            .unwrap();
        AsyncWriteExt::shutdown(&mut meter).await.unwrap();
        assert!(matches!(
            next(&mut source).await,
            SourceEvent::Disconnected(_)
        ));
        let mut written = Vec::new();
        meter.read_to_end(&mut written).await.unwrap();
        assert_eq!(written, [0; 0], "octets at the meter's end");
    }
    assert_eq!(source.counters().reports, 2);
    let told = 2 * (TELEGRAM.len() + 20);
    assert_eq!(source.octets(), u64::try_from(told).unwrap());
}

#[tokio::test]
async fn a_device_that_is_pulled_out_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("meter");
    let (mut meter, name) = pty(&path);
    let mut source = start(&format!("p1://{}", path.display()));
    connected(&mut source).await;
    AsyncWriteExt::write_all(&mut meter, TELEGRAM)
        .await
        .unwrap();
    assert_eq!(power(&mut source).await, "338 W");
    drop(meter);
    assert!(matches!(
        next(&mut source).await,
        SourceEvent::Disconnected(_)
    ));
    std::fs::remove_file(&path).unwrap();
    let (mut meter, other) = pty(&path);
    connected(&mut source).await;
    AsyncWriteExt::write_all(&mut meter, TELEGRAM)
        .await
        .unwrap();
    assert_eq!(power(&mut source).await, "338 W", "{name} then {other}");
}

/// A pseudo terminal whose other end is at `path`.
fn pty(path: &Path) -> (tokio_serial::SerialStream, String) {
    let (meter, end) = tokio_serial::SerialStream::pair().unwrap();
    let name = end.name().unwrap();
    std::os::unix::fs::symlink(&name, path).unwrap();
    (meter, name)
}

#[tokio::test]
async fn dlms_pushes_come_in_either_framing() {
    use dlms::axdr::Data;
    use dlms::codec::Wire as _;
    use dlms::cosem::{Obis, ScalerUnit, Unit};
    use dlms::hdlc::{Address, Control, Frame, llc};

    let mut notification = vec![0x0F, 0x40, 0, 0, 0, 0];
    Data::Array(vec![Data::Structure(vec![
        Obis::new(1, 0, 1, 7, 0, 255).to_data(),
        Data::DoubleLongUnsigned(280),
        ScalerUnit::new(0, Unit::WATT).to_data(),
    ])])
    .encode(&mut notification);
    let hdlc = Frame {
        destination: Address::one(16).unwrap(),
        source: Address::one(1).unwrap(),
        segmented: false,
        control: Control::UnnumberedInformation { poll: true },
        information: &[&llc::RESPONSE[..], &notification].concat(),
    }
    .to_octets();
    // Start, length twice, start; control, address, segment, ends; checksum, stop.
    let body = [&[0x53, 0xFF, 0x10, 0x01, 0x67][..], &notification].concat();
    let length = u8::try_from(body.len()).unwrap();
    let sum = body
        .iter()
        .fold(0_u8, |sum, octet| sum.wrapping_add(*octet));
    let mbus = [&[0x68, length, length, 0x68][..], &body, &[sum, 0x16]].concat();

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut source = start(&format!("dlms+tcp://{address}"));
    let mut meter = accept(&listener).await;
    for frame in [&hdlc, &mbus, &hdlc] {
        AsyncWriteExt::write_all(&mut meter, frame).await.unwrap();
        assert_eq!(power(&mut source).await, "280 W");
    }
    assert_eq!(source.counters().unread, 0);
}

const DEMAND: &str = "<InstantaneousDemand><MeterMacId>0xd8d5b90000001234</MeterMacId>\
    <TimeStamp>0x185adc1d</TimeStamp><Demand>0x0005</Demand><Multiplier>0x1</Multiplier>\
    <Divisor>0x3e8</Divisor></InstantaneousDemand>\r\n";
const TOTAL: &str = "<CurrentSummationDelivered><MeterMacId>0xd8d5b90000001234</MeterMacId>\
    <TimeStamp>0x185adc1d</TimeStamp><SummationDelivered>0x7</SummationDelivered>\
    <SummationReceived>0x0</SummationReceived><Multiplier>0x1</Multiplier>\
    <Divisor>0x3e8</Divisor></CurrentSummationDelivered>\r\n";

#[tokio::test]
async fn an_adapter_is_asked_what_reads_and_nothing_else() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut source = start(&format!("raven+tcp://{address}?meter=d8d5b90000001234"));
    assert!(source.is_polled());
    // Nothing is opened before it is told, and nothing asked before that.
    source.ask(1);
    source.connect();
    let mut adapter = accept(&listener).await;
    connected(&mut source).await;
    source.ask(2);
    let mut asked = Vec::new();
    while asked.windows(10).filter(|it| it == b"</Command>").count() < 2 {
        assert!(adapter.read_buf(&mut asked).await.unwrap() > 0);
    }
    let fragments = raven::decode(&asked).unwrap();
    let names: Vec<_> = fragments.iter().map(|it| it.field("Name")).collect();
    assert_eq!(
        names,
        [
            Some("get_instantaneous_demand"),
            Some("get_current_summation_delivered")
        ]
    );
    // Another meter of the same adapter is not ours.
    let other = DEMAND.replace("1234<", "9999<");
    for told in [other.as_str(), DEMAND, TOTAL] {
        AsyncWriteExt::write_all(&mut adapter, told.as_bytes())
            .await
            .unwrap();
    }
    let mut events = Vec::new();
    loop {
        match next(&mut source).await {
            SourceEvent::Report(report) => events.push(report),
            SourceEvent::Answered { number } => {
                assert_eq!(number, 2);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(events.len(), 2);
    source.disconnect();
    let mut rest = Vec::new();
    adapter.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, [0; 0]);
    // Opened again when told to.
    source.connect();
    accept(&listener).await;
    connected(&mut source).await;
}

#[tokio::test]
async fn what_is_not_there_is_told() {
    let mut source = start("raven:///dev/does-not-exist");
    source.connect();
    assert!(matches!(
        next(&mut source).await,
        SourceEvent::Disconnected(_)
    ));
    let mut source = start("p1:///dev/does-not-exist");
    for _ in 0..2 {
        assert!(matches!(
            next(&mut source).await,
            SourceEvent::Disconnected(_)
        ));
    }
}

/// The source itself: one place writes, and what listens has none.
#[test]
fn one_place_writes() {
    let code = |source: &'static str| source.split("#[cfg(test)]").next().unwrap();
    let listen = code(include_str!("../../src/han_port/listen.rs"));
    let source = code(include_str!("../../src/han_port/source.rs"));
    let radio = code(include_str!("../../src/han_port/radio.rs"));
    let poll = code(include_str!("../../src/han_port/poll.rs"));
    for silent in [listen, source, radio] {
        for way in ["write_all", "AsyncWrite", "poll_write", "try_write"] {
            assert!(!silent.contains(way), "{way}");
        }
    }
    assert_eq!(poll.matches(".write_all(").count(), 1);
    // It is reached with what has been cleared, or with what ASH has framed,
    // which takes nothing else.
    assert_eq!(poll.matches("self.write(").count(), 2);
    assert!(poll.contains("self.write(cleared.octets())"));
    assert_eq!(radio.matches("line.write").count(), 1);
    assert!(radio.contains("Output::Write(octets) => line.write_ash(&octets)"));
}
