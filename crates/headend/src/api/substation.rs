//! What a concentrator's notices and sums come to: outages, and the balance of its feeders.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use dlms::axdr::{Data, RawData};
use model::{LogicalDeviceName, MeterId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::concentrators::{NOTICES, find, site};
use super::error::{ApiError, ErrorBody};
use super::fleet::Need;
use super::guard::Params;
use crate::calendar::rfc3339;
use crate::concentrators::balance::{self, Branch, Limits, Point, Site, Verdict, Weight};
use crate::concentrators::outages::{self, Outage};
use crate::concentrators::{Digest, Enrolled, leads_to};
use crate::store::Notice;

/// A window of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// The number of entries to skip.
    offset: u32,
    /// The number of entries to return, 1 to 200.
    limit: u32,
}

impl Default for PageQuery {
    fn default() -> Self {
        Self {
            offset: 0,
            limit: 20,
        }
    }
}

impl PageQuery {
    pub(super) fn check(&self) -> Result<(), ApiError> {
        if (1..=200).contains(&self.limit) {
            return Ok(());
        }
        Err(ApiError::BadRequest("A limit is 1 to 200.".to_owned()))
    }

    /// Tells how many entries are skipped.
    pub(super) const fn offset(&self) -> u32 {
        self.offset
    }

    /// Takes the window out of all entries.
    pub(super) fn of<T>(&self, all: Vec<T>) -> impl Iterator<Item = T> {
        let place = |number| usize::try_from(number).unwrap_or(usize::MAX);
        all.into_iter()
            .skip(place(self.offset))
            .take(place(self.limit))
    }
}

/// Outages behind a concentrator, those that are not over first, then the latest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OutageList {
    total: usize,
    /// Those that are not over.
    open: usize,
    /// Meters that are out now.
    meters_out: usize,
    offset: u32,
    rows: Vec<OutageView>,
}

/// Meters that fell silent together, by the word of their concentrator.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OutageView {
    /// The number of the notice that told of it.
    number: u32,
    /// When, by the concentrator's clock.
    #[schema(format = DateTime)]
    began: String,
    /// When the last of its meters was there again; null while one is out.
    #[schema(format = DateTime)]
    ended: Option<String>,
    /// Meters that fell silent.
    meters: usize,
    /// Meters of it that are still out.
    out: usize,
    /// Feeders and phases of them that the registry knows.
    sites: Vec<String>,
    /// The first meters of it, those that are still out first; at most 50.
    first: Vec<OutMeter>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OutMeter {
    name: String,
    /// The registry id; null where no such meter is enrolled.
    id: Option<String>,
    place: String,
    out: bool,
}

const FIRST_MAX: usize = 50;

/// Notices of a concentrator, those that came last first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NoticeList {
    total: u64,
    offset: u32,
    rows: Vec<NoticeView>,
}

/// One notice.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NoticeView {
    number: u32,
    /// When, by the concentrator's clock.
    #[schema(format = DateTime)]
    at: String,
    /// The code of docs/concentrator.md.
    code: u8,
    /// One of info, warn, crit, ok.
    state: &'static str,
    title: String,
    detail: String,
    /// Meters that it names.
    meters: Option<usize>,
}

/// Which span of the balance.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct BalanceQuery {
    /// The hours before now, 1 to 48.
    hours: u8,
    /// The number of branches to skip.
    offset: u32,
    /// The number of branches to return, 1 to 200.
    limit: u32,
}

impl Default for BalanceQuery {
    fn default() -> Self {
        Self {
            hours: 24,
            offset: 0,
            limit: 100,
        }
    }
}

/// What feeders were supplied with against what their meters counted, those that need somebody
/// first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Balance {
    #[schema(format = DateTime)]
    from: String,
    #[schema(format = DateTime)]
    to: String,
    /// Percent of what was supplied that may be lost on the way.
    loss_percent: u8,
    /// Percent by which more may be metered than was supplied.
    excess_percent: u8,
    /// Wh in a single interval up to which nothing is said of it; over the whole time less counts.
    least_wh: i64,
    /// Intervals in a row after which it is said.
    run: usize,
    total: usize,
    offset: u32,
    rows: Vec<BranchView>,
}

/// A phase of a feeder; all three together, L123, where a meter hangs on all three.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BranchView {
    feeder: String,
    phase: &'static str,
    /// One of ok, warn, miss.
    state: &'static str,
    state_text: String,
    /// What was supplied in the intervals that count; where none does, in all in which that was
    /// measured, if any.
    supplied_wh: Option<i64>,
    /// What was metered in the intervals that count; where none does, in all of which every meter
    /// told, if any.
    metered_wh: Option<i64>,
    /// Thousandths of what was supplied; null where nothing was.
    loss_permille: Option<i64>,
    /// Meters that it has.
    meters: u32,
    /// Meters that told of the last interval.
    told: u32,
    /// Intervals that count.
    weighed: usize,
    /// Intervals of which meters are missing.
    incomplete: usize,
    /// Intervals in which the feeder itself was not metered.
    unmetered: usize,
    /// Intervals in which the houses delivered more than they drew.
    fed_back: usize,
    /// The intervals, oldest first.
    points: Vec<PointView>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PointView {
    /// The end of the interval.
    #[schema(format = DateTime)]
    t: String,
    supplied_wh: Option<i64>,
    metered_wh: i64,
    meters: u32,
    /// One of weighed, incomplete, unmetered, fed_back.
    weight: &'static str,
}

/// Outages behind one concentrator.
#[utoipa::path(get, path = "/api/v1/concentrators/{id}/outages", tag = "concentrator",
    params(("id" = String, Path, description = "The registry id"), PageQuery),
    responses(
        (status = 200, description = "Outages", body = OutageList),
        (status = 400, description = "Not understood", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such concentrator", body = ErrorBody),
    ))]
pub(super) async fn outages(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Params(query): Params<PageQuery>,
) -> Result<Json<OutageList>, ApiError> {
    query.check()?;
    let one = find(&app, &id)?;
    app.blocking(move |app| {
        let mut all = outages::outages(&app.store.outage_notices(one.target.id)?);
        all.sort_by_key(|it| it.ended.is_some());
        let digest = Digest::default().with_outages(&all);
        let total = all.len();
        let rows: Vec<Outage> = query.of(all).collect();
        let known = app.known(&one, &rows);
        Ok(Json(OutageList {
            total,
            open: digest.outages,
            meters_out: digest.out,
            offset: query.offset,
            rows: rows.iter().map(|it| outage(it, &known)).collect(),
        }))
    })
    .await
}

/// Notices of one concentrator.
#[utoipa::path(get, path = "/api/v1/concentrators/{id}/notices", tag = "concentrator",
    params(("id" = String, Path, description = "The registry id"), PageQuery),
    responses(
        (status = 200, description = "Notices", body = NoticeList),
        (status = 400, description = "Not understood", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such concentrator", body = ErrorBody),
    ))]
pub(super) async fn notices(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Params(query): Params<PageQuery>,
) -> Result<Json<NoticeList>, ApiError> {
    query.check()?;
    let one = find(&app, &id)?;
    app.blocking(move |app| {
        let (total, page) = app
            .store
            .notice_page(one.target.id, query.offset, query.limit)?;
        Ok(Json(NoticeList {
            total,
            offset: query.offset,
            rows: page.iter().map(notice).collect(),
        }))
    })
    .await
}

/// The balance of the feeders of one concentrator.
#[utoipa::path(get, path = "/api/v1/concentrators/{id}/balance", tag = "concentrator",
    params(("id" = String, Path, description = "The registry id"), BalanceQuery),
    responses(
        (status = 200, description = "Its feeders", body = Balance),
        (status = 400, description = "Not understood", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "No such concentrator", body = ErrorBody),
    ))]
pub(super) async fn balance(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Params(query): Params<BalanceQuery>,
) -> Result<Json<Balance>, ApiError> {
    let page = PageQuery {
        offset: query.offset,
        limit: query.limit,
    };
    page.check()?;
    if !(1..=48).contains(&query.hours) {
        return Err(ApiError::BadRequest("Hours are 1 to 48.".to_owned()));
    }
    let one = find(&app, &id)?;
    app.blocking(move |app| {
        let sites: Vec<Site> = app.fleet.with_meters(|meters| {
            let ours = meters
                .values()
                .filter(|it| leads_to(&it.meter.enrolment.endpoint, &one.config.endpoint));
            ours.filter_map(site).collect()
        });
        let hours = i64::from(query.hours);
        let limits = Limits::new(one.config.loss_percent);
        let (branches, from, to) = app.weighed(&one, &sites, hours)?;
        let total = branches.len();
        Ok(Json(Balance {
            from: rfc3339(from),
            to: rfc3339(to),
            loss_percent: limits.percent,
            excess_percent: limits.excess_percent,
            least_wh: limits.least_wh,
            run: limits.run,
            total,
            offset: query.offset,
            rows: page.of(branches).map(|it| branch(&it)).collect(),
        }))
    })
    .await
}

/// The span of which a digest is made.
const DIGEST_HOURS: i64 = 24;
/// A concentrator's clock may be that far ahead.
const AHEAD_S: i64 = 900;

impl App {
    fn weighed(
        &self,
        one: &Enrolled,
        sites: &[Site],
        hours: i64,
    ) -> Result<(Vec<Branch>, Timestamp, Timestamp), ApiError> {
        let to = self.clock.now();
        let from = to.plus_secs(-hours * 3_600);
        // Sums have the time at which their interval ended.
        let range = from.secs() + 1..to.secs() + AHEAD_S;
        let sums = self.store.supply(one.target.id, range)?;
        let sites = balance::sites(sites.iter().cloned());
        let limits = Limits::new(one.config.loss_percent);
        Ok((balance::weigh(sums, &sites, limits), from, to))
    }

    /// What notices and sums of these come to.
    pub(super) fn digests(
        &self,
        all: &[&Enrolled],
    ) -> Result<BTreeMap<MeterId, Arc<Digest>>, ApiError> {
        let now = self.clock.now();
        let mut digests = BTreeMap::new();
        let mut sites: BTreeMap<&str, Vec<Site>> = BTreeMap::new();
        for one in all {
            match self.board.digest(one.target.id, now) {
                Some(digest) => drop(digests.insert(one.target.id, digest)),
                None => drop(sites.insert(&one.config.endpoint, Vec::new())),
            }
        }
        if sites.is_empty() {
            return Ok(digests);
        }
        self.fleet.with_meters(|meters| {
            for meter in meters.values() {
                // One that has several ways is behind each of them.
                for way in meter.meter.enrolment.endpoint.split_whitespace() {
                    if let Some(sites) = sites.get_mut(way) {
                        sites.extend(site(meter));
                    }
                }
            }
        });
        for one in all {
            let id = one.target.id;
            if digests.contains_key(&id) {
                continue;
            }
            let sites = sites.get(one.config.endpoint.as_str());
            let outages = outages::outages(&self.store.outage_notices(id)?);
            let sites = sites.map_or(&[][..], Vec::as_slice);
            let (branches, ..) = self.weighed(one, sites, DIGEST_HOURS)?;
            // What could not be weighed hides nothing that could.
            let known = branches.iter().find(|it| it.verdict != Verdict::Unknown);
            let worst = known.or_else(|| branches.first());
            let worst = worst.map(|it| (it.site.clone(), it.verdict, it.loss_permille()));
            let digest = Arc::new(Digest {
                worst,
                ..Digest::default().with_outages(&outages)
            });
            self.board.keep_digest(id, now, Arc::clone(&digest));
            digests.insert(id, digest);
        }
        Ok(digests)
    }

    /// The concentrator behind which most meters are out. A single one is silent, and told so.
    pub(super) fn outage_need(&self) -> Result<Option<Need>, ApiError> {
        let all: Vec<&Enrolled> = self.concentrators.iter().collect();
        let digests = self.digests(&all)?;
        let worst = all.into_iter().filter_map(|one| {
            let digest = digests.get(&one.target.id)?;
            (digest.out > 1).then_some((one, digest))
        });
        let worst = worst.max_by_key(|(_, digest)| digest.out);
        Ok(worst.and_then(|(one, digest)| {
            let name = &one.target.enrolment.name;
            Some(Need::outage(digest.out, name, digest.since?, one.target.id))
        }))
    }

    /// What the registry says of the meters of outages.
    fn known(
        &self,
        one: &Enrolled,
        outages: &[Outage],
    ) -> BTreeMap<LogicalDeviceName, (String, String, Option<Site>)> {
        let wanted: BTreeSet<&LogicalDeviceName> =
            outages.iter().flat_map(|it| &it.meters).collect();
        self.fleet.with_meters(|meters| {
            let ours = meters.values().filter(|it| {
                let enrolment = &it.meter.enrolment;
                leads_to(&enrolment.endpoint, &one.config.endpoint)
                    && wanted.contains(&enrolment.name)
            });
            ours.map(|it| {
                let enrolment = &it.meter.enrolment;
                let place = enrolment.place.as_str().to_owned();
                let known = (it.meter.id.to_string(), place, site(it));
                (enrolment.name.clone(), known)
            })
            .collect()
        })
    }
}

fn outage(
    outage: &Outage,
    known: &BTreeMap<LogicalDeviceName, (String, String, Option<Site>)>,
) -> OutageView {
    let sites: BTreeSet<&Site> = outage
        .meters
        .iter()
        .filter_map(|it| known.get(it)?.2.as_ref())
        .collect();
    let mut meters: Vec<&LogicalDeviceName> = outage.meters.iter().collect();
    meters.sort_by_key(|it| !outage.out.contains(*it));
    let first = meters.into_iter().take(FIRST_MAX).map(|name| {
        let known = known.get(name);
        OutMeter {
            name: name.to_string(),
            id: known.map(|it| it.0.clone()),
            place: known.map_or_else(String::new, |it| it.1.clone()),
            out: outage.out.contains(name),
        }
    });
    OutageView {
        number: outage.number,
        began: rfc3339(outage.began),
        ended: outage.ended.map(rfc3339),
        meters: outage.meters.len(),
        out: outage.out.len(),
        sites: sites
            .into_iter()
            .map(|(feeder, phase)| format!("{} {phase}", feeder.as_str()))
            .collect(),
        first: first.collect(),
    }
}

fn notice(notice: &Notice) -> NoticeView {
    let named = NOTICES.iter().find(|(code, _)| *code == notice.code);
    let title = named.map_or_else(
        || format!("Notice with code {}", notice.code),
        |(_, title)| (*title).to_owned(),
    );
    let state = match notice.code {
        3 | 6 => "crit",
        1 | 4 | 8 | 10 | 12 | 13 => "warn",
        2 | 5 | 7 | 9 | 11 => "ok",
        _ => "info",
    };
    let data = RawData::new(&notice.detail).decode().ok();
    let meters = data.as_ref().and_then(Data::as_array).map(<[Data]>::len);
    NoticeView {
        number: notice.number,
        at: rfc3339(notice.at),
        code: notice.code,
        state,
        title,
        detail: data
            .and_then(|data| detail(notice.code, &data))
            .unwrap_or_default(),
        meters: meters.filter(|_| matches!(notice.code, 1 | 2)),
    }
}

/// Says in words what a notice's detail holds, by its code (docs/concentrator.md); nothing where
/// it is not as it should be.
fn detail(code: u8, data: &Data) -> Option<String> {
    let text = |data: &Data| {
        let octets = data.as_octets()?.get(..)?;
        let text = std::str::from_utf8(octets).ok()?;
        let fits = text.len() <= 64 && !text.chars().any(char::is_control);
        fits.then(|| text.to_owned())
    };
    let parts = data.as_structure().unwrap_or_default();
    let place = || {
        Some(format!(
            "{} {}",
            text(parts.first()?)?,
            text(parts.get(1)?)?
        ))
    };
    let milli = |unit: &str| {
        let value = parts.get(2)?.as_u32()?;
        Some(format!(
            "{}, {}.{} {unit}",
            place()?,
            value / 1_000,
            value % 1_000 / 100
        ))
    };
    match code {
        3 => text(parts.first()?),
        4 | 5 => {
            let (supplied, metered) = (parts.get(3)?.as_i64()?, parts.get(4)?.as_i64()?);
            Some(format!(
                "{}: {supplied} Wh supplied, {metered} Wh metered",
                place()?
            ))
        }
        6 | 7 => place(),
        8 | 9 => milli("A"),
        10 | 11 => milli("V"),
        12 => Some(format!("{} rows", data.as_u64()?)),
        13 => Some(format!("{} octets", data.as_u64()?)),
        14 => Some(format!("by {} s", data.as_i64()?)),
        _ => None,
    }
}

/// The state of a branch as pages show it.
pub(super) const fn balance_state(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Losing | Verdict::Excess => "warn",
        Verdict::Unknown => "miss",
        Verdict::Even => "ok",
    }
}

/// Says in few words how a branch is.
pub(super) fn balance_text(verdict: Verdict, loss: Option<i64>) -> String {
    let percent = |permille: i64| format!("{}.{} %", permille / 10, permille % 10);
    match (verdict, loss) {
        (Verdict::Losing, Some(loss)) if loss > 0 => format!("{} lost", percent(loss)),
        (Verdict::Losing, _) => "Loses".to_owned(),
        (Verdict::Excess, Some(loss)) if loss < 0 => {
            format!("{} more metered than supplied", percent(-loss))
        }
        (Verdict::Excess, _) => "More metered than supplied".to_owned(),
        (Verdict::Unknown, _) => "Not weighed yet".to_owned(),
        (Verdict::Even, _) => "Loss in range".to_owned(),
    }
}

fn branch(branch: &Branch) -> BranchView {
    let weighed = branch.count(Weight::Weighed);
    let sum = |of: &dyn Fn(&Point) -> Option<i64>| {
        let all = branch.points.iter().filter_map(of);
        all.reduce(i64::saturating_add)
    };
    let (supplied_wh, metered_wh) = if weighed > 0 {
        (Some(branch.supplied_wh), Some(branch.metered_wh))
    } else {
        let complete = |it: &Point| it.meters > 0 && it.meters >= branch.meters;
        (
            sum(&|it| it.supplied_wh),
            sum(&|it| complete(it).then_some(it.metered_wh)),
        )
    };
    let told = branch.points.last().map_or(0, |it| it.meters);
    let state_text = match branch.verdict {
        Verdict::Unknown if branch.meters == 0 => "No meter of it is read here".to_owned(),
        Verdict::Unknown if weighed > 0 => "Too few intervals yet".to_owned(),
        Verdict::Unknown if branch.points.iter().all(|it| it.supplied_wh.is_none()) => {
            "The feeder is not metered".to_owned()
        }
        Verdict::Unknown if told < branch.meters => {
            format!("{told} of {} meters told", branch.meters)
        }
        verdict => balance_text(verdict, branch.loss_permille()),
    };
    BranchView {
        feeder: branch.site.0.as_str().to_owned(),
        phase: branch.site.1.name(),
        state: balance_state(branch.verdict),
        state_text,
        supplied_wh,
        metered_wh,
        loss_permille: branch.loss_permille(),
        meters: branch.meters,
        told,
        weighed,
        incomplete: branch.count(Weight::Incomplete),
        unmetered: branch.count(Weight::Unmetered),
        fed_back: branch.count(Weight::FedBack),
        points: branch
            .points
            .iter()
            .map(|it| PointView {
                t: rfc3339(it.at),
                supplied_wh: it.supplied_wh,
                metered_wh: it.metered_wh,
                meters: it.meters,
                weight: match it.weight {
                    Weight::Weighed => "weighed",
                    Weight::Unmetered => "unmetered",
                    Weight::Incomplete => "incomplete",
                    Weight::FedBack => "fed_back",
                },
            })
            .collect(),
    }
}
