//! What a router that stops costs, on the reference implementation's network.

use serde_json::Value;

use super::super::plot;
use super::super::report::{Cell, Goal, Report};
use super::place::{Place, at};
use super::tally::{self, APART, Counted, URGENT_MS};
use super::{Extent, FENCE};
use crate::failure::Failure;

/// What one router came to.
struct Row {
    router: String,
    urgent: bool,
    /// No path of the readings crosses it.
    beside: bool,
    stops: u64,
    readings: u64,
    median_ms: f64,
    longest_ms: f64,
    late: u64,
    repeated: u64,
    lost: u64,
}

pub(super) fn measure(
    place: &Place,
    extent: Extent,
    say: &mut dyn FnMut(&str),
) -> Result<Report, Failure> {
    let keys = place.folder.join("routers.toml");
    let keys = keys.to_string_lossy().into_owned();
    let url = place.meter_url();
    let (_meter, told) = place.start(
        &place.meter,
        &[
            "meter",
            "--listen",
            &url,
            "--history",
            "0",
            "--keys",
            &keys,
            "--scion-daemon",
            &place.meter.daemon,
            "--fence",
            FENCE,
        ],
    )?;
    let url = at(&told, "endpoint").as_str().unwrap_or_default();
    let url = url.split('?').next().unwrap_or_default();
    let (mut rows, mut counted) = (Vec::new(), Counted::default());
    for urgent in [false, true] {
        let (cuts, stops) = match urgent {
            false => (extent.cuts, extent.stops),
            true => (1, extent.stops.min(URGENT_STOPS)),
        };
        let class = if urgent { "control" } else { "usage" };
        say(&format!("routers stopped one by one, class {class}"));
        let told = place.walk(url, (cuts, stops), extent.cut_readings, urgent)?;
        let number = |of: &Value, name: &str| at(of, name).as_u64().unwrap_or(u64::MAX);
        let on_purpose = number(&told, "on_purpose");
        // Of the walk that had fewest.
        counted.on_purpose = match urgent {
            false => on_purpose,
            true => counted.on_purpose.min(on_purpose),
        };
        counted.forbidden += number(&told, "forbidden");
        counted.packets += number(&told, "packets");
        let all = at(&told, "routers").as_array();
        rows.extend(all.into_iter().flatten().map(|row| Row {
            router: at(row, "router").as_str().unwrap_or_default().to_owned(),
            urgent,
            beside: at(row, "beside").as_bool().unwrap_or(false),
            stops: number(row, "stops"),
            readings: number(row, "readings"),
            median_ms: at(row, "median_ms").as_f64().unwrap_or(f64::MAX),
            longest_ms: at(row, "longest_ms").as_f64().unwrap_or(f64::MAX),
            late: number(row, "late"),
            repeated: number(row, "repeated"),
            lost: number(row, "lost"),
        }));
    }
    Ok(report(&rows, &counted, extent))
}

/// Routers that are stopped while control messages go.
const URGENT_STOPS: u32 = 10;

fn report(rows: &[Row], counted: &Counted, extent: Extent) -> Report {
    let class = |row: &Row| match (row.urgent, row.beside) {
        (false, _) => "usage",
        (true, false) => "control, doubled",
        (true, true) => "control, beside",
    };
    let cells = rows
        .iter()
        .map(|row| {
            vec![
                row.router.clone().into(),
                class(row).into(),
                Cell::count(Some(row.stops)),
                Cell::count(Some(row.readings)),
                Cell::Number(row.median_ms, 2),
                Cell::Number(row.longest_ms, 1),
                Cell::count(Some(row.late)),
                Cell::count(Some(row.repeated)),
                Cell::count(Some(row.lost)),
            ]
        })
        .collect();
    let of = |urgent| {
        let crossed = rows.iter().filter(|row| !row.beside);
        crossed.filter(move |row| row.urgent == urgent)
    };
    let most = |urgent| of(urgent).map(|row| row.repeated).max().unwrap_or(0);
    let lost: u64 = rows.iter().map(|row| row.lost).sum();
    let longest = |urgent| of(urgent).map(|row| row.longest_ms).reduce(f64::max);
    let repeated = [most(false), most(true)];
    let [none_lost, repeated, doubled] = tally::goals(
        lost,
        repeated,
        "for a stopped router",
        "whatever router stops",
    );
    let goals = vec![
        none_lost,
        repeated,
        Goal::below(
            "a stopped router costs under 300 ms",
            longest(false),
            300.0,
            " ms",
        ),
        doubled,
        in_time(rows),
        counted.goal(extent, "reference routers'"),
    ];
    let title = "A router of the path in use is stopped";
    let bars: Vec<_> = rows
        .iter()
        .map(|row| {
            let class = match (row.urgent, row.beside) {
                (false, _) => "",
                (true, false) => " ×2",
                (true, true) => " ×2, beside",
            };
            (format!("{}{class}", row.router), vec![Some(row.longest_ms)])
        })
        .collect();
    Report {
        name: "routers",
        title,
        legend: format!(
            "On the reference implementation's network, within the fence '{FENCE}': one session \
             reads, {} ms apart, and the router on its path that was stopped the fewest times is \
             stopped, then started again; the next one once every router has its links. {} \
             readings around each stop, and those while it goes down. Those that all allowed paths cross are never \
             stopped. longest: what the slowest reading of all took, with its failover; median: of \
             the slowest stop. again: requests that were repeated, of the stop with the most. \
             Packets: in transit at a router that all allowed paths cross; forbidden: in transit and \
             handed to domain 3 by the router before it. At the end some are sent there on \
             purpose, to see that they are counted. late: readings of {URGENT_MS:.0} ms and more. beside: the \
             same while a router is stopped that no path of the readings crosses, which shows what \
             the machine itself takes.",
            APART.as_millis(),
            extent.cut_readings,
        ),
        columns: vec![
            "router",
            "class",
            "stops",
            "readings",
            "median\nms",
            "longest\nms",
            "late",
            "again",
            "lost",
        ],
        rows: cells,
        goals,
        plot: plot::bars(title, "longest reading, ms", &["longest".to_owned()], &bars),
    }
}

/// What is wanted of doubled messages: all in time; where the machine itself is late at times, no
/// more of them than while a router is stopped that none of them crosses.
fn in_time(rows: &[Row]) -> Goal {
    let of = |beside| {
        let chosen = rows
            .iter()
            .filter(move |row| row.urgent && row.beside == beside);
        let sums = chosen.map(|row| (row.late, row.readings, row.longest_ms));
        sums.reduce(|sum, row| (sum.0 + row.0, sum.1 + row.1, sum.2.max(row.2)))
    };
    let text = |of: Option<(u64, u64, f64)>| {
        of.map_or_else(
            || "none".to_owned(),
            |(late, all, longest)| format!("{late} of {all}, {longest:.1} ms at most"),
        )
    };
    let (crossed, beside) = (of(false), of(true));
    // Per reading, since both have not as many.
    let share = |of: (u64, u64, f64), other: u64| u128::from(of.0) * u128::from(other);
    Goal {
        wanted: format!(
            "doubled messages under {URGENT_MS:.0} ms, whatever router stops, or no more of them \
             late than beside"
        ),
        found: format!("late: {}; beside: {}", text(crossed), text(beside)),
        met: match (crossed, beside) {
            (Some((0, 1.., _)), _) => true,
            (Some(crossed), Some(beside)) => share(crossed, beside.1) <= share(beside, crossed.1),
            _ => false,
        },
    }
}
