//! Serving logical devices over the links that come in.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::{Clock, DrkeyMix, DrkeySource, Link, LinkError, LinkExt as _, Message, Sap};
use dlms::acse::Aarq;
use dlms::security::SystemTitle;
use dlms::server::{Input, ObjectStore, Output, Server, Settings, TimedKeys};
use scion::drkey::GRACE;

/// A logical device that several links may ask.
pub type SharedDevice = Arc<Mutex<dyn ObjectStore + Send>>;

/// The logical devices behind a listener.
pub trait Devices: Send + Sync {
    /// Finds the logical device with this SAP.
    fn find(&self, server: Sap) -> Option<SharedDevice>;

    /// Tells what a client's keys are mixed of, where the network derives a
    /// part of them. The client's title is in its AARQ, and is filled in.
    fn drkey(&self, server: Sap, client: Sap) -> Option<DrkeyMix> {
        let _ = (server, client);
        None
    }

    /// Lists the SAPs, for what is meant for all of them.
    fn saps(&self) -> Vec<Sap>;
}

/// The wrapper port of all logical devices (IEC 62056-47, clause 5.2.3).
pub const ALL_STATIONS: Sap = 0x007F;

/// How a link is served.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    /// The longest that a link may be silent.
    pub idle: Duration,
    /// What each server machine is told.
    pub settings: Settings,
    /// Logical devices that one link may speak with.
    pub devices_max: usize,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(180),
            settings: Settings::default(),
            devices_max: 65_536,
        }
    }
}

/// Serves one link until it ends.
///
/// # Errors
/// How it ended: [`LinkError::Closed`] where the peer was done.
pub async fn serve(
    mut link: Box<dyn Link>,
    devices: Arc<dyn Devices>,
    service: Service,
    clock: Arc<dyn Clock>,
) -> Result<(), LinkError> {
    let mut servers: BTreeMap<Sap, (Server, SharedDevice)> = BTreeMap::new();
    let carried = u16::try_from(link.payload_max()).unwrap_or(u16::MAX);
    let settings = Settings {
        apdu_len_max: service.settings.apdu_len_max.min(carried),
        ..service.settings
    };
    let ended = loop {
        let message = match tokio::time::timeout(service.idle, link.receive()).await {
            Ok(Ok(message)) => message,
            Ok(Err(error)) => break error,
            Err(_) => {
                break LinkError::Timeout {
                    phase: "waiting for a request",
                    seconds: service.idle.as_secs(),
                };
            }
        };
        let broadcast = message.destination == ALL_STATIONS;
        let destinations = if broadcast {
            devices.saps()
        } else {
            vec![message.destination]
        };
        let mut failed = None;
        for destination in destinations {
            if !servers.contains_key(&destination) {
                let Some(device) = devices
                    .find(destination)
                    .filter(|_| servers.len() < service.devices_max)
                else {
                    tracing::debug!(destination, "a message for a device that is not here");
                    continue;
                };
                servers.insert(destination, (Server::new(settings), device));
            }
            let Some((server, device)) = servers.get_mut(&destination) else {
                continue;
            };
            let aarq = message.payload.first() == Some(&AARQ) && !broadcast;
            let mix = aarq.then(|| devices.drkey(destination, message.source));
            let timed = match mix.flatten() {
                None => None,
                Some(mix) => {
                    let source = link.drkeys();
                    Some(timed(source, mix, &message.payload, clock.as_ref()).await)
                }
            };
            let input = Input::Apdu {
                client: message.source,
                broadcast,
                octets: &message.payload,
            };
            {
                let mut device = device.lock().unwrap_or_else(PoisonError::into_inner);
                if let (Some(timed), Some(state)) = (timed, device.security(message.source)) {
                    state.timed = Some(timed);
                }
                server.handle(input, clock.now(), &mut *device);
            }
            while let Output::Transmit { client, octets } = server.poll() {
                let answer = Message {
                    source: destination,
                    destination: client,
                    // As urgent as what it answers.
                    class: message.class,
                    payload: octets,
                };
                if let Err(error) = link.send(answer) {
                    failed = Some(error);
                }
            }
        }
        if let Some(error) = failed {
            break error;
        }
    };
    for (server, device) in servers.values_mut() {
        let mut device = device.lock().unwrap_or_else(PoisonError::into_inner);
        server.handle(Input::LinkLost, clock.now(), &mut *device);
    }
    Err(ended)
}

/// What an AARQ begins with (IEC 62056-5-3).
const AARQ: u8 = 0x60;

/// Finds the keys that a client which asks for an association may have now.
/// Without any, none is made.
async fn timed(
    source: Option<DrkeySource>,
    mut mix: DrkeyMix,
    aarq: &[u8],
    clock: &dyn Clock,
) -> Vec<TimedKeys> {
    let title = Aarq::decode_lenient(aarq).ok();
    let title = title.and_then(|aarq| SystemTitle::from_slice(aarq.value.calling_ap_title?));
    let (Some(source), Some(title)) = (source, title) else {
        return Vec::new();
    };
    mix.client_title = title;
    let now = u64::try_from(clock.unix_seconds()).unwrap_or(0);
    let keys = match source.at(now).await {
        Ok(keys) => keys,
        Err(why) => {
            tracing::warn!(client = mix.client, %why, "a client's keys are not there");
            return Vec::new();
        }
    };
    let here = clock.now();
    let ready = keys.iter().filter_map(|(epoch, drkey)| {
        let left = (u64::from(epoch.end()) + GRACE).saturating_sub(now);
        let keys = mix.ring(*epoch, drkey);
        let keys = keys.inspect_err(|why| tracing::warn!(%why, "a client's keys are unfit"));
        Some(TimedKeys {
            keys: keys.ok()?,
            until: here + Duration::from_secs(left),
        })
    });
    ready.collect()
}
