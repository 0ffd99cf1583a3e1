//! Options of every command with a `scion://` URL.

use clap::Args;
use link::{Endpoint, PathReceipt};
use serde_json::{Value, json};

use crate::failure::Failure;

/// How the own AS of a SCION network is known, and where paths may go.
#[derive(Args, Clone, Debug)]
pub(crate) struct ScionArgs {
    /// The daemon of the own AS, for scion:// URLs
    #[arg(
        long,
        value_name = "HOST:PORT",
        env = "SCION_DAEMON",
        hide_env_values = true,
        help_heading = "SCION"
    )]
    scion_daemon: Option<String>,

    /// What paths may touch, in SCION's path policy language: '- 3 +'
    #[arg(
        long,
        value_name = "ACL",
        allow_hyphen_values = true,
        help_heading = "SCION"
    )]
    fence: Option<String>,
}

impl ScionArgs {
    /// Puts what was given into an endpoint, where its URL does not say it.
    pub(crate) fn put(&self, endpoint: &mut Endpoint) -> Result<(), Failure> {
        let Some(options) = endpoint.scion_mut() else {
            return match self.fence {
                None => Ok(()),
                Some(_) => Err(Failure::usage("--fence belongs to a scion:// URL")),
            };
        };
        if let Some(text) = &self.fence {
            if options.fence.is_some() {
                return Err(Failure::usage(
                    "the URL has a fence already, and --fence another",
                ));
            }
            let fence = text
                .parse()
                .map_err(|error| Failure::usage(format!("--fence '{text}': {error}")))?;
            options.fence = Some(fence);
        }
        if options.daemon.is_none() {
            options.daemon.clone_from(&self.scion_daemon);
        }
        Ok(())
    }
}

/// What an AS tells of itself.
fn about(about: &link::ScionAbout) -> Value {
    json!({
        "isd_as": about.isd_as.to_string(),
        "places": about.places,
        "note": about.note,
    })
}

/// The paths of a reading in both directions, for programs.
pub(crate) fn receipt(receipt: &PathReceipt) -> Value {
    let leg = |path: &link::ScionPath| {
        json!({
            "fingerprint": path.fingerprint().to_string(),
            "hops": path.to_string(),
            "verified": path.trust == link::ScionTrust::Daemon,
            "about": path.about.iter().map(about).collect::<Vec<_>>(),
        })
    };
    json!({
        "sent": receipt.sent.as_ref().map(leg),
        "received": receipt.received.as_ref().map(leg),
    })
}
