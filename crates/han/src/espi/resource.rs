//! The resources, each field in the order of the schema.

use dlms::codec::{DecodeError, Malformed};

use super::Rule;
use super::slot::{Leaf, Slot as _, bad, record, required};
use crate::xml::Element;

/// What an entry holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// A point at which a service is measured.
    UsagePoint(UsagePoint),
    /// A set of readings; it has no fields of its own.
    MeterReading(MeterReading),
    /// What readings are.
    ReadingType(ReadingType),
    /// Readings of consecutive intervals.
    IntervalBlock(IntervalBlock),
    /// The time of the place.
    LocalTimeParameters(TimeConfiguration),
    /// What was used and what it cost.
    UsageSummary(UsageSummary),
    /// The same, by its name before version 3.
    ElectricPowerUsageSummary(UsageSummary),
    /// How good the supply was.
    ElectricPowerQualitySummary(ElectricPowerQualitySummary),
}

/// A span of time: seconds, and their begin in seconds from
/// 1970-01-01T00:00:00Z.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DateTimeInterval {
    /// How long it is, in seconds.
    pub duration: u32,
    /// When it begins.
    pub start: i64,
}

impl Leaf for DateTimeInterval {
    fn read(element: &Element) -> Result<Self, DecodeError> {
        let start = element.child("start").ok_or(DecodeError {
            offset: element.offset,
            field: "start",
            reason: Malformed::Truncated,
        })?;
        // Utilities write fractions of a second, which the schema has not.
        let (whole, fraction) = start.text.split_once('.').unwrap_or((&start.text, ""));
        let whole = whole
            .parse()
            .ok()
            .filter(|_| fraction.bytes().all(|digit| digit.is_ascii_digit()))
            .ok_or_else(|| bad(start, "start"))?;
        Ok(Self {
            duration: required(element, "duration")?,
            start: whole,
        })
    }

    fn write(&self, out: &mut String) {
        self.duration.put("duration", out);
        self.start.put("start", out);
    }
}

record! {
    /// Which service is measured.
    ServiceCategory {
        /// `ServiceKind`; the schema demands it, utilities leave it empty.
        kind: Option<u16> = "kind",
    }
}

record! {
    /// A point at which a service is measured. Names of customers and their
    /// contracts are neither read nor written.
    UsagePoint {
        /// Roles of the point: 16 bits as hexadecimal digits.
        role_flags: Option<String> = "roleFlags",
        /// Which service it is.
        service_category: Option<ServiceCategory> = "ServiceCategory",
        /// 0 is off, 1 is on.
        status: Option<u8> = "status",
        /// `AmiBillingReadyKind`
        ami_billing_ready: Option<String> = "amiBillingReady",
        /// Whether somebody checked bills.
        check_billing: Option<bool> = "checkBilling",
        /// `UsagePointConnectedKind`
        connection_state: Option<String> = "connectionState",
        /// The load that is expected.
        estimated_load: Option<SummaryMeasurement> = "estimatedLoad",
        /// Whether it is grounded.
        grounded: Option<bool> = "grounded",
        /// Whether it is the point of delivery.
        is_sdp: Option<bool> = "isSdp",
        /// Whether it is computed.
        is_virtual: Option<bool> = "isVirtual",
        /// Whether little use is expected.
        minimal_usage_expected: Option<bool> = "minimalUsageExpected",
        /// The nominal voltage.
        nominal_service_voltage: Option<SummaryMeasurement> = "nominalServiceVoltage",
        /// The region of outages.
        outage_region: Option<String> = "outageRegion",
        /// `PhaseCodeKind`
        phase_code: Option<u16> = "phaseCode",
        /// The current that may flow.
        rated_current: Option<SummaryMeasurement> = "ratedCurrent",
        /// The power that may flow.
        rated_power: Option<SummaryMeasurement> = "ratedPower",
        /// On which days it is read.
        read_cycle: Option<String> = "readCycle",
        /// On which tour it is read.
        read_route: Option<String> = "readRoute",
        /// Remarks.
        service_delivery_remark: Option<String> = "serviceDeliveryRemark",
        /// Priority of the service.
        service_priority: Option<String> = "servicePriority",
    }
}

record! {
    /// A set of readings of one type. Links tell which.
    MeterReading {}
}

record! {
    /// What readings are of, in codes.
    ReadingType {
        /// `AccumulationKind`
        accumulation_behaviour: Option<u16> = "accumulationBehaviour",
        /// `CommodityKind`
        commodity: Option<u16> = "commodity",
        /// The block of a tariff by consumption.
        consumption_tier: Option<i16> = "consumptionTier",
        /// ISO 4217.
        currency: Option<u16> = "currency",
        /// `DataQualifierKind`
        data_qualifier: Option<u16> = "dataQualifier",
        /// `QualityOfReading` of readings that tell none.
        default_quality: Option<u16> = "defaultQuality",
        /// `FlowDirectionKind`
        flow_direction: Option<u16> = "flowDirection",
        /// The length of intervals in seconds.
        interval_length: Option<u32> = "intervalLength",
        /// `MeasurementKind`
        kind: Option<u16> = "kind",
        /// `PhaseCodeKind`
        phase: Option<u16> = "phase",
        /// The power of ten by which values are to be multiplied.
        power_of_ten_multiplier: Option<i16> = "powerOfTenMultiplier",
        /// `TimePeriodOfInterest`
        time_attribute: Option<u16> = "timeAttribute",
        /// Time of use.
        tou: Option<i16> = "tou",
        /// `UnitSymbolKind`
        uom: Option<u16> = "uom",
        /// Critical peak period.
        cpp: Option<i16> = "cpp",
        /// `TimeAttributeKind`
        measuring_period: Option<u16> = "measuringPeriod",
    }
}

record! {
    /// How good a reading is.
    ReadingQuality {
        /// `QualityOfReading`
        quality: u16 = "quality",
    }
}

record! {
    /// One reading. The schema has no quality that says missing: an interval
    /// without a value is left out, which leaves a gap that readers see.
    IntervalReading {
        /// In hundred-thousandths of the currency.
        cost: Option<i64> = "cost",
        /// How good it is.
        qualities: Vec<ReadingQuality> = "ReadingQuality",
        /// Of when it is.
        time_period: Option<DateTimeInterval> = "timePeriod",
        /// The value, in the unit of the reading type.
        value: Option<i64> = "value",
        /// The block of a tariff by consumption.
        consumption_tier: Option<i16> = "consumptionTier",
        /// Time of use.
        tou: Option<i16> = "tou",
        /// Critical peak period.
        cpp: Option<i16> = "cpp",
    }
}

record! {
    /// Readings of consecutive intervals.
    IntervalBlock {
        /// Of when they are, together.
        interval: Option<DateTimeInterval> = "interval",
        /// Each of them.
        readings: Vec<IntervalReading> = "IntervalReading",
    }
}

record! {
    /// The time of the place (`LocalTimeParameters`).
    TimeConfiguration {
        /// When daylight saving ends.
        dst_end_rule: Rule = "dstEndRule",
        /// Seconds that it adds.
        dst_offset: i64 = "dstOffset",
        /// When it begins.
        dst_start_rule: Rule = "dstStartRule",
        /// Seconds east of UTC, without it.
        tz_offset: i64 = "tzOffset",
    }
}

record! {
    /// One value of a summary.
    SummaryMeasurement {
        /// The power of ten by which it is to be multiplied.
        power_of_ten_multiplier: Option<i16> = "powerOfTenMultiplier",
        /// When it held.
        time_stamp: Option<i64> = "timeStamp",
        /// `UnitSymbolKind`
        uom: Option<u16> = "uom",
        /// The value.
        value: Option<i64> = "value",
        /// Where its reading type is.
        reading_type_ref: Option<String> = "readingTypeRef",
    }
}

record! {
    /// An item of a bill.
    LineItem {
        /// In hundred-thousandths of the currency.
        amount: Option<i64> = "amount",
        /// What rounding added.
        rounding: Option<i64> = "rounding",
        /// When it was.
        date_time: Option<i64> = "dateTime",
        /// What it is for.
        note: String = "note",
        /// How much was used.
        measurement: Option<SummaryMeasurement> = "measurement",
        /// `ItemKind`; version 4.0 demands it, 1.x does not have it.
        item_kind: Option<u16> = "itemKind",
        /// The cost of a unit.
        unit_cost: Option<i64> = "unitCost",
        /// Of when it is.
        item_period: Option<DateTimeInterval> = "itemPeriod",
    }
}

record! {
    /// What was used in a billing period, and what it cost.
    UsageSummary {
        /// The period.
        billing_period: Option<DateTimeInterval> = "billingPeriod",
        /// The last bill, in hundred-thousandths of the currency.
        bill_last_period: Option<i64> = "billLastPeriod",
        /// The bill so far.
        bill_to_date: Option<i64> = "billToDate",
        /// What else the last period cost.
        cost_additional_last_period: Option<i64> = "costAdditionalLastPeriod",
        /// The same in items.
        cost_additional_detail_last_period: Vec<LineItem> = "costAdditionalDetailLastPeriod",
        /// ISO 4217.
        currency: Option<u16> = "currency",
        /// Used in the last period.
        overall_consumption_last_period: Option<SummaryMeasurement> = "overallConsumptionLastPeriod",
        /// Used in this period.
        current_billing_period_over_all_consumption: Option<SummaryMeasurement> = "currentBillingPeriodOverAllConsumption",
        /// Net use on this day last year.
        current_day_last_year_net_consumption: Option<SummaryMeasurement> = "currentDayLastYearNetConsumption",
        /// Net use today.
        current_day_net_consumption: Option<SummaryMeasurement> = "currentDayNetConsumption",
        /// Used today.
        current_day_overall_consumption: Option<SummaryMeasurement> = "currentDayOverallConsumption",
        /// The greatest demand.
        peak_demand: Option<SummaryMeasurement> = "peakDemand",
        /// Used on the day before, last year.
        previous_day_last_year_overall_consumption: Option<SummaryMeasurement> = "previousDayLastYearOverallConsumption",
        /// Net use yesterday.
        previous_day_net_consumption: Option<SummaryMeasurement> = "previousDayNetConsumption",
        /// Used yesterday.
        previous_day_overall_consumption: Option<SummaryMeasurement> = "previousDayOverallConsumption",
        /// `QualityOfReading`
        quality_of_reading: Option<u16> = "qualityOfReading",
        /// The demand that is billed.
        ratchet_demand: Option<SummaryMeasurement> = "ratchetDemand",
        /// Of when that is.
        ratchet_demand_period: Option<DateTimeInterval> = "ratchetDemandPeriod",
        /// When the summary was made.
        status_time_stamp: i64 = "statusTimeStamp",
        /// `CommodityKind`
        commodity: Option<u16> = "commodity",
        /// The tariff.
        tariff_profile: Option<String> = "tariffProfile",
        /// On which days is read.
        read_cycle: Option<String> = "readCycle",
    }
}

record! {
    /// How good the supply was.
    ElectricPowerQualitySummary {
        /// Flicker, long term.
        flicker_plt: Option<i64> = "flickerPlt",
        /// Flicker, short term.
        flicker_pst: Option<i64> = "flickerPst",
        /// Harmonics of the voltage.
        harmonic_voltage: Option<i64> = "harmonicVoltage",
        /// Interruptions of more than three minutes.
        long_interruptions: Option<i64> = "longInterruptions",
        /// The voltage.
        mains_voltage: Option<i64> = "mainsVoltage",
        /// How it was measured.
        measurement_protocol: Option<u8> = "measurementProtocol",
        /// The frequency.
        power_frequency: Option<i64> = "powerFrequency",
        /// Rapid changes of the voltage.
        rapid_voltage_changes: Option<i64> = "rapidVoltageChanges",
        /// Interruptions of up to three minutes.
        short_interruptions: Option<i64> = "shortInterruptions",
        /// Of when the summary is.
        summary_interval: DateTimeInterval = "summaryInterval",
        /// Dips.
        supply_voltage_dips: Option<i64> = "supplyVoltageDips",
        /// Imbalance.
        supply_voltage_imbalance: Option<i64> = "supplyVoltageImbalance",
        /// Variations.
        supply_voltage_variations: Option<i64> = "supplyVoltageVariations",
        /// Temporary overvoltage.
        temp_overvoltage: Option<i64> = "tempOvervoltage",
    }
}

/// There is no daylight saving by default.
impl Default for Rule {
    fn default() -> Self {
        Self::NONE
    }
}
