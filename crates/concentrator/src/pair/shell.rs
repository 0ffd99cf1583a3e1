//! The connection of a pair: TLS with certificates of both sides, made anew whenever it is lost.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use link::{Clock, Endpoint, Link, LinkError, LinkExt as _, Listener, Message, connect};
use model::MessageClass;
use tokio::sync::mpsc;

use super::Kept;
use crate::sap::OWN_SAP;
use crate::store::StoreError;

/// Messages that wait for the line; it is given up where there are more.
const WAITING_MAX: usize = 1_024;

/// Messages that are written before a flush.
const AT_ONCE: usize = 64;

/// The wait before the other is called again.
const AGAIN: Duration = Duration::from_millis(500);

/// How long calling it, and a flush, may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the line tells. Each connection has a number that rises.
#[derive(Debug)]
pub(crate) enum Event {
    /// There is a connection; what is sent here goes over it.
    Up(u64, mpsc::Sender<Vec<u8>>),
    /// It said something.
    Word(u64, Vec<u8>),
    /// It is gone.
    Down(u64),
}

/// Who calls whom.
pub(crate) enum Way {
    /// The other calls.
    Listen(Listener),
    /// This one calls.
    Connect(Endpoint),
}

/// Keeps up a connection until nobody listens to it any more.
pub(crate) async fn run(way: Way, tell: mpsc::Sender<Event>, clock: Arc<dyn Clock>) {
    let mut number = 0;
    match way {
        Way::Listen(mut listener) => {
            let mut serving = tokio::task::JoinSet::new();
            while let Some(accepted) = listener.accept().await {
                number += 1;
                // One who comes anew has lost the connection that was there.
                serving.abort_all();
                let tell = tell.clone();
                serving.spawn(async move {
                    serve(accepted.link, number, &tell).await;
                    drop(accepted.permit);
                });
                while serving.try_join_next().is_some() {}
            }
        }
        Way::Connect(endpoint) => {
            while !tell.is_closed() {
                number += 1;
                match connect(&endpoint, (OWN_SAP, OWN_SAP), &clock, PATIENCE).await {
                    Ok(link) => serve(link, number, &tell).await,
                    Err(error) => {
                        tracing::info!(%error, "the other concentrator cannot be reached");
                    }
                }
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

async fn serve(mut link: Box<dyn Link>, number: u64, tell: &mpsc::Sender<Event>) {
    let (sender, mut waiting) = mpsc::channel(WAITING_MAX);
    if tell.send(Event::Up(number, sender)).await.is_err() {
        return;
    }
    let ended = carry(&mut *link, number, tell, &mut waiting).await.err();
    let ended = ended.map(|error| error.to_string());
    tracing::info!(ended, "the connection to the other concentrator has ended");
    // Where the core is gone there is nothing to tell.
    drop(tell.send(Event::Down(number)).await);
}

async fn carry(
    link: &mut dyn Link,
    number: u64,
    tell: &mpsc::Sender<Event>,
    waiting: &mut mpsc::Receiver<Vec<u8>>,
) -> Result<(), LinkError> {
    loop {
        tokio::select! {
            word = waiting.recv() => {
                let Some(word) = word else { return Ok(()) };
                link.send(message(word))?;
                let mut more = 0;
                while more < AT_ONCE && let Ok(word) = waiting.try_recv() {
                    link.send(message(word))?;
                    more += 1;
                }
                let flushed = tokio::time::timeout(PATIENCE, link.flush()).await;
                flushed.map_err(|_| LinkError::Closed)??;
            }
            message = link.receive() => {
                let event = Event::Word(number, message?.payload);
                if tell.send(event).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}

const fn message(payload: Vec<u8>) -> Message {
    Message {
        source: OWN_SAP,
        destination: OWN_SAP,
        class: MessageClass::Request,
        payload,
    }
}

/// Octets that the file may have.
const FILE_LEN_MAX: u64 = 256;

/// Reads what outlasts a restart; nothing where there is no file.
///
/// # Errors
/// [`StoreError`] where it cannot be read or is damaged.
pub fn load(path: &Path) -> Result<Kept, StoreError> {
    let mut text = String::new();
    match File::open(path) {
        Ok(file) => file.take(FILE_LEN_MAX).read_to_string(&mut text)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Kept::default()),
        Err(error) => return Err(error.into()),
    };
    parse(text.trim_end()).ok_or_else(|| StoreError::Damaged {
        path: PathBuf::from(path),
        line: 1,
    })
}

fn parse(line: &str) -> Option<Kept> {
    let (crc, body) = line.split_once(' ')?;
    if u32::from_str_radix(crc, 16).ok()? != crc32fast::hash(body.as_bytes()) {
        return None;
    }
    let parts: Vec<&str> = body.split(' ').collect();
    match parts.as_slice() {
        ["epoch", epoch, "adopted", adopted] => Some(Kept {
            epoch: epoch.parse().ok()?,
            adopted: adopted.parse().ok()?,
        }),
        _ => None,
    }
}

/// Makes it durable, at once.
///
/// # Errors
/// The system's error; the file is as it was before then.
pub fn store(path: &Path, kept: Kept) -> Result<(), StoreError> {
    let body = format!("epoch {} adopted {}", kept.epoch, kept.adopted);
    let text = format!("{:08x} {body}\n", crc32fast::hash(body.as_bytes()));
    let beside = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()?;
    Ok(())
}
