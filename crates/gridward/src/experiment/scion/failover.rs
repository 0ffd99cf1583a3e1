//! What a cut link costs: readings over the simulated network, in which links
//! on the path in use are cut.

use std::path::Path;

use link::{Client, Endpoint};
use model::MessageClass;
use sim::scion::{Cut, End, HEAD_END, METERS, Network, Plan, Topology};

use super::super::plot;
use super::super::report::{Cell, Goal, Report};
use super::super::run::Process;
use super::tally::{self, APART, Found, Tally, open};
use super::{Extent, FENCE};
use crate::failure::Failure;
use crate::role;

/// Where on the path in use the cut is.
#[derive(Clone, Copy, Debug)]
enum Spot {
    HeadEnd,
    Core,
    Meter,
}

/// A row: how is cut, where, and with which class is read.
struct Case {
    how: Option<Cut>,
    spot: Spot,
    class: MessageClass,
}

/// What the two links of the third domain and the head end's own saw.
#[derive(Default)]
struct Counted {
    forbidden: u64,
    packets: u64,
    astray: u64,
}

pub(super) fn measure(
    program: &Path,
    folder: &Path,
    extent: Extent,
    say: &mut dyn FnMut(&str),
) -> Result<Report, Failure> {
    role::block_on(async {
        let network = Network::start(Plan::new(Topology::six())).await;
        let network = network
            .map_err(|error| Failure::new(format!("the network does not start: {error}")))?;
        let daemon = |isd_as| {
            network
                .daemon(isd_as)
                .map_or_else(String::new, |at| at.to_string())
        };
        let mut command = std::process::Command::new(program);
        let keys = folder.join("failover.toml");
        command.args([
            "meter",
            "--history",
            "0",
            "--json",
            "--stop-at-eof",
            "--fence",
            FENCE,
        ]);
        command
            .arg("--listen")
            .arg(format!("scion://[{METERS},127.0.0.1]:0"));
        command
            .args(["--scion-daemon", &daemon(METERS)])
            .arg("--keys")
            .arg(keys);
        let mut meter = Process::spawn(command, "gridward meter")?;
        let told: serde_json::Value = serde_json::from_str(&meter.until("{")?)
            .map_err(|error| Failure::new(error.to_string()))?;
        let place = super::place::at(&told, "endpoint")
            .as_str()
            .unwrap_or_default();
        let place = place.split('?').next().unwrap_or_default();
        let url = format!("{place}?daemon={}&fence={FENCE}", daemon(HEAD_END));
        let endpoint: Endpoint = url
            .parse()
            .map_err(|error| Failure::new(format!("{url}: {error}")))?;
        let mut rows = Vec::new();
        for case in cases() {
            say(&format!(
                "{} readings, cut: {}",
                extent.cuts * extent.cut_readings,
                case.name()
            ));
            let mut found = Found::default();
            for _ in 0..extent.cuts {
                once(&network, &endpoint, &case, extent.cut_readings, &mut found).await?;
            }
            rows.push((case, found));
        }
        Ok(report(&rows, &counted(&network), extent))
    })
}

fn cases() -> Vec<Case> {
    let usual = MessageClass::Usage;
    let mut all = vec![Case {
        how: None,
        spot: Spot::HeadEnd,
        class: usual,
    }];
    for how in [Cut::Loud, Cut::Silent] {
        for spot in [Spot::HeadEnd, Spot::Core, Spot::Meter] {
            all.push(Case {
                how: Some(how),
                spot,
                class: usual,
            });
        }
    }
    all.extend([Cut::Loud, Cut::Silent].map(|how| Case {
        how: Some(how),
        spot: Spot::Core,
        class: MessageClass::Control,
    }));
    all
}

impl Case {
    fn name(&self) -> String {
        let how = match self.how {
            None => return "none".to_owned(),
            Some(Cut::Loud) => "reported",
            Some(Cut::Silent) => "silent",
        };
        let spot = match self.spot {
            Spot::HeadEnd => "head end",
            Spot::Core => "core",
            Spot::Meter => "meter",
        };
        format!("{how}, {spot}")
    }

    const fn is_urgent(&self) -> bool {
        matches!(self.class, MessageClass::Control)
    }
}

/// One association, in whose midst a link of its path is cut.
async fn once(
    network: &Network,
    endpoint: &Endpoint,
    case: &Case,
    readings: u32,
    found: &mut Found,
) -> Result<(), Failure> {
    let mut client = open(endpoint, case.class).await?;
    let (mut tally, mut cut) = (Tally::default(), None);
    for number in 0..readings {
        if number == readings / 2
            && let Some(how) = case.how
        {
            let end = in_use(&client, case.spot)
                .ok_or_else(|| Failure::new("no reading told its path"))?;
            network
                .cut(end, Some(how))
                .map_err(|it| Failure::new(it.to_string()))?;
            cut = Some(end);
        }
        tally.read(&mut client).await;
    }
    tally.add_to(found, client.counts().repeated);
    client.release().await;
    if let Some(end) = cut {
        network
            .cut(end, None)
            .map_err(|it| Failure::new(it.to_string()))?;
    }
    Ok(())
}

/// The link at this place of the path that the last reading took.
fn in_use(client: &Client, spot: Spot) -> Option<End> {
    let path = client.scion()?.receipt.sent?;
    let hops = path.hops();
    let hop = match spot {
        Spot::HeadEnd => hops.first()?,
        Spot::Core => hops.get(1)?,
        Spot::Meter => hops.get(hops.len().checked_sub(2)?)?,
    };
    Some(End {
        isd_as: hop.isd_as,
        interface: hop.egress,
    })
}

fn counted(network: &Network) -> Counted {
    let mut counted = Counted {
        astray: network.astray(),
        ..Counted::default()
    };
    for state in network.links() {
        let ends = state.link.ends;
        if ends.iter().any(|end| end.isd_as.isd.0 == 3) {
            counted.forbidden += state.counters.packets;
        }
        // Every packet of the readings crosses one of these.
        if ends.iter().any(|end| end.isd_as == HEAD_END) {
            counted.packets += state.counters.packets;
        }
    }
    counted
}

fn report(rows: &[(Case, Found)], counted: &Counted, extent: Extent) -> Report {
    let cells = rows
        .iter()
        .map(|(case, found)| {
            vec![
                case.name().into(),
                if case.is_urgent() {
                    "control, doubled"
                } else {
                    "usage"
                }
                .into(),
                Cell::count(Some(found.readings)),
                Cell::Number(found.usual_ms, 2),
                Cell::Number(found.longest_ms, 1),
                Cell::count(Some(found.repeated)),
                Cell::count(Some(found.lost)),
            ]
        })
        .collect();
    let worst = |which: &dyn Fn(&Case) -> bool| {
        let chosen = rows.iter().filter(|(case, _)| which(case));
        chosen.map(|(_, found)| found.longest_ms).reduce(f64::max)
    };
    let cut_so = |how| move |case: &Case| case.how == Some(how) && !case.is_urgent();
    let lost: u64 = rows.iter().map(|(_, found)| found.lost).sum();
    let most = |urgent| {
        let chosen = rows.iter().filter(|(case, _)| case.is_urgent() == urgent);
        chosen.map(|(_, found)| found.repeated).max().unwrap_or(0)
    };
    let repeated = [most(false), most(true)];
    let [none_lost, repeated, doubled] =
        tally::goals(lost, repeated, "for a cut", "whatever is cut");
    let goals = vec![
        none_lost,
        repeated,
        Goal::below(
            "a reported cut costs under 30 ms",
            worst(&cut_so(Cut::Loud)),
            30.0,
            " ms",
        ),
        Goal::below(
            "a silent cut costs under 300 ms",
            worst(&cut_so(Cut::Silent)),
            300.0,
            " ms",
        ),
        doubled,
        Goal {
            wanted: "no packet on a forbidden link, by the network's own counters".to_owned(),
            found: format!("{} of {} packets", counted.forbidden, counted.packets),
            met: counted.forbidden == 0 && counted.astray == 0,
        },
    ];
    let title = "A link of the path in use is cut";
    let bars: Vec<_> = rows
        .iter()
        .map(|(case, found)| {
            let class = if case.is_urgent() { " ×2" } else { "" };
            (
                format!("{}{class}", short(case)),
                vec![Some(found.longest_ms)],
            )
        })
        .collect();
    Report {
        name: "failover",
        title,
        legend: format!(
            "Each row {} associations of {} readings, {} ms apart, within the fence '{FENCE}', on \
             the simulated network without delays; in the midst of each a link that the last \
             reading crossed is cut (the head end's first, one of the core, the meter's), and \
             mended before the next association. reported: its routers say so (SCMP); silent: nobody does. longest: what the slowest reading of all \
             took, with its failover; median: of the slowest association. again: requests that \
             were repeated, of the association with the most.",
            extent.cuts,
            extent.cut_readings,
            APART.as_millis()
        ),
        columns: vec![
            "cut",
            "class",
            "readings",
            "median\nms",
            "longest\nms",
            "again",
            "lost",
        ],
        rows: cells,
        goals,
        plot: plot::bars(title, "longest reading, ms", &["longest".to_owned()], &bars),
    }
}

/// A name that fits below a bar.
fn short(case: &Case) -> &'static str {
    match (case.how, case.spot) {
        (None, _) => "none",
        (Some(Cut::Loud), Spot::HeadEnd) => "rep. head",
        (Some(Cut::Loud), Spot::Core) => "rep. core",
        (Some(Cut::Loud), Spot::Meter) => "rep. meter",
        (Some(Cut::Silent), Spot::HeadEnd) => "sil. head",
        (Some(Cut::Silent), Spot::Core) => "sil. core",
        (Some(Cut::Silent), Spot::Meter) => "sil. meter",
    }
}
