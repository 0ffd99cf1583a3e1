//! The experiments themselves.

use std::time::Duration;

use model::MessageClass;

use super::Name;
use super::figures::{Latencies, longest_pause};
use super::network::{Network, Shape, Side};
use super::plot::{self, Axis, Series};
use super::report::{Cell, Goal, Report, grouped};
use super::run::{Played, Process, Runner, Stack, Way};
use super::trace::{Trace, millis};
use crate::failure::Failure;

/// Control and warning messages.
const URGENT: [MessageClass; 2] = [MessageClass::Control, MessageClass::Warning];

/// Milliseconds each way, where there is a delay.
const DELAY: u32 = 10;

/// What is told of how each transport is tuned, once for all tables.
const TUNED: &str = "Gridward: pace=fast, a stream for each class with priority, I-DATA. usrsctp: \
                     the same streams, its priority scheduler, I-DATA, RTO 100 to 1,000 ms, path \
                     given up as by pace=fast. Linux SCTP: as usrsctp, with SCTP_NODELAY, \
                     acknowledgements after 20 ms, buffers of 4 MiB. TCP, plain: one connection as a socket comes, with Nagle's algorithm, first come, first served. TCP, careful: \
                     TCP_NODELAY, the most urgent message first, TCP_NOTSENT_LOWAT 4 kB.";

/// What is told of messages that did not come as they were sent.
const FAULTS: &str = "Faults: messages lost, doubled or out of order.";

/// Milliseconds by which a pause may be longer than without a cut and still
/// count as untouched: half of what lies between two messages of a class.
const NO_EFFECT: f64 = 10.0;

/// Whether packets can be delayed: that takes netem, which not every kernel has.
fn delays() -> Result<bool, Failure> {
    let shape = Shape {
        delay: DELAY,
        ..Shape::default()
    };
    Ok(Network::new()?.shape(shape).is_ok())
}

/// Runs one experiment; `say` tells what goes on.
pub(super) fn measure(
    name: Name,
    runner: &Runner,
    short: bool,
    say: &mut dyn FnMut(&str),
) -> Result<Report, Failure> {
    match name {
        Name::Failover => failover(runner, short, say),
        Name::Priority => priority(runner, short, say),
        Name::Blocking => blocking(runner, short, say),
        Name::Flood => flood(runner, short, say),
        Name::Reordering => reordering(runner, short, say),
        Name::Memory => memory(runner, short, say),
        Name::Throughput => throughput(runner, short, say),
    }
}

/// The worst of several runs.
#[derive(Clone, Copy, Debug, Default)]
struct Worst(Option<f64>);

impl Worst {
    fn take(&mut self, value: Option<f64>) {
        if let Some(value) = value {
            self.0 = Some(self.0.map_or(value, |worst| worst.max(value)));
        }
    }
}

fn failover(runner: &Runner, short: bool, say: &mut dyn FnMut(&str)) -> Result<Report, Failure> {
    let (runs, seconds, cut_at, mended_at) = if short {
        (1, 3, 1_000, 2_500)
    } else {
        (5, 8, 2_000, 7_000)
    };
    let rates = [(50, 100), (50, 200), (20, 150), (20, 1_000), (20, 1_500)];
    let trace = Trace::day(seconds, rates);
    let mut rows = Vec::new();
    let mut goals = Vec::new();
    let mut series = Vec::new();
    // What the pause is without a cut, of ours.
    let mut uncut = None;
    let mut ways = vec![(0, "none", 0), (1, "primary", 0), (2, "backup", 0)];
    if delays()? {
        ways.push((1, "primary", DELAY));
    }
    for (link, cut, delay) in ways {
        let cut = match delay {
            0 => cut.to_owned(),
            delay => format!("{cut}, {} ms", 2 * delay),
        };
        'stacks: for stack in runner.stacks() {
            if link == 0 && stack != Stack::Ours {
                continue;
            }
            let (mut pause, mut urgent, mut latency) =
                (Worst::default(), Worst::default(), Worst::default());
            let (mut lost, mut doubled, mut failovers) = (0, 0, 0);
            for run in 1..=runs {
                say(&format!(
                    "failover: {cut} cut, {}, {run} of {runs}",
                    stack.name()
                ));
                let network = Network::new()?;
                network.shape(Shape {
                    delay,
                    ..Shape::default()
                })?;
                let links = if matches!(stack, Stack::Tcp | Stack::Careful) {
                    1
                } else {
                    2
                };
                let played = runner.play(&network, stack, Way::Links(links), &trace, || {
                    if link == 0 {
                        return Ok(());
                    }
                    std::thread::sleep(Duration::from_millis(cut_at));
                    network.cut(link)?;
                    std::thread::sleep(Duration::from_millis(mended_at - cut_at));
                    network.mend(link)
                });
                let played = match played {
                    Ok(played) => played,
                    Err(failure) => {
                        let of = [cut.as_str(), stack.name()];
                        rows.push(Report::failed(7, &of, &failure.sentence()));
                        continue 'stacks;
                    }
                };
                pause.take(longest_pause(&played, &MessageClass::ALL));
                urgent.take(longest_pause(&played, &URGENT));
                latency.take(Latencies::of(&played, &URGENT).most());
                let (missing, twice) = played.faults();
                lost += missing;
                doubled += twice;
                failovers += played.counter("failovers").unwrap_or_default();
                if link == 1 && delay == 0 && run == 1 {
                    series.push(timeline(stack, &played));
                }
            }
            rows.push(vec![
                cut.as_str().into(),
                stack.name().into(),
                Cell::tenths(pause.0),
                Cell::tenths(urgent.0),
                Cell::tenths(latency.0),
                lost.into(),
                doubled.into(),
            ]);
            if stack == Stack::Ours && link == 0 {
                uncut = pause.0;
            } else if stack == Stack::Ours {
                // Times to be held to are those without a delay.
                if link == 1 && delay == 0 {
                    goals.push(Goal::below(
                        "primary cut: longest pause under 150 ms",
                        pause.0,
                        150.0,
                        " ms",
                    ));
                    goals.push(Goal::below(
                        "of control and warning under 40 ms",
                        urgent.0,
                        40.0,
                        " ms",
                    ));
                } else if link == 2 {
                    goals.push(untouched(uncut, pause.0, failovers));
                }
                goals.push(Goal {
                    wanted: format!("{cut} cut: nothing lost or doubled"),
                    found: format!("{lost} and {doubled}"),
                    met: lost == 0 && doubled == 0,
                });
            }
        }
    }
    let across = Axis {
        name: "seconds since the start",
        logarithmic: false,
        from: 0.0,
        to: 15.0_f64.min(millis(seconds * 1_000) + 2.0),
    };
    let up = Axis {
        name: "latency of control and warning, ms",
        logarithmic: true,
        from: 0.1,
        to: 10_000.0,
    };
    Ok(Report {
        name: "failover",
        title: "A link is cut in silence",
        legend: format!(
            "Two links; {} messages in {seconds} s of all five classes, 160 a second. One link \
             loses everything from {cut_at} ms to {mended_at} ms, and nobody is told; none: the same \
             without; where a time stands beside it, with that round trip (this takes netem). The \
             worst of {runs} runs. TCP has the first link only. {TUNED} {FAULTS}",
            trace.0.len()
        ),
        columns: vec![
            "cut",
            "transport",
            "longest\npause,\nms",
            "of control,\nwarning,\nms",
            "worst\nlatency of\nthese, ms",
            "lost",
            "doubled,\nin\ndisorder",
        ],
        rows,
        goals,
        plot: plot::lines(
            "Primary link cut: control and warning messages",
            across,
            up,
            &series,
            true,
        ),
    })
}

/// That a cut of the backup link had no effect: data goes where it went, and
/// pauses as it does without a cut.
fn untouched(uncut: Option<f64>, pause: Option<f64>, failovers: u64) -> Goal {
    let (Some(uncut), Some(pause)) = (uncut, pause) else {
        return Goal {
            wanted: "backup cut: no effect".to_owned(),
            found: "not measured".to_owned(),
            met: false,
        };
    };
    Goal {
        wanted: format!(
            "backup cut: no effect, a pause of at most {NO_EFFECT} ms more than without ({uncut:.1} ms), \
             no other way"
        ),
        found: format!("{pause:.1} ms, {failovers} times another way"),
        met: pause <= uncut + NO_EFFECT && failovers == 0,
    }
}

/// Latencies of urgent messages over time.
fn timeline(stack: Stack, played: &Played) -> Series {
    let first = played.arrivals.iter().map(|arrival| arrival.due).min();
    let points = played
        .arrivals
        .iter()
        .filter(|arrival| URGENT.contains(&arrival.class))
        .map(|arrival| {
            let since = arrival.due.saturating_sub(first.unwrap_or_default());
            (millis(since) / 1e3, arrival.latency())
        });
    Series {
        name: stack.name().to_owned(),
        points: points.collect(),
    }
}

fn priority(runner: &Runner, short: bool, say: &mut dyn FnMut(&str)) -> Result<Report, Failure> {
    let seconds = if short { 4 } else { 20 };
    let share = if short { 8 } else { 1 };
    let shape = Shape {
        rate: Some(512),
        queue: 12_000,
        ..Shape::default()
    };
    let mut rows = Vec::new();
    let mut goals = Vec::new();
    let mut series = Vec::new();
    for (messages, count, length) in [
        ("32 kB", 32 / share, 32_000),
        ("1 kB", 1_024 / share, 1_000),
    ] {
        let trace = Trace::bulk(count, length, seconds);
        let mut ours = None;
        let mut best: Option<f64> = None;
        for stack in runner.stacks() {
            say(&format!("priority: {messages} messages, {}", stack.name()));
            let network = Network::new()?;
            network.shape(shape)?;
            let played = match runner.play(&network, stack, Way::Links(1), &trace, || Ok(())) {
                Ok(played) => played,
                Err(failure) => {
                    let of = [messages, stack.name()];
                    rows.push(Report::failed(9, &of, &failure.sentence()));
                    continue;
                }
            };
            let control = Latencies::of(&played, &[MessageClass::Control]);
            let warning = Latencies::of(&played, &[MessageClass::Warning]);
            let usage = Latencies::of(&played, &[MessageClass::Usage]);
            let (lost, doubled) = played.faults();
            let p99 = control.percentile(99);
            if stack == Stack::Ours {
                ours = p99;
            } else if let Some(p99) = p99 {
                best = Some(best.map_or(p99, |best| best.min(p99)));
            }
            if length == 32_000 {
                series.push((stack.name().to_owned(), control.0.clone()));
            }
            rows.push(vec![
                messages.into(),
                stack.name().into(),
                Cell::whole(control.percentile(50)),
                Cell::whole(p99),
                Cell::whole(control.most()),
                Cell::whole(warning.percentile(50)),
                Cell::whole(warning.percentile(99)),
                Cell::tenths(usage.most().map(|most| most / 1e3)),
                (lost + doubled).into(),
            ]);
        }
        goals.push(Goal::below(
            &format!("{messages}: control p99 under 300 ms"),
            ours,
            300.0,
            " ms",
        ));
        if let Some(best) = best {
            goals.push(Goal::below(
                &format!("{messages}: never worse than the best other row, {best:.1} ms"),
                ours,
                best,
                " ms",
            ));
        }
    }
    Ok(Report {
        name: "priority",
        title: "Orders behind a megabyte of usage data",
        legend: format!(
            "One link of 512 kbit/s with a queue of 12 kB, which alone takes 190 ms. Usage data \
             all at once, then a control message of 100 octets and a warning of 200 every 200 ms \
             for {seconds} s. {TUNED} {FAULTS}"
        ),
        columns: vec![
            "usage\nin",
            "transport",
            "control\np50, ms",
            "p99,\nms",
            "worst,\nms",
            "warning\np50, ms",
            "p99,\nms",
            "usage\nin, s",
            "faults",
        ],
        rows,
        goals,
        plot: plot::distribution("Control messages behind usage data of 32 kB each", &series),
    })
}

fn blocking(runner: &Runner, short: bool, say: &mut dyn FnMut(&str)) -> Result<Report, Failure> {
    let seconds = if short { 3 } else { 30 };
    let trace = Trace::day(
        seconds,
        [(40, 100), (40, 200), (40, 150), (40, 400), (40, 800)],
    );
    let mut rows = Vec::new();
    let mut goals = Vec::new();
    let mut series = Vec::new();
    let mut ways = vec![(1, 0), (3, 0)];
    if delays()? {
        ways.push((3, DELAY));
    }
    for (loss, delay) in ways {
        let (mut ours, mut tcp) = (None, None);
        let way = if delay == 0 {
            format!("{loss} %")
        } else {
            format!("{loss} %, {} ms", 2 * delay)
        };
        for stack in runner.stacks() {
            say(&format!("blocking: {way}, {}", stack.name()));
            let network = Network::new()?;
            network.shape(Shape {
                loss,
                delay,
                ..Shape::default()
            })?;
            let played = match runner.play(&network, stack, Way::Links(1), &trace, || Ok(())) {
                Ok(played) => played,
                Err(failure) => {
                    let of = [way.as_str(), stack.name()];
                    rows.push(Report::failed(10, &of, &failure.sentence()));
                    continue;
                }
            };
            let all = Latencies::of(&played, &MessageClass::ALL);
            let urgent = Latencies::of(&played, &URGENT);
            let p99 = all.percentile(99);
            match stack {
                Stack::Ours => ours = p99,
                Stack::Tcp => tcp = p99,
                _ => {}
            }
            if loss == 3 && delay == 0 {
                series.push((stack.name().to_owned(), all.0.clone()));
            }
            let (lost, doubled) = played.faults();
            rows.push(vec![
                way.as_str().into(),
                stack.name().into(),
                Cell::tenths(all.percentile(50)),
                Cell::tenths(all.percentile(95)),
                Cell::tenths(p99),
                Cell::tenths(all.most()),
                Cell::tenths(urgent.percentile(99)),
                Cell::tenths(all.later_than(10.0)),
                Cell::count(played.sent_again()),
                (lost + doubled).into(),
            ]);
        }
        if loss == 3
            && let Some(tcp) = tcp
        {
            goals.push(Goal::below(
                &format!("{way}: p99 at most an eighth of plain TCP's {tcp:.1} ms"),
                ours,
                tcp / 8.0,
                " ms",
            ));
        }
    }
    Ok(Report {
        name: "blocking",
        title: "What waits behind a lost packet",
        legend: format!(
            "One link without a rate, that loses packets of the sender by chance; where a time \
             stands beside the loss, with that round trip (this takes netem). 200 messages a second \
             of five classes for {seconds} s. {TUNED} {FAULTS}"
        ),
        columns: vec![
            "loss",
            "transport",
            "p50,\nms",
            "p95,\nms",
            "p99,\nms",
            "worst,\nms",
            "urgent\np99, ms",
            "over\n10 ms, %",
            "sent\nagain",
            "faults",
        ],
        rows,
        goals,
        plot: plot::distribution("Messages of all classes, 3 % of packets lost", &series),
    })
}

fn flood(runner: &Runner, short: bool, say: &mut dyn FnMut(&str)) -> Result<Report, Failure> {
    let (rate, seconds) = if short { (5_000, 2) } else { (50_000, 6) };
    let mut rows = Vec::new();
    let mut goals = Vec::new();
    let mut bars = Vec::new();
    for stack in runner.stacks().filter(|stack| *stack != Stack::Careful) {
        say(&format!("flood: {}", stack.name()));
        let flooded = match under_flood(runner, stack, rate, seconds) {
            Ok(flooded) => flooded,
            Err(failure) => {
                rows.push(Report::failed(6, &[stack.name()], &failure.sentence()));
                Flooded::default()
            }
        };
        let Flooded {
            sent_rate,
            before,
            grown,
            calm,
            stormy,
        } = flooded;
        if let Some(sent_rate) = sent_rate {
            // The kernel's memory is not the process's.
            let told = !matches!(stack, Stack::Tcp | Stack::Kernel);
            rows.push(vec![
                stack.name().into(),
                Cell::Number(sent_rate, 0),
                Cell::whole(before.filter(|_| told)),
                Cell::whole(grown.filter(|_| told)),
                Cell::tenths(calm),
                Cell::tenths(stormy),
            ]);
        }
        bars.push((stack.name().to_owned(), vec![calm, stormy]));
        if stack == Stack::Ours {
            goals.push(Goal::below(
                "memory unchanged: it grows by less than 256 KiB",
                grown,
                256.0,
                " KiB",
            ));
            goals.push(Goal::below(
                "an honest association within a second",
                stormy,
                1_000.0,
                " ms",
            ));
        }
    }
    Ok(Report {
        name: "flood",
        title: "First packets from made-up addresses",
        legend: format!(
            "{rate} INIT chunks a second for {seconds} s (for TCP: SYN segments), each from another \
             of 131,072 addresses that are nobody's, and in the midst of it an association by an \
             honest peer. Memory is that of the process that listens; the kernel's is not seen. \
             Attacker, listener and honest peer share the processors. {TUNED}"
        ),
        columns: vec![
            "transport",
            "sent,\n1/s",
            "memory\nbefore, KiB",
            "grown by,\nKiB",
            "set-up\nbefore, ms",
            "set-up in\nthe flood, ms",
        ],
        rows,
        goals,
        plot: plot::bars(
            "Set-up of an honest association",
            "ms",
            &["before".to_owned(), "in the flood".to_owned()],
            &bars,
        ),
    })
}

/// What became of a listener in a flood.
#[derive(Clone, Copy, Debug, Default)]
struct Flooded {
    sent_rate: Option<f64>,
    /// Kibibytes.
    before: Option<f64>,
    grown: Option<f64>,
    /// Milliseconds that an association took before, and in the flood.
    calm: Option<f64>,
    stormy: Option<f64>,
}

fn under_flood(runner: &Runner, stack: Stack, rate: u32, seconds: u32) -> Result<Flooded, Failure> {
    let network = Network::new()?;
    let way = Way::Links(1);
    // Answers to nobody go nowhere, as they would from a site.
    network.run(
        Side::Sink,
        "ip route add 198.18.0.0/15 via 10.77.1.1 dev l1",
    )?;
    let mut sink = runner.process(&network, stack, way, "keep", &[])?;
    sink.until("ready")?;
    let calm = dial(runner, &network, stack, way)?;
    let before = sink.memory();
    let (protocol, port) = match stack {
        Stack::Tcp => ("tcp", 4_059),
        _ => ("sctp", 9_901),
    };
    let mut command = network.command(Side::Source, &runner.program.to_string_lossy());
    command.args(["experiment", "peer", "flood", protocol]);
    command.arg(format!("{}:{port}", Side::Sink.address(1)));
    command.args([rate.to_string(), seconds.to_string()]);
    let mut attacker = Process::spawn(command, "the flood")?;
    std::thread::sleep(Duration::from_millis(1_000));
    let stormy = dial(runner, &network, stack, way)?;
    let told = attacker.until("sent ")?;
    let after = sink.memory();
    let mut numbers = told.split(' ').skip(1).filter_map(|word| word.parse().ok());
    let (sent, micros): (u32, u32) = (
        numbers.next().unwrap_or_default(),
        numbers.next().unwrap_or(1),
    );
    let kib = |kib: Option<u64>| kib.and_then(|kib| u32::try_from(kib).ok()).map(f64::from);
    let (before, after) = (kib(before), kib(after));
    Ok(Flooded {
        sent_rate: Some(f64::from(sent) * 1e6 / f64::from(micros.max(1))),
        before,
        grown: before.zip(after).map(|(before, after)| after - before),
        calm,
        stormy,
    })
}

/// Milliseconds that an association takes to make; `None` where none came.
fn dial(
    runner: &Runner,
    network: &Network,
    stack: Stack,
    way: Way,
) -> Result<Option<f64>, Failure> {
    let mut dialling = runner.process(network, stack, way, "dial", &[])?;
    let Ok(told) = dialling.until("dialled ") else {
        return Ok(None);
    };
    let micros = told.split(' ').nth(1).and_then(|word| word.parse().ok());
    Ok(micros.map(millis))
}

fn reordering(runner: &Runner, short: bool, say: &mut dyn FnMut(&str)) -> Result<Report, Failure> {
    let seconds = if short { 2 } else { 10 };
    let trace = Trace::bulk(if short { 100 } else { 1_024 }, 1_000, seconds);
    let shape = Shape {
        rate: Some(8_000),
        queue: 2_000_000,
        ..Shape::default()
    };
    let mut rows = Vec::new();
    let mut goals = Vec::new();
    let mut bars = Vec::new();
    let ways = [
        ("CS5", "-m dscp --dscp-class CS5"),
        (
            "chance, 5 %",
            "-m statistic --mode random --probability 0.05",
        ),
    ];
    for (by, which) in ways {
        let by_code_point = by == "CS5";
        for stack in runner.stacks() {
            if by_code_point && stack != Stack::Ours {
                continue;
            }
            say(&format!("reordering: by {by}, {}", stack.name()));
            let network = Network::new()?;
            network.shape(shape)?;
            network.overtake(which)?;
            let played = match runner.play(&network, stack, Way::Links(1), &trace, || Ok(())) {
                Ok(played) => played,
                Err(failure) => {
                    let of = [by, stack.name()];
                    rows.push(Report::failed(9, &of, &failure.sentence()));
                    continue;
                }
            };
            let overtaken = network.run(Side::Source, "iptables -t mangle -vnxL OUTPUT")?;
            let overtaken = overtaken
                .lines()
                .filter(|line| line.contains("MARK"))
                .find_map(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            let again = played.counter("retransmitted");
            let (lost, doubled) = played.faults();
            let control = Latencies::of(&played, &[MessageClass::Control]);
            rows.push(vec![
                by.into(),
                stack.name().into(),
                Cell::count(overtaken),
                Cell::count(again),
                Cell::count(played.counter("timeouts")),
                Cell::count(played.counter("probes")),
                Cell::tenths(control.percentile(50)),
                Cell::tenths(control.percentile(99)),
                (lost + doubled).into(),
            ]);
            if !by_code_point {
                let again = again.and_then(|again| u32::try_from(again).ok());
                bars.push((stack.name().to_owned(), vec![again.map(f64::from)]));
            } else {
                let probes = played.counter("probes");
                goals.push(Goal {
                    wanted: "by code point: nothing is taken for lost, nor sent twice as a probe"
                        .to_owned(),
                    found: format!(
                        "{} taken for lost, {} probes, {} packets overtook",
                        again.unwrap_or_default(),
                        probes.unwrap_or_default(),
                        overtaken.unwrap_or_default()
                    ),
                    met: again == Some(0)
                        && probes == Some(0)
                        && overtaken.is_some_and(|count| count > 0),
                });
            }
        }
    }
    Ok(Report {
        name: "reordering",
        title: "Packets overtake each other, none is lost",
        legend: format!(
            "Usage data over a link of 8 Mbit/s with a queue that holds it all; some packets take a \
             link without a queue: those with a code point (control messages, which only Gridward \
             marks), or one in 20 by chance. Passed: packets that overtook. Nothing is lost, so what was taken \
             for lost was so in error. Probes are copies of urgent messages that took longer than twice what is usual \
             for their class, and of what was overtaken: false too, where nothing is lost. {TUNED} {FAULTS}"
        ),
        columns: vec![
            "by",
            "transport",
            "passed",
            "taken\nfor lost",
            "time-\nouts",
            "probes",
            "control\np50, ms",
            "p99,\nms",
            "faults",
        ],
        rows,
        goals,
        plot: plot::bars(
            "Taken for lost though nothing was, 5 % of packets overtake",
            "packets or chunks",
            &["taken for lost".to_owned()],
            &bars,
        ),
    })
}

fn memory(runner: &Runner, short: bool, say: &mut dyn FnMut(&str)) -> Result<Report, Failure> {
    let count: u32 = if short { 200 } else { 10_000 };
    let mut rows = Vec::new();
    let mut goals = Vec::new();
    let mut bars = Vec::new();
    let papers = super::peer::papers(&runner.folder)?;
    let kinds = [
        (Stack::Ours, "Gridward SCTP", String::new()),
        (Stack::Ours, "the same with TLS", papers),
        (Stack::Usrsctp, "usrsctp", String::new()),
    ];
    for (stack, name, query) in kinds {
        if !runner.stacks().any(|there| there == stack) {
            continue;
        }
        say(&format!("memory: {name}"));
        let mut kept = Kept::default();
        let done = keep(runner, stack, &query, count, short, &mut kept);
        let each = kept.before.zip(kept.after).and_then(|(before, after)| {
            let grown = u32::try_from(after.saturating_sub(before)).ok()?;
            Some(f64::from(grown) * 1_024.0 / f64::from(count))
        });
        rows.push(vec![
            name.into(),
            Cell::count(Some(u64::from(kept.associations))),
            Cell::count(kept.before),
            Cell::count(kept.after),
            match done {
                Ok(()) => Cell::whole(each),
                Err(failure) => {
                    let reached = grouped(&kept.associations.to_string());
                    let why = failure.sentence();
                    Cell::Failed(format!("at {reached} associations: {why}"))
                }
            },
        ]);
        bars.push((name.to_owned(), vec![each]));
        if name == "Gridward SCTP" {
            goals.push(Goal::below(
                "at most 6,000 octets for an idle association",
                each,
                6_000.0,
                "",
            ));
        }
    }
    Ok(Report {
        name: "memory",
        title: "Memory of idle associations",
        legend: format!(
            "A process that keeps {count} associations on two paths each, before and after; all of \
             its memory, with handles, queues and the allocator's own. With TLS: mutual TLS 1.3 on \
             the control class's streams, packets authenticated. {TUNED}"
        ),
        columns: vec![
            "transport",
            "associations",
            "before, KiB",
            "after, KiB",
            "octets each",
        ],
        rows,
        goals,
        plot: plot::bars(
            "Memory of an idle association",
            "octets",
            &["octets".to_owned()],
            &bars,
        ),
    })
}

/// How far a listener came with associations that are kept.
#[derive(Clone, Copy, Debug, Default)]
struct Kept {
    associations: u32,
    /// Kibibytes, before the first and with the last.
    before: Option<u64>,
    after: Option<u64>,
}

fn keep(
    runner: &Runner,
    stack: Stack,
    query: &str,
    count: u32,
    short: bool,
    kept: &mut Kept,
) -> Result<(), Failure> {
    let network = Network::new()?;
    let way = Way::Links(2);
    let mut sink = runner.process_with(&network, stack, way, "keep", &[], query)?;
    sink.until("ready")?;
    kept.before = sink.memory();
    // usrsctp has one UDP port for a process, ours some for each.
    let processes = if stack == Stack::Ours && !short { 4 } else { 1 };
    let words = (count / processes).to_string();
    let mut holders = Vec::new();
    let mut hold = || -> Result<(), Failure> {
        for _ in 0..processes {
            let mut holder = runner.process_with(&network, stack, way, "hold", &[&words], query)?;
            holder.until("held")?;
            holders.push(holder);
        }
        Ok(())
    };
    let done = hold().and_then(|()| {
        loop {
            let told = sink.until("kept ")?;
            kept.associations = told_count(&told);
            if kept.associations >= count {
                return Ok(());
            }
        }
    });
    if let Some(told) = sink.heard("kept ") {
        kept.associations = told_count(&told);
    }
    done?;
    // What set-up took is given back; heartbeats begin.
    std::thread::sleep(Duration::from_secs(if short { 0 } else { 3 }));
    kept.after = sink.memory();
    Ok(())
}

/// The number in `kept 8300`.
fn told_count(line: &str) -> u32 {
    let number = line.split(' ').nth(1);
    number.and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// A run in which everything arrived, once.
fn whole(played: Played) -> Result<Played, Failure> {
    let (lost, doubled) = played.faults();
    if lost + doubled > 0 {
        return Err(Failure::new(format!(
            "{lost} messages were lost and {doubled} doubled on the loopback"
        )));
    }
    Ok(played)
}

fn throughput(runner: &Runner, short: bool, say: &mut dyn FnMut(&str)) -> Result<Report, Failure> {
    let rounds = if short { 1 } else { 5 };
    let share = if short { 20 } else { 1 };
    let mut rows = Vec::new();
    let mut goals = Vec::new();
    let mut bars: Vec<(String, Vec<Option<f64>>)> = Vec::new();
    let mut names = Vec::new();
    for (count, length) in [(100_000, 100), (60_000, 1_000), (2_500, 32_000)] {
        let trace = Trace::flat_out(count / share, length);
        let mut group = Vec::new();
        let (mut ours, mut usrsctp) = (None, None);
        'stacks: for stack in runner.stacks().filter(|stack| *stack != Stack::Careful) {
            if !names.contains(&stack.name().to_owned()) {
                names.push(stack.name().to_owned());
            }
            let mut rates = Vec::new();
            for round in 1..=rounds {
                say(&format!(
                    "throughput: {length} octets, {}, {round} of {rounds}",
                    stack.name()
                ));
                let network = Network::new()?;
                let played = runner.play(&network, stack, Way::Loopback, &trace, || Ok(()));
                let played = match played.and_then(whole) {
                    Ok(played) => played,
                    Err(failure) => {
                        let octets = length.to_string();
                        let of = [octets.as_str(), stack.name()];
                        rows.push(Report::failed(5, &of, &failure.sentence()));
                        group.push(None);
                        continue 'stacks;
                    }
                };
                let times = played.arrivals.iter().map(|arrival| arrival.arrived);
                if let (Some(first), Some(last)) = (times.clone().min(), times.max()) {
                    let octets = u32::try_from(played.sent * length).unwrap_or(u32::MAX);
                    rates.push(f64::from(octets) / 1e3 / millis(last - first).max(1e-3));
                }
            }
            rates.sort_by(f64::total_cmp);
            let median = rates.get(rates.len() / 2).copied();
            match stack {
                Stack::Ours => ours = median,
                Stack::Usrsctp => usrsctp = median,
                _ => {}
            }
            group.push(median);
            rows.push(vec![
                Cell::from(length),
                stack.name().into(),
                Cell::tenths(median),
                Cell::tenths(rates.first().copied()),
                Cell::tenths(rates.last().copied()),
            ]);
        }
        bars.push((format!("{length} octets"), group));
        if let (Some(ours), Some(usrsctp)) = (ours, usrsctp) {
            goals.push(Goal {
                wanted: format!("{length} octets: at least usrsctp's {usrsctp:.1} MB/s"),
                found: format!("{ours:.1} MB/s"),
                met: ours >= usrsctp,
            });
        }
    }
    Ok(Report {
        name: "throughput",
        title: "Octets a second on the loopback",
        legend: format!(
            "Messages of one length on five streams as fast as they are taken, from one process to \
             another; median, least and most of {rounds} rounds. SCTP goes in UDP, TCP in segments \
             of up to 64 KiB. {TUNED}"
        ),
        columns: vec!["octets", "transport", "MB/s", "least", "most"],
        rows,
        goals,
        plot: plot::bars("Octets a second on the loopback", "MB/s", &names, &bars),
    })
}
