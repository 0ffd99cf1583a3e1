//! What a configuration makes of the collector and of the own metering.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use link::KeyFile;

use super::{StartError, Surroundings};
use crate::collector::{Collector, Settings as Collecting, state};
use crate::config::Config;
use crate::metering::{Mains, Metering, Simulated, Thresholds};
use crate::substation::{Limits as BalanceLimits, Substation};

/// How much of what was collected is kept.
pub(super) fn bounds(config: &Config) -> state::Bounds {
    state::Bounds {
        age_s: i64::from(config.collect.keep_days) * 86_400,
        octets: usize::from(config.collect.keep_mib) << 20,
    }
}

/// Makes the collector that a configuration describes.
pub(super) fn collector(
    config: &Config,
    name: &model::LogicalDeviceName,
    keys: Option<&KeyFile>,
    kept: state::State,
    surroundings: &Surroundings,
) -> Result<Collector, StartError> {
    let collect = &config.collect;
    let given = collect.keys.as_deref().map(KeyFile::load).transpose()?;
    let given = given.unwrap_or_default();
    let others = |meter: &link::MeterKeys| {
        let only = meter.clients.iter().all(|it| it.sap == collect.client);
        !only || meter.master_key.is_some() || meter.broadcast_key.is_some()
    };
    if given.meters.iter().any(others) {
        return Err(StartError::TooMuch);
    }
    let own = keys.and_then(|keys| keys.find(name.as_str()));
    let title = own.map(|own| dlms::security::SystemTitle(own.system_title.0));
    if title.is_none() && !given.meters.is_empty() {
        return Err(StartError::NoTitle);
    }
    let same = |meter: &link::MeterKeys| title.is_some_and(|it| it.0 == meter.system_title.0);
    if given.meters.iter().any(same) {
        return Err(StartError::SameTitle);
    }
    let settings = Collecting {
        name: name.clone(),
        client: collect.client,
        title: title.unwrap_or(dlms::security::SystemTitle([0; 8])),
        profiles: collect.profiles().unwrap_or_default(),
        every_s: collect.every_s,
        at_once: usize::from(collect.at_once),
        backfill_days: collect.backfill_days,
        timeout: Duration::from_secs(u64::from(config.answer_s)),
        summary: Duration::from_secs(u64::from(collect.summary_s)),
        all: collect.all,
        listed: collect.meters().unwrap_or_default().into_iter().collect(),
    };
    let entropy = Arc::clone(&surroundings.entropy);
    let mut collector = Collector::new(settings, &given, kept, entropy);
    let sites: BTreeMap<_, _> = config.site.iter().filter_map(|it| it.parts()).collect();
    let mut metering = Vec::new();
    for (channel, one) in (1_u8..).zip(&config.metering) {
        let Ok(feeder) = one.feeder.parse() else {
            continue;
        };
        let source: Arc<dyn Mains> = Arc::new(Simulated { watts: one.watts });
        let thresholds = Thresholds {
            nominal_mv: u32::from(one.nominal_v) * 1_000,
            gone_mv: u32::from(one.nominal_v) * 200,
            band_percent: one.band_percent,
            current_ma: u32::from(one.current_a) * 1_000,
            ..Thresholds::default()
        };
        let history_s = u32::from(one.history_h) * 3_600;
        let one = Metering::new(feeder, channel, source, thresholds, INTERVAL_S);
        metering.push(one.with_history(history_s));
    }
    if !sites.is_empty() {
        let limits = BalanceLimits {
            percent: config.balance.percent,
            least_wh: config.balance.least_wh,
            intervals: config.balance.intervals,
            ..BalanceLimits::default()
        };
        collector = collector.with_substation(Substation::new(sites, INTERVAL_S, limits));
    }
    Ok(collector.with_metering(metering))
}

/// Seconds of an interval of the own metering: a quarter of an hour.
const INTERVAL_S: u32 = 900;
