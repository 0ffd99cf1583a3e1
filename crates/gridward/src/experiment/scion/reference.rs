//! The reference implementation's network, as `net.json` in its folder tells
//! of it: its routers, what they counted, and what stops and starts them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Request, header};
use link::ScionPath;
use scion::address::InterfaceId;
use serde_json::Value;
use sim::scion::End;
use tokio::net::TcpStream;

use super::place::at;
use crate::Outcome;
use crate::failure::{Failure, chain};

/// How long a router may take to tell what it counted.
const ANSWER: Duration = Duration::from_secs(20);

/// The most that it tells, in octets.
const ANSWER_MAX: usize = 4 << 20;

/// A border router, a process of its own.
#[derive(Debug)]
pub(super) struct Router {
    pub(super) name: String,
    ends: Vec<End>,
    counters: SocketAddr,
}

#[derive(Debug)]
pub(super) struct Reference {
    folder: PathBuf,
    tool: String,
    pub(super) routers: Vec<Router>,
    /// SCION-IP gateways, which send probes on all paths.
    pub(super) gateways: Vec<String>,
    /// Control services of both leaves, which ask those of other ASes on any
    /// path.
    pub(super) services: Vec<String>,
}

/// Reads `net.json`.
pub(super) fn net_json(folder: &Path) -> Result<Value, Failure> {
    let file = folder.join("net.json");
    let start = "start it first: interop/scion/net up FOLDER";
    let told = std::fs::read_to_string(&file)
        .map_err(|error| Failure::new(format!("{}: {error}", file.display())).hint(start))?;
    serde_json::from_str(&told)
        .map_err(|error| Failure::new(format!("{}: {error}", file.display())).hint(start))
}

impl Router {
    /// Tells whether a path crosses it.
    pub(super) fn is_on(&self, path: &ScionPath) -> bool {
        path.interfaces().any(|(isd_as, interface, _)| {
            let end = End { isd_as, interface };
            self.ends.contains(&end)
        })
    }

    /// Tells whether all of its links are ones of an isolation domain.
    pub(super) fn is_in(&self, isd: u16) -> bool {
        self.ends.iter().all(|end| end.isd_as.isd.0 == isd)
    }

    /// What it tells, in Prometheus's text form.
    async fn told(&self) -> Result<String, Failure> {
        let failed = |why: &str| {
            Failure::new(format!("{} at {}: {why}", self.name, self.counters))
                .hint("start it: interop/scion/net start FOLDER NAME")
        };
        let request = Request::get("/metrics")
            .header(header::HOST, self.counters.to_string())
            .header(header::CONNECTION, "close")
            .body(Bytes::new())
            .map_err(|error| failed(&error.to_string()))?;
        let answer = async {
            let stream = TcpStream::connect(self.counters).await;
            let stream = stream.map_err(|error| failed(&error.to_string()))?;
            let answer = link::ask(stream, None, request, ANSWER_MAX).await;
            answer.map_err(|error| failed(&chain(&error)))
        };
        let answer = tokio::time::timeout(ANSWER, answer).await;
        let answer = answer.unwrap_or_else(|_| Err(failed("it does not answer")))?;
        match answer.status().is_success() {
            true => Ok(String::from_utf8_lossy(answer.body()).into_owned()),
            false => Err(failed(answer.status().as_str())),
        }
    }

    /// Tells whether all of its links, and the other routers of its AS, are up.
    pub(super) async fn is_up(&self) -> bool {
        self.told().await.is_ok_and(|told| is_up(&told))
    }

    /// Counts the packets of hosts and services of other ASes that it passed
    /// on through an interface that `of` chooses by its name and both ASes.
    pub(super) async fn transit(
        &self,
        of: impl Fn(&str, [&str; 2]) -> bool,
    ) -> Result<u64, Failure> {
        Ok(transit(&self.told().await?, of))
    }
}

impl Reference {
    pub(super) fn open(folder: &Path) -> Result<Self, Failure> {
        let told = net_json(folder)?;
        let old = || {
            Failure::new(format!(
                "{}: net.json does not tell all that is needed",
                folder.display()
            ))
            .hint("remove the folder, and start it anew: interop/scion/net up FOLDER")
        };
        let tool = at(&told, "tool").as_str().ok_or_else(old)?.to_owned();
        let (mut routers, mut gateways, mut services) = (Vec::new(), Vec::new(), Vec::new());
        for (isd_as, it) in at(&told, "ases").as_object().ok_or_else(old)? {
            let of = isd_as.parse().map_err(|_| old())?;
            for (name, router) in at(it, "routers").as_object().ok_or_else(old)? {
                let interfaces = at(router, "interfaces").as_array().ok_or_else(old)?;
                let ends = interfaces.iter().map(|number| {
                    let interface = InterfaceId(u16::try_from(number.as_u64()?).ok()?);
                    let isd_as = of;
                    Some(End { isd_as, interface })
                });
                routers.push(Router {
                    name: name.clone(),
                    ends: ends.collect::<Option<_>>().ok_or_else(old)?,
                    counters: at(router, "counters")
                        .as_str()
                        .and_then(|text| text.parse().ok())
                        .ok_or_else(old)?,
                });
            }
            let number = isd_as.rsplit(':').next().unwrap_or_default();
            if !at(it, "core").as_bool().ok_or_else(old)? {
                services.push(format!("cs-{number}"));
            }
            if at(it, "behind_gateway").is_string() {
                gateways.push(format!("sig-{number}"));
            }
        }
        Ok(Self {
            folder: folder.to_owned(),
            tool,
            routers,
            gateways,
            services,
        })
    }

    /// What stops or starts a process of the network.
    pub(super) fn order(&self, verb: &str, name: &str) -> Order {
        let mut command = Command::new(&self.tool);
        command.arg(verb).arg(&self.folder).arg(name);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Order(command, format!("{verb} {name}"))
    }
}

/// A command of the network's own tool, to be run.
pub(super) struct Order(Command, String);

impl Order {
    pub(super) fn run(mut self) -> Outcome {
        let failed = |why: String| Failure::new(format!("{}: {why}", self.1));
        let done = self.0.output().map_err(|error| failed(error.to_string()))?;
        match done.status.success() {
            true => Ok(()),
            false => Err(failed(String::from_utf8_lossy(&done.stderr).into_owned())),
        }
    }
}

/// The figures of one name with their labels.
fn figures<'t>(told: &'t str, name: &str) -> impl Iterator<Item = (&'t str, u64)> {
    told.lines().filter_map(move |line| {
        let rest = line.strip_prefix(name)?.strip_prefix('{')?;
        let (labels, value) = rest.rsplit_once("} ")?;
        // Whole numbers, but written as floating ones: 1e+06.
        let value: f64 = value.parse().ok()?;
        Some((labels, format!("{value:.0}").parse().ok()?))
    })
}

fn label<'t>(labels: &'t str, name: &str) -> &'t str {
    let mut all = labels.split(',').filter_map(|one| one.split_once('='));
    let found = all.find(|(key, _)| *key == name);
    found.map_or("", |(_, value)| value.trim_matches('"'))
}

fn is_up(told: &str) -> bool {
    let links: Vec<_> = figures(told, "router_interface_up").collect();
    let siblings = figures(told, "router_sibling_reachable");
    !links.is_empty() && links.iter().copied().chain(siblings).all(|(_, up)| up == 1)
}

/// What a router's own AS sends is no transit, nor is what it takes, beacons
/// for one; probes of its links are neither.
fn transit(told: &str, of: impl Fn(&str, [&str; 2]) -> bool) -> u64 {
    figures(told, "router_output_pkts_total")
        .filter(|(labels, _)| label(labels, "type").ends_with("transit"))
        .filter(|(labels, _)| {
            let ends = ["isd_as", "neighbor_isd_as"].map(|name| label(labels, name));
            of(label(labels, "interface"), ends)
        })
        .map(|(_, packets)| packets)
        .sum()
}

#[cfg(test)]
mod tests {
    //! Evidence: lines in the form that the reference implementation's router
    //! writes; itself in `interop/scion/links`.
    use super::*;

    const TOLD: &str = "\
# TYPE router_interface_up gauge
router_interface_up{interface=\"1\",isd_as=\"3-ff00:0:310\",neighbor_isd_as=\"1-ff00:0:110\"} 1
router_interface_up{interface=\"2\",isd_as=\"3-ff00:0:310\",neighbor_isd_as=\"2-ff00:0:210\"} 1
router_output_pkts_total{interface=\"1\",isd_as=\"3-ff00:0:310\",neighbor_isd_as=\"1-ff00:0:110\",sizeclass=\"128_255\",type=\"br_transit\"} 1.2e+06
router_output_pkts_total{interface=\"1\",isd_as=\"3-ff00:0:310\",neighbor_isd_as=\"1-ff00:0:110\",sizeclass=\"256_511\",type=\"out_transit\"} 7
router_output_pkts_total{interface=\"1\",isd_as=\"3-ff00:0:310\",neighbor_isd_as=\"1-ff00:0:110\",sizeclass=\"128_255\",type=\"out\"} 50
router_output_pkts_total{interface=\"sibling->10.50.30.12:30042\",isd_as=\"3-ff00:0:310\",neighbor_isd_as=\"unknown\",sizeclass=\"128_255\",type=\"in_transit\"} 3
";

    #[test]
    fn packets_in_transit_are_told_from_what_an_as_sends_itself() {
        assert_eq!(transit(TOLD, |_, _| true), 1_200_010);
        let external = |interface: &str, _: [&str; 2]| interface.parse::<u16>().is_ok();
        assert_eq!(transit(TOLD, external), 1_200_007);
        assert_eq!(transit(TOLD, |_, ends| ends[1].starts_with("2-")), 0);
    }

    #[test]
    fn a_router_is_up_when_all_of_its_links_are() {
        assert!(is_up(TOLD));
        let down = TOLD.replace("2-ff00:0:210\"} 1", "2-ff00:0:210\"} 0");
        assert!(!is_up(&down));
        let alone =
            format!("{TOLD}router_sibling_reachable{{isd_as=\"3-ff00:0:310\",sibling=\"x\"}} 0\n");
        assert!(!is_up(&alone));
        assert!(!is_up(""));
    }
}
