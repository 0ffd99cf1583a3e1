//! The demo's outlet meters: they call the head end over SCTP with TLS.

use serde_json::Value;

use super::behind::text;
use super::{Places, Program, Role, path};
use crate::failure::Failure;
use crate::papers::{self, PapersOptions};

/// Makes keys and certificates of what is not there yet.
pub(super) fn make_keys(places: &Places, count: u32) -> Result<(), Failure> {
    let folder = &places.outlets;
    let known = (1..=count)
        .take_while(|number| folder.join(papers::folder_of(*number)).exists())
        .count();
    let known = u32::try_from(known).unwrap_or(count);
    if known < count {
        papers::issue(&PapersOptions::of(folder, known + 1, count - known))?;
    }
    Ok(())
}

/// The head end's section. Its ports are chosen by the system.
pub(super) fn section(places: &Places) -> String {
    let file = |name: &str| text(&places.outlets.join("headend").join(name));
    format!(
        "\n[headend.outlets]\nlisten = \"sctps://127.0.0.1:0?udp=0\"\nca = {}\ncertificate = {}\n\
         key = {}\nmeters = {}\nbreaker_key = {}\nutc_offset_min = {}\n",
        file("ca.pem"),
        file("headend.pem"),
        file("headend.key"),
        file("meters.toml"),
        file("breaker.key"),
        PapersOptions::UTC_OFFSET_MIN,
    )
}

/// Starts them, each a process, where the head end says that it listens.
pub(super) async fn start(
    places: &Places,
    program: &Program,
    count: u32,
    headend: &Value,
) -> Result<Vec<Role>, Failure> {
    let port = |name: &str| headend.get("outlets")?.get(name)?.as_u64();
    let mut meters = Vec::new();
    for number in 1..=count {
        let (Some(sctp), Some(udp)) = (port("sctp_port"), port("udp_port")) else {
            return Err(Failure::new("the head end serves no outlet meters")
                .hint("does its configuration have a section [headend.outlets] of its own?"));
        };
        let config = places
            .outlets
            .join(papers::folder_of(number))
            .join("gridward.toml");
        let server = format!("sctps://127.0.0.1:{sctp}?udp={udp}");
        let arguments = [
            "outlet-meter",
            "--config",
            path(&config)?,
            "--server",
            &server,
        ];
        let mut meter = Role::start("an outlet meter", program, &arguments)?;
        meter.line().await?;
        meter.drain();
        meters.push(meter);
    }
    Ok(meters)
}
