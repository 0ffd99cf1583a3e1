//! A client that shows every octet: one request a connection.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap().to_owned()
    }
}

pub(crate) async fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if method == "POST" || method == "PUT" {
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            head.push_str("content-type: application/json\r\n");
        }
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    let mut socket = TcpStream::connect(address).await.unwrap();
    let mut octets = head.into_bytes();
    octets.extend_from_slice(body);
    // A server may answer and close before it has read all.
    drop(socket.write_all(&octets).await);
    let mut reader = BufReader::new(socket);
    let (status, headers) = read_head(&mut reader).await;
    let mut body = Vec::new();
    if headers.get("transfer-encoding").map(String::as_str) == Some("chunked") {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).await.unwrap();
            let length = usize::from_str_radix(line.trim(), 16).unwrap();
            let mut chunk = vec![0; length + 2];
            reader.read_exact(&mut chunk).await.unwrap();
            if length == 0 {
                break;
            }
            body.extend_from_slice(&chunk[..length]);
        }
    } else {
        drop(reader.read_to_end(&mut body).await);
    }
    Answer {
        status,
        headers,
        body,
    }
}

async fn read_head(reader: &mut BufReader<TcpStream>) -> (u16, BTreeMap<String, String>) {
    let mut line = String::new();
    reader.read_line(&mut line).await.unwrap();
    let status = line
        .split(' ')
        .nth(1)
        .expect("a status line")
        .parse()
        .unwrap();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).await.unwrap();
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            return (status, headers);
        };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
}

/// An open event stream.
pub(crate) struct Events {
    reader: BufReader<TcpStream>,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: u64,
    pub(crate) data: Value,
}

impl Events {
    pub(crate) async fn open(
        address: SocketAddr,
        topics: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, u16> {
        let mut head =
            format!("GET /api/v1/stream?topics={topics} HTTP/1.1\r\nhost: {address}\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut reader = BufReader::new(socket);
        let (status, headers) = read_head(&mut reader).await;
        if status != 200 {
            return Err(status);
        }
        assert_eq!(headers["content-type"], "text/event-stream");
        Ok(Self { reader })
    }

    /// The next event of this name, or `None` when the stream ends.
    pub(crate) async fn next(&mut self, name: &str) -> Option<Event> {
        let (mut event, mut id, mut data) = (String::new(), 0, String::new());
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line).await.unwrap_or(0) == 0 {
                return None;
            }
            match line.trim_end().split_once(':') {
                Some(("event", value)) => event = value.trim().to_owned(),
                Some(("id", value)) => id = value.trim().parse().unwrap(),
                Some(("data", value)) => data.push_str(value.trim()),
                _ => {}
            }
            if line.trim_end().is_empty() && !data.is_empty() {
                if event == name {
                    return Some(Event {
                        name: event,
                        id,
                        data: serde_json::from_str(&data).unwrap(),
                    });
                }
                data.clear();
            }
        }
    }
}
