//! A home gateway as a process, and the meters that it reads, played behind
//! serial servers. For tests and the benchmark.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

pub(crate) const LONG: Duration = Duration::from_secs(120);

/// An adapter behind a serial server, which notes when it is asked for power.
pub(crate) struct Adapter {
    pub(crate) port: u16,
    pub(crate) asked: Arc<Mutex<Vec<Instant>>>,
    pub(crate) heard: Arc<Mutex<BTreeSet<String>>>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "when octets came is what the test is about"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

impl Adapter {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::new(Mutex::new(BTreeSet::new()));
        let (notes, names) = (Arc::clone(&asked), Arc::clone(&heard));
        thread::spawn(move || {
            for peer in listener.incoming() {
                let (peer, notes, names) = (peer.unwrap(), Arc::clone(&notes), Arc::clone(&names));
                thread::spawn(move || answer(&peer, &notes, &names));
            }
        });
        Self { port, asked, heard }
    }

    pub(crate) fn polls(&self) -> Vec<Instant> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn wait_for_polls(&self, count: usize) {
        let end = now() + LONG;
        while self.polls().len() < count {
            assert!(now() < end, "{} polls of {count}", self.polls().len());
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Answers what an EMU-2 is asked (RAVEn XML API manual 1.27).
pub(crate) fn answer(
    mut peer: &TcpStream,
    asked: &Mutex<Vec<Instant>>,
    heard: &Mutex<BTreeSet<String>>,
) -> Option<()> {
    let mut text = String::new();
    let mut input = [0; 1_024];
    loop {
        let count = peer.read(&mut input).ok().filter(|count| *count > 0)?;
        let at = now();
        text.push_str(std::str::from_utf8(&input[..count]).unwrap());
        while let Some(end) = text.find("</Command>") {
            let command = text[..end].to_owned();
            text.drain(..end + "</Command>".len());
            let name = command
                .split("<Name>")
                .nth(1)?
                .split('<')
                .next()?
                .to_owned();
            heard.lock().unwrap().insert(name.clone());
            let since_2000 = 846_000_000 + asked.lock().unwrap().len();
            let common = format!(
                "<DeviceMacId>0xd8d5b90000001234</DeviceMacId>\r\n\
                 <MeterMacId>0x00135003004a6b1f</MeterMacId>\r\n\
                 <TimeStamp>{since_2000:#x}</TimeStamp>\r\n"
            );
            let scale = "<Multiplier>0x00000001</Multiplier>\r\n<Divisor>0x000003e8</Divisor>\r\n";
            let reply = match name.as_str() {
                "get_instantaneous_demand" => {
                    asked.lock().unwrap().push(at);
                    format!(
                        "<InstantaneousDemand>\r\n{common}<Demand>0x0001e6</Demand>\r\n{scale}\
                         </InstantaneousDemand>\r\n"
                    )
                }
                "get_current_summation_delivered" => format!(
                    "<CurrentSummationDelivered>\r\n{common}\
                     <SummationDelivered>0x0000000001a95867</SummationDelivered>\r\n\
                     <SummationReceived>0x0000000000000000</SummationReceived>\r\n{scale}\
                     </CurrentSummationDelivered>\r\n"
                ),
                _ => continue,
            };
            peer.write_all(reply.as_bytes()).ok()?;
        }
    }
}

pub(crate) struct Gateway {
    pub(crate) child: Child,
    pub(crate) line: Value,
    pub(crate) data: PathBuf,
    pub(crate) password: String,
}

impl Gateway {
    pub(crate) fn start(source: &str, data: &Path, password: Option<&str>) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_gridward"))
            .args(["homegate", "--json", "--listen", "127.0.0.1:0"])
            .args(["--source", source, "--data"])
            .arg(data)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut text = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut text)
            .unwrap();
        let line: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text:?}"));
        let password = match password {
            Some(known) => {
                assert_eq!(line["password"], Value::Null, "it is told once");
                known.to_owned()
            }
            None => line["password"].as_str().unwrap().to_owned(),
        };
        Self {
            child,
            line,
            data: data.to_owned(),
            password,
        }
    }

    pub(crate) fn connect(&self) -> StreamOwned<ClientConnection, TcpStream> {
        let mut roots = RootCertStore::empty();
        let cert = CertificateDer::from_pem_file(self.data.join("ca.pem")).unwrap();
        roots.add(cert).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let url = self.line["url"].as_str().unwrap();
        let address = url.trim_start_matches("https://").trim_end_matches('/');
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.set_nodelay(true).unwrap();
        StreamOwned::new(connection, stream)
    }

    /// Asks once on a connection that stays open.
    pub(crate) fn ask(
        &self,
        stream: &mut StreamOwned<ClientConnection, TcpStream>,
        path: &str,
    ) -> (u16, String) {
        let both = format!("home:{}", self.password);
        let both = base64::engine::general_purpose::STANDARD.encode(both);
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Basic {both}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        stream.flush().unwrap();
        let mut head = Vec::new();
        let mut octet = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut octet).unwrap();
            head.push(octet[0]);
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.unwrap().parse().unwrap()];
        stream.read_exact(&mut body).unwrap();
        (status, String::from_utf8(body).unwrap())
    }

    /// Waits until the state is as `holds` says.
    pub(crate) fn until(&self, holds: impl Fn(&Value) -> bool) -> Value {
        let mut stream = self.connect();
        let end = now() + LONG;
        loop {
            let (status, body) = self.ask(&mut stream, "/api/v1/state");
            assert_eq!(status, 200, "{body}");
            let state: Value = serde_json::from_str(&body).unwrap();
            if holds(&state) {
                return state;
            }
            assert!(now() < end, "{state}");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A P1 port that tells all the time.
pub(crate) fn port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for peer in listener.incoming() {
            let mut peer = peer.unwrap();
            thread::spawn(move || {
                let mut delivered = 27_875_300;
                loop {
                    delivered += 1;
                    let text = format!(
                        "/GWD5\\253P1METER\r\n\r\n1-0:1.8.0({:06}.{:03}*kWh)\r\n\
                         1-0:1.7.0(00.486*kW)\r\n1-0:2.7.0(00.000*kW)\r\n!",
                        delivered / 1_000,
                        delivered % 1_000
                    );
                    let crc = text.bytes().fold(0_u16, |crc, octet| {
                        (0..8).fold(crc ^ u16::from(octet), |crc, _| {
                            (crc >> 1) ^ if crc & 1 == 1 { 0xA001 } else { 0 }
                        })
                    });
                    if write!(peer, "{text}{crc:04X}\r\n").is_err() {
                        return;
                    }
                    thread::sleep(Duration::from_millis(500));
                }
            });
        }
    });
    port
}
