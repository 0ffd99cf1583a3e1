//! What a cut link costs: readings over the simulated network, in which links
//! on the path in use are cut.

use std::path::Path;

use link::{Client, Endpoint};
use model::MessageClass;
use sim::scion::{Cut, End, HEAD_END, METERS, Network, Plan, Topology};

use super::super::plot;
use super::super::report::{Cell, Goal, Report};
use super::super::run::Process;
use super::tally::{self, APART, Counted, Found, Tally, URGENT_MS, open};
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

/// What all cases came to.
struct All {
    rows: Vec<(Case, Found)>,
    counted: Counted,
    /// Packets that came to a router that no path of theirs leads to.
    astray: u64,
    /// Cuts, and those of them that something met.
    cuts: [u64; 2],
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
        let (mut rows, mut cuts) = (Vec::new(), [0; 2]);
        for case in cases() {
            say(&format!(
                "{} readings, cut: {}",
                extent.cuts * extent.cut_readings,
                case.name()
            ));
            let mut found = Found::default();
            for _ in 0..extent.cuts {
                let met = once(&network, &endpoint, &case, extent.cut_readings, &mut found).await?;
                if let Some(met) = met {
                    let [all, of_them] = cuts;
                    cuts = [all + 1, of_them + u64::from(met)];
                }
            }
            rows.push((case, found));
        }
        let (mut counted, astray) = (counted(&network), network.astray());
        tally::send_astray(&endpoint).await;
        counted.on_purpose = self::counted(&network).forbidden - counted.forbidden;
        let all = All {
            rows,
            counted,
            astray,
            cuts,
        };
        Ok(report(&all, extent))
    })
}

fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for class in [MessageClass::Usage, MessageClass::Control] {
        all.push(Case {
            how: None,
            spot: Spot::HeadEnd,
            class,
        });
        for how in [Cut::Loud, Cut::Silent] {
            all.extend([Spot::HeadEnd, Spot::Core, Spot::Meter].map(|spot| Case {
                how: Some(how),
                spot,
                class,
            }));
        }
    }
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

/// One association, in whose midst a link of its path is cut; of what goes on
/// two paths, of the one by which the last answer came first. Tells whether
/// anything met the cut, where there is one.
async fn once(
    network: &Network,
    endpoint: &Endpoint,
    case: &Case,
    readings: u32,
    found: &mut Found,
) -> Result<Option<bool>, Failure> {
    let mut client = open(endpoint, case.class).await?;
    let (mut tally, mut cut) = (Tally::default(), None);
    for number in 0..readings {
        let now = number == readings / 2;
        if now && let Some(how) = case.how {
            let end = in_use(&client, case.spot)
                .ok_or_else(|| Failure::new("no reading told its path"))?;
            cut = Some((end, not_sent(network, end)));
            network
                .cut(end, Some(how))
                .map_err(|it| Failure::new(it.to_string()))?;
        }
        let took = tally.read(&mut client).await;
        if now {
            found.after_ms = found.after_ms.max(took.unwrap_or(f64::MAX));
        }
    }
    tally.add_to(found, client.counts().repeated);
    client.release().await;
    let Some((end, before)) = cut else {
        return Ok(None);
    };
    network
        .cut(end, None)
        .map_err(|it| Failure::new(it.to_string()))?;
    Ok(Some(not_sent(network, end) > before))
}

/// Packets that a link did not send because it was cut.
fn not_sent(network: &Network, end: End) -> u64 {
    let links = network.links();
    let link = links.iter().find(|state| state.link.ends.contains(&end));
    link.map_or(0, |state| state.counters.cut)
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
    let mut counted = Counted::default();
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

fn report(all: &All, extent: Extent) -> Report {
    let rows = &all.rows;
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
                Cell::Number(found.after_ms, 2),
                Cell::Number(found.longest_ms, 1),
                Cell::count(Some(found.repeated)),
                Cell::count(Some(found.lost)),
            ]
        })
        .collect();
    let worst = |which: &dyn Fn(&Case) -> bool, of: fn(&Found) -> f64| {
        let chosen = rows.iter().filter(|(case, _)| which(case));
        chosen.map(|(_, found)| of(found)).reduce(f64::max)
    };
    let longest = |found: &Found| found.longest_ms;
    let cut_so = |how| move |case: &Case| case.how == Some(how) && !case.is_urgent();
    let doubled_and_cut = |case: &Case| case.how.is_some() && case.is_urgent();
    let lost: u64 = rows.iter().map(|(_, found)| found.lost).sum();
    let most = |urgent| {
        let chosen = rows.iter().filter(|(case, _)| case.is_urgent() == urgent);
        chosen.map(|(_, found)| found.repeated).max().unwrap_or(0)
    };
    let repeated = [most(false), most(true)];
    let [none_lost, repeated, doubled] =
        tally::goals(lost, repeated, "for a cut", "whatever is cut");
    let kept = all.counted.goal(extent, "network's");
    let [cuts, met] = all.cuts;
    let goals = vec![
        Goal {
            wanted: "each cut is met by what is read".to_owned(),
            found: format!("{met} of {cuts}"),
            met: met == cuts && cuts > 0,
        },
        none_lost,
        repeated,
        Goal::below(
            "a reported cut costs under 30 ms",
            worst(&cut_so(Cut::Loud), longest),
            30.0,
            " ms",
        ),
        Goal::below(
            "a silent cut costs under 300 ms",
            worst(&cut_so(Cut::Silent), longest),
            300.0,
            " ms",
        ),
        doubled,
        Goal::below(
            "doubled messages under 30 ms, whatever is cut",
            worst(&doubled_and_cut, longest),
            URGENT_MS,
            " ms",
        ),
        not_delayed(
            worst(&doubled_and_cut, |found| found.after_ms),
            worst(&|case| case.how.is_none() && case.is_urgent(), longest),
        ),
        Goal {
            met: kept.met && all.astray == 0,
            ..kept
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
             mended before the next association. Of two paths it is the one whose answer came \
             first. reported: its routers say so (SCMP); silent: nobody does. longest: what the \
             slowest reading of all took, with its failover; after: the slowest of those that came \
             right after a cut, or in the midst where nothing is cut; median: of the slowest \
             association. again: requests that were repeated, of the association with the most. \
             At the end something is sent through domain 3 on purpose, to see that it is counted.",
            extent.cuts,
            extent.cut_readings,
            APART.as_millis()
        ),
        columns: vec![
            "cut",
            "class",
            "readings",
            "median\nms",
            "after\nms",
            "longest\nms",
            "again",
            "lost",
        ],
        rows: cells,
        goals,
        plot: plot::bars(title, "longest reading, ms", &["longest".to_owned()], &bars),
    }
}

/// A message that went on two paths is to come as soon after a cut as others
/// where nothing is cut.
fn not_delayed(after: Option<f64>, uncut: Option<f64>) -> Goal {
    let ms = |value: Option<f64>| {
        value.map_or_else(|| "none".to_owned(), |value| format!("{value:.2} ms"))
    };
    Goal {
        wanted: "doubled messages right after a cut as soon as without one".to_owned(),
        found: format!("{}; without up to {}", ms(after), ms(uncut)),
        met: after
            .zip(uncut)
            .is_some_and(|(after, uncut)| after <= uncut),
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
