//! How long readings take, and what they cost, natively, through gateways and
//! over plain IP.

use serde_json::Value;

use super::super::figures::Latencies;
use super::super::plot;
use super::super::report::{Cell, Goal, Report};
use super::super::run::Process;
use super::place::{METER_PORT, Place, Usage, at, usage, usage_of};
use super::{Extent, tally};
use crate::failure::Failure;

/// How a reading goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Native,
    OurGateway,
    TheirGateway,
    Plain,
}

impl Way {
    const ALL: [Self; 4] = [
        Self::Native,
        Self::OurGateway,
        Self::TheirGateway,
        Self::Plain,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::OurGateway => "our gateway",
            Self::TheirGateway => "their gateway",
            Self::Plain => "plain IP",
        }
    }
}

/// What one way came to.
#[derive(Clone)]
struct Row {
    way: Way,
    latencies: Latencies,
    lost: u64,
    disorder: u64,
    repeated: u64,
    /// Processor time of all readings, memory at the end.
    meter: Usage,
    /// The same of the meter's gateway, where it has one.
    gateway: Option<Usage>,
}

/// Figures of the publication, on a Raspberry Pi Zero: its table names a mean
/// in milliseconds, a load of the processor and megabytes.
const QUOTED: [(&str, f64, &str, f64); 2] = [
    ("paper: native", 32.8, "14.1 %", 85.0),
    ("paper: gateway", 38.0, "24.35 %", 106.0),
];

/// How often a gateway is tried until it lets something through.
const TRIES: u32 = 30;

/// Measures all ways that there are; gives each reading as CSV beside.
pub(super) fn measure(
    place: &Place,
    extent: Extent,
    say: &mut dyn FnMut(&str),
) -> Result<(Report, String), Failure> {
    let there = |way: &Way| match way {
        Way::OurGateway => place.gateways,
        Way::TheirGateway => place.theirs.is_some(),
        Way::Native | Way::Plain => true,
    };
    let mut runs = Vec::new();
    for run in 1..=extent.runs {
        let mut rows = Vec::new();
        for way in Way::ALL.into_iter().filter(there) {
            let (readings, way_name) = (extent.readings, way.name());
            say(&match extent.runs {
                1 => format!("{readings} readings, {way_name}"),
                all => format!("run {run} of {all}: {readings} readings, {way_name}"),
            });
            rows.push(row(place, way, extent)?);
        }
        runs.push(rows);
    }
    let mut samples = "\"way\",\"run\",\"number\",\"ms\"\n".to_owned();
    for (run, rows) in runs.iter().enumerate() {
        for row in rows {
            // In the order in which they were made it would be of use for more,
            // but a distribution is what is looked at.
            for (number, took) in row.latencies.0.iter().enumerate() {
                samples.push_str(&format!(
                    "\"{}\",{},{},{took:.3}\n",
                    row.way.name(),
                    run + 1,
                    number + 1
                ));
            }
        }
    }
    Ok((report(&runs, extent), samples))
}

/// Puts the runs of each way together: sums, and the most memory of all.
fn pooled(runs: &[Vec<Row>]) -> Vec<Row> {
    let mut all: Vec<Row> = Vec::new();
    for row in runs.iter().flatten() {
        let Some(sum) = all.iter_mut().find(|sum| sum.way == row.way) else {
            all.push(row.clone());
            continue;
        };
        sum.latencies.0.extend(&row.latencies.0);
        sum.latencies.0.sort_by(f64::total_cmp);
        sum.lost += row.lost;
        sum.disorder += row.disorder;
        sum.repeated += row.repeated;
        sum.meter = sum.meter.with(row.meter);
        sum.gateway = sum.gateway.zip(row.gateway).map(|(sum, one)| sum.with(one));
    }
    all
}

fn row(place: &Place, way: Way, extent: Extent) -> Result<Row, Failure> {
    let gateways = match way {
        Way::OurGateway => place.gateways()?,
        _ => Vec::new(),
    };
    let url = match way {
        Way::Native => place.meter_url(),
        Way::OurGateway => format!("tcp://{}:{METER_PORT}", super::place::behind()),
        Way::TheirGateway => {
            let address = place.theirs.as_deref().unwrap_or_default();
            format!("tcp://{address}:{METER_PORT}")
        }
        Way::Plain => format!("tcp://{}:0", place.plain),
    };
    let keys = place
        .folder
        .join(format!("{}.toml", way.name().replace(' ', "-")));
    let file = keys.to_string_lossy().into_owned();
    let mut arguments = vec!["meter", "--listen", &url, "--history", "0", "--keys", &file];
    if way == Way::Native {
        arguments.extend([
            "--scion-daemon",
            &place.meter.daemon,
            "--fence",
            super::FENCE,
        ]);
    }
    let (meter, told) = place.start(&place.meter, &arguments)?;
    let url = at(&told, "endpoint").as_str().unwrap_or_default();
    let url = url.split('?').next().unwrap_or_default();
    // A gateway may still look for its paths; and the first reading of all is
    // not what is measured.
    let mut tries = if gateways.is_empty() && way != Way::TheirGateway {
        1
    } else {
        TRIES
    };
    loop {
        tries -= 1;
        match place.read(url, &keys, 3, 0) {
            Ok(told) if *at(&told, "lost") == 0 => break,
            Ok(_) | Err(_) if tries > 0 => std::thread::sleep(std::time::Duration::from_secs(1)),
            Ok(told) => {
                return Err(Failure::new(format!(
                    "{}: readings are lost: {told}",
                    way.name()
                )));
            }
            Err(error) => return Err(error),
        }
    }
    let gateway = || match way {
        Way::TheirGateway => place.their_gateway.map(usage_of),
        _ => gateways.first().map(usage),
    };
    let before = (usage(&meter), gateway());
    let told = place.read(url, &keys, extent.readings, extent.apart_ms)?;
    let after = (usage(&meter), gateway());
    drop::<Vec<Process>>(gateways);
    let since = |before: Usage, after: Usage| Usage {
        cpu_ms: after.cpu_ms - before.cpu_ms,
        ..after
    };
    let count = |name: &str| at(&told, name).as_u64().unwrap_or(u64::MAX);
    let mut latencies: Vec<f64> = at(&told, "latencies_us")
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
        .filter_map(Value::as_f64)
        .map(|micros| micros / 1e3)
        .collect();
    latencies.sort_by(f64::total_cmp);
    Ok(Row {
        way,
        latencies: Latencies(latencies),
        lost: count("lost"),
        disorder: count("disorder"),
        repeated: count("repeated"),
        meter: since(before.0, after.0),
        gateway: before
            .1
            .zip(after.1)
            .map(|(before, after)| since(before, after)),
    })
}

fn report(runs: &[Vec<Row>], extent: Extent) -> Report {
    let rows = pooled(runs);
    let readings = f64::from(extent.readings) * f64::from(extent.runs);
    let hundredths =
        |value: Option<f64>| value.map_or(Cell::Nothing, |value| Cell::Number(value, 2));
    let mut cells: Vec<Vec<Cell>> = rows
        .iter()
        .map(|row| {
            let all = &row.latencies;
            let gateway = row.gateway;
            vec![
                row.way.name().into(),
                Cell::count(Some(row.lost + row.disorder)),
                Cell::count(Some(row.repeated)),
                hundredths(all.percentile(50)),
                hundredths(all.percentile(99)),
                hundredths(all.mean()),
                hundredths(Some(row.meter.cpu_ms / readings)),
                Cell::Number(row.meter.memory_mb, 1),
                hundredths(gateway.map(|gateway| gateway.cpu_ms / readings)),
                gateway.map_or(Cell::Nothing, |gateway| Cell::Number(gateway.memory_mb, 1)),
            ]
        })
        .collect();
    for (name, mean, load, memory) in QUOTED {
        let mut row = vec![name.into()];
        row.extend((0..4).map(|_| Cell::Nothing));
        row.extend([Cell::Number(mean, 1), load.into(), Cell::Number(memory, 1)]);
        row.extend([Cell::Nothing, Cell::Nothing]);
        cells.push(row);
    }
    let series: Vec<_> = rows
        .iter()
        .map(|row| (row.way.name().to_owned(), row.latencies.0.clone()))
        .collect();
    let quoted: Vec<_> = QUOTED
        .iter()
        .map(|(name, mean, ..)| (format!("{name}, mean {mean} ms (quoted)"), *mean))
        .collect();
    let title = "Readings natively, through gateways and over plain IP";
    Report {
        name: "delay",
        title,
        legend: format!(
            "{} readings of one register, {} ms apart, ciphered and authenticated, in one \
             association of each way, {}; native and gateways within the fence '{}'. lost: or out of \
             order. again: requests that were repeated. p50, p99, mean: ms. CPU: ms of processor \
             time for each reading, of the meter's process and of the gateway in front of it; MB: \
             resident at the end. Plain IP crosses no router. paper: quoted from the publication \
             on S3MP (a Raspberry Pi Zero, Java; CPU is the load there, MB of meter and gateway \
             together), not measured here.",
            extent.readings,
            extent.apart_ms,
            match extent.runs {
                1 => "once".to_owned(),
                all => format!("{all} times in turn, and what they took pooled"),
            },
            super::FENCE
        ),
        columns: vec![
            "way",
            "lost",
            "again",
            "p50",
            "p99",
            "mean",
            "meter\nCPU",
            "meter\nMB",
            "gate\nCPU",
            "gate\nMB",
        ],
        rows: cells,
        goals: goals(&rows, runs),
        plot: plot::distribution_beside(title, &series, &quoted),
    }
}

/// What the network counted on the links that the fence forbids.
pub(super) fn kept_off(network: &Value, extent: Extent) -> Option<Goal> {
    let links = at(network, "links").as_array()?;
    let count = |which: &str| -> Option<u64> {
        let of = |link: &&Value| {
            let ends =
                [at(link, "link"), at(link, "to")].map(|end| end.as_str().unwrap_or_default());
            ends.iter().any(|end| end.starts_with(which))
        };
        links
            .iter()
            .filter(of)
            .map(|link| at(link, "packets").as_u64())
            .sum()
    };
    // Every packet of the readings crosses one of the head end's links.
    let (forbidden, all) = (count("3-")?, count(&format!("{}#", sim::scion::HEAD_END))?);
    // How many there must be is asked where links are cut, which takes many more.
    let extent = Extent {
        packets: 1,
        ..extent
    };
    Some(tally::kept_off(forbidden, all, extent, "network's"))
}

fn goals(rows: &[Row], runs: &[Vec<Row>]) -> Vec<Goal> {
    let of = |way| rows.iter().find(|row| row.way == way);
    let mut goals = Vec::new();
    let faults: u64 = rows.iter().map(|row| row.lost + row.disorder).sum();
    goals.push(Goal {
        wanted: "no reading lost or out of order".to_owned(),
        found: faults.to_string(),
        met: faults == 0,
    });
    let Some(native) = of(Way::Native) else {
        return goals;
    };
    for way in [Way::OurGateway, Way::TheirGateway] {
        let Some(row) = of(way) else { continue };
        for share in [50, 99] {
            let ours = native.latencies.percentile(share);
            let theirs = row.latencies.percentile(share);
            let (Some(ours), Some(theirs)) = (ours, theirs) else {
                continue;
            };
            goals.push(Goal {
                wanted: format!("native sooner than {} at p{share}", way.name()),
                found: format!("{ours:.2} against {theirs:.2} ms"),
                met: ours < theirs,
            });
        }
    }
    if runs.len() > 1 {
        goals.extend(in_each(runs));
    }
    let memory = native.meter.memory_mb;
    goals.push(Goal::below(
        "the meter's process under 12 MB, natively",
        Some(memory),
        12.0,
        " MB",
    ));
    let together = of(Way::TheirGateway).and_then(|row| Some((row.meter, row.gateway?)));
    if let Some((meter, gateway)) = together {
        let together = meter.memory_mb + gateway.memory_mb;
        goals.push(Goal {
            wanted: "natively a tenth of what meter and reference gateway have together".to_owned(),
            found: format!("{memory:.1} of {together:.1} MB"),
            met: memory * 10.0 <= together,
        });
    }
    goals
}

/// In how many runs the median of native readings was the lower one.
fn in_each(runs: &[Vec<Row>]) -> Vec<Goal> {
    let median = |rows: &[Row], way| {
        let row = rows.iter().find(|row| row.way == way)?;
        row.latencies.percentile(50)
    };
    let ways = [Way::OurGateway, Way::TheirGateway].into_iter();
    ways.filter_map(|way| {
        let both: Option<Vec<_>> = runs
            .iter()
            .map(|rows| median(rows, Way::Native).zip(median(rows, way)))
            .collect();
        let both = both?;
        let sooner = both.iter().filter(|(native, other)| native < other).count();
        Some(Goal {
            wanted: format!("native sooner than {} at p50 in each run", way.name()),
            found: format!("{sooner} of {}", both.len()),
            met: sooner == both.len(),
        })
    })
    .collect()
}
