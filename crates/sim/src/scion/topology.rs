//! Which ASes there are, how they are linked, and the paths that follow.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use scion::address::{AddressError, InterfaceId, IsdAs};

/// Paths between two ASes that are told at most.
const PATHS_MAX: usize = 64;

/// Links that a path has at most.
const LINKS_MAX: usize = 16;

/// One end of a link: `2-ff00:0:211#1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct End {
    /// The AS.
    pub isd_as: IsdAs,
    /// Its interface.
    pub interface: InterfaceId,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.isd_as, self.interface)
    }
}

/// A text that is no end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndError {
    /// The sign between AS and interface is missing.
    #[error("a link is named by one of its ends: 2-ff00:0:211#1")]
    Form,
    /// A part of it.
    #[error(transparent)]
    Address(#[from] AddressError),
}

impl FromStr for End {
    type Err = EndError;

    fn from_str(text: &str) -> Result<Self, EndError> {
        let (isd_as, interface) = text.split_once('#').ok_or(EndError::Form)?;
        Ok(Self {
            isd_as: isd_as.parse()?,
            interface: interface.parse()?,
        })
    }
}

/// What the second end of a link is to the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A core AS like it.
    Core,
    /// Its child: an AS that it provides for.
    Child,
}

/// A link between two ASes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its ends.
    pub ends: [End; 2],
    /// What the second is to the first.
    pub kind: Kind,
    /// The time one way that daemons tell of it.
    pub latency: Duration,
}

/// ASes and their links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology(Vec<Link>);

/// Where segments are told apart: no path goes up again behind the core, and
/// none comes back to the core from below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Up,
    Core,
    Down,
}

/// A link that a path takes, from one of its ends.
#[derive(Clone, Copy, Debug)]
struct Step<'t> {
    phase: Phase,
    link: &'t Link,
    from: End,
    to: End,
}

/// A path as a daemon tells it.
pub(super) struct Told {
    /// Its octets on the data plane.
    pub(super) octets: Vec<u8>,
    /// The interfaces that it crosses, in the order of travel.
    pub(super) interfaces: Vec<End>,
    /// The time of each link.
    pub(super) latencies: Vec<Duration>,
}

/// The AS `isd-ff00:0:number`.
const fn isd_as(isd: u64, number: u64) -> IsdAs {
    IsdAs::from_u64(isd << 48 | 0xff00 << 32 | number)
}

const fn link(
    (one, near): (IsdAs, u16),
    kind: Kind,
    (other, far): (IsdAs, u16),
    millis: u64,
) -> Link {
    Link {
        ends: [
            End {
                isd_as: one,
                interface: InterfaceId(near),
            },
            End {
                isd_as: other,
                interface: InterfaceId(far),
            },
        ],
        kind,
        latency: Duration::from_millis(millis),
    }
}

/// The meters' AS in the topologies here.
pub const METERS: IsdAs = isd_as(1, 0x111);

/// The head end's.
pub const HEAD_END: IsdAs = isd_as(2, 0x211);

/// Where the ASes of the topologies here say that they are.
const PLACES: [(IsdAs, &str); 6] = [
    (isd_as(1, 0x110), "CH-Bern"),
    (isd_as(1, 0x120), "CH-Zuerich"),
    (METERS, "CH-Luzern"),
    (isd_as(2, 0x210), "DE-Muenchen"),
    (HEAD_END, "DE-Frankfurt"),
    (isd_as(3, 0x310), "US-New York"),
];

/// Tells where an AS says that it is; nothing of others than those here.
#[must_use]
pub(super) fn place(isd_as: IsdAs) -> &'static str {
    let found = PLACES.iter().find(|(place, _)| *place == isd_as);
    found.map_or("", |(_, place)| place)
}

impl Topology {
    /// Takes links.
    #[must_use]
    pub const fn new(links: Vec<Link>) -> Self {
        Self(links)
    }

    /// Six ASes in three isolation domains: six paths between the two leaves,
    /// two of them through the third domain.
    ///
    /// ```text
    ///   ISD 1 (meters)              ISD 2 (head end)          ISD 3
    /// 120 core ------------------- 210 core
    ///  |           110 core ------ 210 core -- 310 core -- 110 core
    ///  +-- 111 --- 110 core        210 core == 211 (two uplinks)
    /// ```
    #[must_use]
    pub fn six() -> Self {
        let (a110, a120) = (isd_as(1, 0x110), isd_as(1, 0x120));
        let (a210, a310) = (isd_as(2, 0x210), isd_as(3, 0x310));
        Self(vec![
            link((a110, 1), Kind::Core, (a210, 1), 5),
            link((a110, 2), Kind::Core, (a310, 1), 40),
            link((a310, 2), Kind::Core, (a210, 2), 40),
            link((a120, 1), Kind::Core, (a210, 3), 7),
            link((a110, 10), Kind::Child, (METERS, 1), 2),
            link((a120, 10), Kind::Child, (METERS, 2), 3),
            link((a210, 10), Kind::Child, (HEAD_END, 1), 1),
            link((a210, 11), Kind::Child, (HEAD_END, 2), 1),
        ])
    }

    /// The meters' AS and the head end's with two links between them, the
    /// first one quicker.
    #[must_use]
    pub fn pair() -> Self {
        Self(vec![
            link((HEAD_END, 1), Kind::Core, (METERS, 1), 1),
            link((HEAD_END, 2), Kind::Core, (METERS, 2), 2),
        ])
    }

    /// Shows the links.
    #[must_use]
    pub fn links(&self) -> &[Link] {
        &self.0
    }

    /// Names the ASes.
    #[must_use]
    pub fn ases(&self) -> BTreeSet<IsdAs> {
        let ends = self.0.iter().flat_map(|link| link.ends);
        ends.map(|end| end.isd_as).collect()
    }

    /// Names the ASes that others provide for, where hosts are.
    #[must_use]
    pub fn leaves(&self) -> BTreeSet<IsdAs> {
        let children = self.0.iter().filter(|link| link.kind == Kind::Child);
        let [children, parents]: [BTreeSet<IsdAs>; 2] =
            children.fold([BTreeSet::new(), BTreeSet::new()], |mut all, link| {
                let [parent, child] = link.ends;
                let [children, parents] = &mut all;
                children.insert(child.isd_as);
                parents.insert(parent.isd_as);
                all
            });
        children.difference(&parents).copied().collect()
    }

    /// Gives the paths from one AS to another.
    pub(super) fn paths(&self, from: IsdAs, to: IsdAs) -> Vec<Told> {
        let (mut found, mut steps) = (Vec::new(), Vec::new());
        if from != to {
            self.search(from, to, &mut steps, &mut found);
        }
        found
    }

    fn search<'t>(
        &'t self,
        at: IsdAs,
        to: IsdAs,
        steps: &mut Vec<Step<'t>>,
        found: &mut Vec<Told>,
    ) {
        if found.len() >= PATHS_MAX || steps.len() > LINKS_MAX {
            return;
        }
        if at == to {
            found.push(told(steps));
            return;
        }
        for link in &self.0 {
            let [one, other] = link.ends;
            for (from, next, down) in [(one, other, true), (other, one, false)] {
                let phase = match (link.kind, down) {
                    (Kind::Core, _) => Phase::Core,
                    (Kind::Child, true) => Phase::Down,
                    (Kind::Child, false) => Phase::Up,
                };
                let seen = |step: &Step<'_>| step.from.isd_as == next.isd_as;
                if from.isd_as != at
                    || steps.last().is_some_and(|last| last.phase > phase)
                    || steps.iter().any(seen)
                {
                    continue;
                }
                steps.push(Step {
                    phase,
                    link,
                    from,
                    to: next,
                });
                self.search(next.isd_as, to, steps, found);
                steps.pop();
            }
        }
    }
}

/// The info field's flag of a segment that is travelled as it was made.
pub(super) const MADE: u8 = 1;

fn told(steps: &[Step<'_>]) -> Told {
    let segments: Vec<_> = steps
        .chunk_by(|one, next| one.phase == next.phase)
        .collect();
    let (mut word, mut infos, mut hops) = (0_u32, Vec::new(), Vec::new());
    for (segment, shift) in segments.iter().zip([12, 6, 0]) {
        // At most one AS more than links, which are few.
        word |= u32::try_from(segment.len() + 1).unwrap_or(0) << shift;
        let made = segment.first().is_some_and(|it| it.phase == Phase::Down);
        infos.extend_from_slice(&[u8::from(made) * MADE, 0, 0, 0, 0x68, 0, 0, 0]);
        let enters = std::iter::once(0).chain(segment.iter().map(|step| step.to.interface.0));
        let leaves = segment.iter().map(|step| step.from.interface.0);
        for (enters, leaves) in enters.zip(leaves.chain(std::iter::once(0))) {
            let (ingress, egress) = if made {
                (enters, leaves)
            } else {
                (leaves, enters)
            };
            hops.extend_from_slice(&[0, 63]);
            hops.extend_from_slice(&ingress.to_be_bytes());
            hops.extend_from_slice(&egress.to_be_bytes());
            // What authenticates a hop field is not simulated.
            hops.extend_from_slice(&[0; 6]);
        }
    }
    Told {
        octets: [&word.to_be_bytes()[..], &infos, &hops].concat(),
        interfaces: steps.iter().flat_map(|step| [step.from, step.to]).collect(),
        latencies: steps.iter().map(|step| step.link.latency).collect(),
    }
}
