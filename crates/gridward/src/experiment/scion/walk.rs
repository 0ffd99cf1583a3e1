//! Readings over the reference implementation's network while its routers are
//! stopped one after the other: a process of its own, since it is to run where
//! the head end is.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use link::{Client, Connector as _, Endpoint, ScionPath, SystemConnector};
use model::MessageClass;
use serde_json::json;
use tokio::task::JoinSet;

use super::reference::{Reference, Router};
use super::tally::{self, Found, Tally, open};
use crate::failure::Failure;
use crate::output::Output;
use crate::{Outcome, role};

/// How long paths may take to be told, and a network to be whole.
const LIMIT: Duration = Duration::from_secs(60);

/// The domain that the experiment's fence forbids.
const FORBIDDEN_ISD: u16 = 3;

/// How often that is tried: daemons are slow to tell all paths again.
const ASTRAY_TRIES: u32 = 20;

#[derive(Args, Debug)]
pub(in super::super) struct WalkOptions {
    /// The meter: scion:// with daemon and fence
    place: String,

    /// The folder of interop/scion/net
    network: PathBuf,

    /// Times that each router is stopped
    #[arg(long)]
    cuts: u32,

    /// The most that are stopped in all
    #[arg(long)]
    stops: u32,

    /// Readings of each
    #[arg(long)]
    readings: u32,

    /// Control messages, on two paths
    #[arg(long)]
    urgent: bool,
}

/// A router that is stopped, and what that came to.
struct Target<'r> {
    router: &'r Router,
    stopped: u32,
    found: Found,
}

impl<'r> Target<'r> {
    fn new(router: &'r Router) -> Self {
        Self {
            router,
            stopped: 0,
            found: Found::default(),
        }
    }

    /// What is told of it; `beside`: no path of the readings crosses it.
    fn told(&self, beside: bool) -> serde_json::Value {
        let found = &self.found;
        json!({
            "router": self.router.name,
            "beside": beside,
            "stops": self.stopped,
            "readings": found.readings,
            "median_ms": found.usual_ms,
            "longest_ms": found.longest_ms,
            "late": found.late,
            "repeated": found.repeated,
            "lost": found.lost,
        })
    }
}

pub(in super::super) fn run(options: &WalkOptions, output: &mut Output<'_, '_>) -> Outcome {
    let reference = Reference::open(&options.network)?;
    let told = role::block_on(guarded(&reference, options))?;
    output.write_json(&told)
}

/// Walks, and leaves the network whole, however that ended: at a signal as well.
async fn guarded(
    reference: &Reference,
    options: &WalkOptions,
) -> Result<serde_json::Value, Failure> {
    let stop = role::stopped(false)?;
    let mut stopping = JoinSet::new();
    let told = tokio::select! {
        told = walk(reference, options, &mut stopping) => told,
        () = stop.wait() => Err(Failure::new("told to stop before its end")),
    };
    // One that is being stopped is stopped before it is started again.
    while stopping.join_next().await.is_some() {}
    let mended = mend(reference);
    let told = told?;
    mended?;
    Ok(told)
}

/// Starts what a walk may have stopped; what runs is left as it is. One that does not start keeps
/// none of the others from it.
fn mend(reference: &Reference) -> Outcome {
    let routers = reference.routers.iter().map(|router| &router.name);
    let others = reference.services.iter().chain(&reference.gateways);
    let started = routers
        .chain(others)
        .map(|name| reference.order("start", name).run());
    started.fold(Ok(()), Outcome::and).map_err(|error| {
        error.hint("interop/scion/net status FOLDER tells what runs, start mends it")
    })
}

async fn walk(
    reference: &Reference,
    options: &WalkOptions,
    stopping: &mut JoinSet<Outcome>,
) -> Result<serde_json::Value, Failure> {
    // Their probes would be counted on forbidden links.
    for gateway in &reference.gateways {
        reference.order("stop", gateway).run()?;
    }
    let endpoint: Endpoint = options
        .place
        .parse()
        .map_err(|error| Failure::usage(format!("{}: {error}", options.place)))?;
    whole(reference).await?;
    let allowed = allowed(&endpoint).await?;
    let on = |router: &Router| allowed.iter().filter(|path| router.is_on(path)).count();
    // One that all paths cross cannot be done without; so it counts them all.
    let (pivots, others): (Vec<_>, Vec<_>) = reference
        .routers
        .iter()
        .filter(|router| on(router) > 0)
        .partition(|router| on(router) == allowed.len());
    let mut targets: Vec<Target<'_>> = others.into_iter().map(Target::new).collect();
    // What a router that goes and comes costs this machine is no delay of a path.
    let beside = reference
        .routers
        .iter()
        .find(|router| on(router) == 0 && router.is_in(FORBIDDEN_ISD));
    let mut beside = beside.filter(|_| options.urgent).map(Target::new);
    let class = match options.urgent {
        true => MessageClass::Control,
        false => MessageClass::Usage,
    };
    let mut client = open(&endpoint, class).await?;
    // Both ends know their paths now. Without these services their daemons tell
    // nothing new, and nothing but readings comes out of the leaves.
    Tally::default().read(&mut client).await;
    for service in &reference.services {
        reference.order("stop", service).run()?;
    }
    let before = counted(reference, &pivots).await?;
    if let Some(beside) = &mut beside {
        while beside.stopped < options.stops {
            step(reference, beside, &mut client, options.readings, stopping).await?;
            whole(reference).await?;
        }
    }
    let mut stops = 0;
    while stops < options.stops && targets.iter().any(|one| one.stopped < options.cuts) {
        stops += 1;
        let target = in_use(&mut client, &mut targets).await?;
        step(reference, target, &mut client, options.readings, stopping).await?;
        whole(reference).await?;
    }
    client.release().await;
    let after = counted(reference, &pivots).await?;
    for service in &reference.services {
        reference.order("start", service).run()?;
    }
    // Whether what is counted would have been seen at all.
    let mut astray = 0;
    for _ in 0..ASTRAY_TRIES {
        self::allowed(&endpoint).await?;
        tally::send_astray(&endpoint).await;
        astray = since(after.0, counted(reference, &pivots).await?.0)?;
        if astray > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let rows: Vec<_> = targets
        .iter()
        .filter(|target| target.stopped > 0)
        .map(|target| target.told(false))
        .chain(beside.map(|target| target.told(true)))
        .collect();
    Ok(json!({
        "routers": rows,
        "forbidden": since(before.0, after.0)?,
        "packets": since(before.1, after.1)?,
        "on_purpose": astray,
    }))
}

/// Stops a router while a session reads, and starts it again.
async fn step(
    reference: &Reference,
    target: &mut Target<'_>,
    client: &mut Client,
    readings: u32,
    stopping: &mut JoinSet<Outcome>,
) -> Outcome {
    let name = &target.router.name;
    let repeated = client.counts().repeated;
    let mut tally = Tally::default();
    for _ in 0..readings / 2 {
        tally.read(client).await;
    }
    let order = reference.order("stop", name);
    stopping.spawn_blocking(|| order.run());
    let stopped = loop {
        if let Some(stopped) = stopping.try_join_next() {
            break stopped;
        }
        tally.read(client).await;
    };
    for _ in 0..readings / 2 {
        tally.read(client).await;
    }
    target.stopped += 1;
    tally.add_to(&mut target.found, client.counts().repeated - repeated);
    let stopped = stopped.map_err(|error| Failure::new(error.to_string()))?;
    // However it ended, the network is to be whole.
    reference.order("start", name).run()?;
    stopped
}

/// Chooses the router on the path in use that was stopped the fewest times.
async fn in_use<'t, 'r>(
    client: &mut Client,
    targets: &'t mut [Target<'r>],
) -> Result<&'t mut Target<'r>, Failure> {
    Tally::default().read(client).await;
    let path = client.scion().and_then(|status| status.receipt.sent);
    let path = path.ok_or_else(|| Failure::new("no reading told its path"))?;
    targets
        .iter_mut()
        .filter(|target| target.router.is_on(&path))
        .min_by_key(|target| target.stopped)
        .ok_or_else(|| Failure::new(format!("no router of the path can be stopped: {path}")))
}

/// Waits until every router has its links.
async fn whole(reference: &Reference) -> Outcome {
    let all = async {
        for router in &reference.routers {
            while !router.is_up().await {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    };
    tokio::time::timeout(LIMIT, all).await.map_err(|_| {
        Failure::new("a router is without its links")
            .hint("interop/scion/net status FOLDER tells what runs")
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "the ends of paths are held against the time of day"
)]
async fn allowed(endpoint: &Endpoint) -> Result<Vec<ScionPath>, Failure> {
    let Endpoint::Scion(_, options) = endpoint else {
        return Err(Failure::usage("a meter at scion://"));
    };
    // A daemon whose control service has just begun tells nothing at first.
    let all = async {
        loop {
            match SystemConnector::default().paths(endpoint, LIMIT).await {
                Ok(paths) => break paths,
                Err(error) => tracing::info!(%error, "no paths yet"),
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let paths = tokio::time::timeout(LIMIT, all).await;
    let paths = paths.map_err(|_| Failure::new("the head end's daemon tells no paths"))?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_secs());
    let paths = paths.unwrap_or_default();
    Ok(options
        .policy()
        .allowed(&paths, now)
        .into_iter()
        .cloned()
        .collect())
}

/// Packets that were handed to the third domain by ASes that they only crossed,
/// as a reading would be: what the neighbours' own services say to those of
/// other ASes goes there too while a link is down, and is none. And those that
/// crossed routers which all allowed paths cross.
async fn counted(reference: &Reference, pivots: &[&Router]) -> Result<(u64, u64), Failure> {
    let (mut forbidden, mut packets) = (0, 0);
    for router in &reference.routers {
        let of_router = router
            .transit(|_, [own, neighbour]| !own.starts_with("3-") && neighbour.starts_with("3-"));
        forbidden += of_router.await?;
    }
    for router in pivots {
        packets += router.transit(|_, _| true).await?;
    }
    Ok((forbidden, packets))
}

/// What was counted since. Routers that are stopped begin anew; those that are counted are not: all
/// allowed paths cross them, or none does, as with those whose one link leads to the third domain.
fn since(before: u64, after: u64) -> Result<u64, Failure> {
    after
        .checked_sub(before)
        .ok_or_else(|| Failure::new("a router whose packets are counted began anew meanwhile"))
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement, with a tool that only writes down what it is told.
    use std::process::Command;

    use super::*;

    /// A network of two leaves behind gateways, whose tool fails where `fails` is among its words.
    fn network(folder: &std::path::Path, fails: &str) -> Reference {
        let tool = folder.join("tool");
        let text = format!(
            "#!/bin/sh\necho \"$1 $3\" >>\"$2/said\"\ncase \"$1 $3\" in {fails}) exit 1;; esac\n"
        );
        // By another process: a file that this one has open for writing cannot be run.
        let write = "printf %s \"$1\" >\"$2\" && chmod 700 \"$2\"";
        let mut shell = Command::new("sh");
        shell.args(["-c", write, "sh", &text]).arg(&tool);
        assert!(shell.status().unwrap().success());
        let leaf = |router: &str| {
            json!({
                "core": false,
                "behind_gateway": "10.0.0.1",
                "routers": { router: { "interfaces": [1], "counters": "127.0.0.1:9" } },
            })
        };
        let told = json!({
            "tool": tool,
            "ases": { "1-ff00:0:111": leaf("br1-111"), "2-ff00:0:211": leaf("br1-211") },
        });
        std::fs::write(folder.join("net.json"), told.to_string()).unwrap();
        Reference::open(folder).unwrap()
    }

    /// Walks to what is no place; gives why it failed, and what the tool was told.
    fn walked(fails: &str) -> (String, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let reference = network(folder.path(), fails);
        let options = WalkOptions {
            place: "nowhere".to_owned(),
            network: folder.path().to_owned(),
            cuts: 1,
            stops: 1,
            readings: 1,
            urgent: false,
        };
        let failed = role::block_on(guarded(&reference, &options)).unwrap_err();
        let said = std::fs::read_to_string(folder.path().join("said")).unwrap();
        (
            format!("{failed:?}"),
            said.lines().map(str::to_owned).collect(),
        )
    }

    #[test]
    fn a_walk_that_fails_leaves_nothing_stopped_and_tells_its_own_failure() {
        let started = [
            "start br1-111",
            "start br1-211",
            "start cs-111",
            "start cs-211",
            "start sig-111",
            "start sig-211",
        ];
        // One that does not start keeps none of the others from it.
        for fails in ["none", "'start br1-111'", "'start cs-211'"] {
            let (failed, said) = walked(fails);
            assert!(failed.contains("nowhere"), "{failed}");
            assert_eq!(said[..2], ["stop sig-111", "stop sig-211"]);
            assert_eq!(said[2..], started, "{fails}");
        }
        let (failed, said) = walked("'stop sig-211'");
        assert!(failed.contains("stop sig-211"), "{failed}");
        assert_eq!(said[2..], started);
    }

    #[test]
    fn counters_that_began_anew_are_no_count() {
        assert_eq!(since(3, 5).unwrap(), 2);
        assert!(since(5, 3).is_err());
    }
}
