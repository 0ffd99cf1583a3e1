//! A head end's association with a meter, its keys from a key file; used by tests and a benchmark.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use dlms::acse::MechanismName;
use dlms::security::{
    AwsLc, CounterRecord, CounterRestart, KeyRing, Keys, PeerCounter, Protection, ReplayWindow,
    SecuritySuite, SendCounter, SystemTitle,
};
use dlms::server::Context;
use link::{Association, MeterKeys};

const LIMIT: Duration = Duration::from_secs(120);

/// Counters that nobody needs afterwards.
struct Forgotten;

impl link::CounterStore for Forgotten {
    fn store<'a>(
        &'a self,
        _: &'a CounterRecord,
    ) -> Pin<Box<dyn Future<Output = std::io::Result<()>> + Send + 'a>> {
        Box::pin(async { Ok(()) })
    }
}

/// The head end's association with a meter.
pub(crate) fn association(keys: &MeterKeys, server: u16) -> Association {
    let held = keys.client(1).unwrap();
    let both = Keys::new(
        held.encryption_key.clone().unwrap(),
        held.authentication_key.clone().unwrap(),
    );
    Association {
        client: 1,
        config: dlms::client::Config {
            context: Context::LogicalNameCiphered,
            mechanism: MechanismName::HighGmac,
            protection: Protection::AuthenticatedEncrypted,
            timeout: LIMIT,
            ..dlms::client::Config::default()
        },
        security: Some(dlms::client::Security {
            title: SystemTitle(*b"GWDHES\0\x01"),
            server_title: Some(SystemTitle(keys.system_title.0)),
            keys: KeyRing::new(&AwsLc, SecuritySuite::Suite0, &both).unwrap(),
            send: SendCounter::resume(CounterRecord {
                end: 1,
                ..CounterRecord::default()
            }),
            received: PeerCounter::new(ReplayWindow::sliding(0), CounterRestart::Refuse),
        }),
        counters: Some(Arc::new(Forgotten)),
        ..Association::public(server)
    }
}
