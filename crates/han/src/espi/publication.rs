//! Feeds made of what a meter told, with every link that validators follow.

use model::Timestamp;

use super::{
    DateTimeInterval, Entry, Feed, IntervalBlock, IntervalReading, Link, MeterReading, ReadingType,
    Resource, ServiceCategory, TimeConfiguration, UsagePoint, UsageSummary, codes,
};

/// What is published of one usage point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// Where resources are: `https://HOST/espi/1_1/resource`, without a slash
    /// at its end.
    pub base: String,
    /// The subscription that it is read by.
    pub subscription: u32,
    /// The number of the usage point.
    pub usage_point: u32,
    /// For people.
    pub title: String,
    /// When the usage point was first there.
    pub published: Timestamp,
    /// When the newest value held.
    pub updated: Timestamp,
    /// The time of the place.
    pub local_time: TimeConfiguration,
    /// `ServiceKind`
    pub service: u16,
    /// The series.
    pub series: Vec<Series>,
    /// The summary, where there is one.
    pub summary: Option<UsageSummary>,
}

/// Readings of one type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// Its number: of the meter reading and of the reading type.
    pub id: u32,
    /// For people.
    pub title: String,
    /// What its readings are.
    pub reading_type: ReadingType,
    /// The readings. A series without any is left out: a meter reading without
    /// blocks is not valid.
    pub blocks: Vec<IntervalBlock>,
}

impl ReadingType {
    /// Energy that intervals of `length_s` seconds added, in watt hours, in
    /// one direction (`FlowDirectionKind`).
    #[must_use]
    pub fn energy(flow: u16, length_s: u32) -> Self {
        Self {
            interval_length: Some(length_s),
            ..Self::electricity(
                codes::ACCUMULATION_DELTA_DATA,
                flow,
                codes::KIND_ENERGY,
                codes::UOM_WATT_HOUR,
            )
        }
    }

    /// The register of energy in one direction, in watt hours, read about
    /// every `length_s` seconds.
    #[must_use]
    pub fn register(flow: u16, length_s: u32) -> Self {
        Self {
            interval_length: Some(length_s),
            ..Self::electricity(
                codes::ACCUMULATION_BULK_QUANTITY,
                flow,
                codes::KIND_ENERGY,
                codes::UOM_WATT_HOUR,
            )
        }
    }

    /// Power of the moment, from the grid less to the grid, in watts, read
    /// about every `length_s` seconds.
    #[must_use]
    pub fn net_power(length_s: u32) -> Self {
        Self {
            interval_length: Some(length_s),
            ..Self::electricity(
                codes::ACCUMULATION_INDICATING,
                codes::FLOW_NET,
                codes::KIND_POWER,
                codes::UOM_WATT,
            )
        }
    }

    fn electricity(accumulation: u16, flow: u16, kind: u16, uom: u16) -> Self {
        Self {
            accumulation_behaviour: Some(accumulation),
            commodity: Some(codes::COMMODITY_ELECTRICITY_SECONDARY),
            data_qualifier: Some(codes::QUALIFIER_NORMAL),
            flow_direction: Some(flow),
            kind: Some(kind),
            phase: Some(codes::PHASE_S12N),
            power_of_ten_multiplier: Some(0),
            time_attribute: Some(0),
            uom: Some(uom),
            ..Self::default()
        }
    }
}

impl IntervalBlock {
    /// Makes a block of readings in ascending order, as long as from the begin
    /// of the first to the end of the last. Nothing where there are none, or
    /// one has no time.
    #[must_use]
    pub fn of(readings: Vec<IntervalReading>) -> Option<Self> {
        let periods = || readings.iter().map(|reading| reading.time_period.as_ref());
        let start = periods().next()??.start;
        let mut end = start;
        for period in periods() {
            let period = period?;
            end = end.max(period.start.checked_add(i64::from(period.duration))?);
        }
        Some(Self {
            interval: Some(DateTimeInterval {
                duration: u32::try_from(end.checked_sub(start)?).ok()?,
                start,
            }),
            readings,
        })
    }
}

impl Publication {
    /// Makes the feed: local time, usage point, and of each series meter
    /// reading, reading type and blocks, in this order.
    #[must_use]
    pub fn feed(&self) -> Feed {
        let base = &self.base;
        let local = format!("{base}/LocalTimeParameters/1");
        let points = format!("{base}/Subscription/{}/UsagePoint", self.subscription);
        let point = format!("{points}/{}", self.usage_point);
        let readings = format!("{point}/MeterReading");
        let summaries = format!("{point}/UsageSummary");
        let series: Vec<&Series> = self
            .series
            .iter()
            .filter(|series| series.blocks.iter().any(|block| !block.readings.is_empty()))
            .collect();

        let mut usage_links = vec![
            Link::new("self", &point),
            Link::new("up", &points),
            Link::new("related", &local),
            Link::new("related", &readings),
        ];
        if self.summary.is_some() {
            usage_links.push(Link::new("related", &summaries));
        }
        let mut entries = vec![
            self.entry(
                "Local time",
                vec![
                    Link::new("self", &local),
                    Link::new("up", format!("{base}/LocalTimeParameters")),
                ],
                Resource::LocalTimeParameters(self.local_time.clone()),
            ),
            self.entry(
                &self.title,
                usage_links,
                Resource::UsagePoint(UsagePoint {
                    service_category: Some(ServiceCategory {
                        kind: Some(self.service),
                    }),
                    ..UsagePoint::default()
                }),
            ),
        ];
        for series in series {
            let reading = format!("{readings}/{}", series.id);
            let blocks = format!("{reading}/IntervalBlock");
            let kind = format!("{base}/ReadingType/{}", series.id);
            entries.push(self.entry(
                &series.title,
                vec![
                    Link::new("self", &reading),
                    Link::new("up", &readings),
                    Link::new("related", &kind),
                    Link::new("related", &blocks),
                ],
                Resource::MeterReading(MeterReading::default()),
            ));
            entries.push(self.entry(
                &series.title,
                vec![
                    Link::new("self", &kind),
                    Link::new("up", format!("{base}/ReadingType")),
                ],
                Resource::ReadingType(series.reading_type.clone()),
            ));
            let told = series
                .blocks
                .iter()
                .filter(|block| !block.readings.is_empty());
            for (index, block) in told.enumerate() {
                entries.push(self.entry(
                    &series.title,
                    vec![
                        Link::new("self", format!("{blocks}/{}", index + 1)),
                        Link::new("up", &blocks),
                    ],
                    Resource::IntervalBlock(block.clone()),
                ));
            }
        }
        if let Some(summary) = &self.summary {
            entries.push(self.entry(
                "Summary",
                vec![
                    Link::new("self", format!("{summaries}/1")),
                    Link::new("up", &summaries),
                ],
                Resource::UsageSummary(summary.clone()),
            ));
        }
        let here = format!(
            "{base}/Batch/Subscription/{}/UsagePoint/{}",
            self.subscription, self.usage_point
        );
        Feed {
            id: urn(&here),
            title: self.title.clone(),
            updated: Some(self.updated),
            links: vec![Link::new("self", here)],
            entries,
        }
    }

    fn entry(&self, title: &str, links: Vec<Link>, resource: Resource) -> Entry {
        let id = urn(links.first().map_or("", |link| link.href.as_str()));
        Entry {
            id,
            links,
            title: title.to_owned(),
            content: vec![resource],
            published: Some(self.published),
            updated: Some(self.updated),
        }
    }
}

/// A stable name of what stands at an address: a UUID of version 8 (RFC 9562),
/// made of its FNV-1a digest of 128 bits.
fn urn(address: &str) -> String {
    const OFFSET: u128 = 0x6C62_272E_07BB_0142_62B8_2175_6295_C58D;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013B;
    let digest = address.bytes().fold(OFFSET, |digest, octet| {
        (digest ^ u128::from(octet)).wrapping_mul(PRIME)
    });
    let version = (digest & !(0xF << 76)) | (0x8 << 76);
    let variant = (version & !(0x3 << 62)) | (0x2 << 62);
    let digits = format!("{variant:032X}");
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    format!(
        "urn:uuid:{}-{}-{}-{}-{}",
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32)
    )
}
