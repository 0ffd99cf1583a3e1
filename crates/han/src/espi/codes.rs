//! Codes of the schema that are used here (espi.xsd 4.0, enumerations).

/// `ServiceKind`: electricity.
pub const SERVICE_ELECTRICITY: u16 = 0;
/// `ServiceKind`: gas.
pub const SERVICE_GAS: u16 = 1;
/// `ServiceKind`: water.
pub const SERVICE_WATER: u16 = 2;
/// `AccumulationKind`: a register that counts on and on (bulk quantity).
pub const ACCUMULATION_BULK_QUANTITY: u16 = 1;
/// `AccumulationKind`: what an interval added.
pub const ACCUMULATION_DELTA_DATA: u16 = 4;
/// `AccumulationKind`: a value of a moment (indicating).
pub const ACCUMULATION_INDICATING: u16 = 6;
/// `CommodityKind`: electricity metered at the secondary side.
pub const COMMODITY_ELECTRICITY_SECONDARY: u16 = 1;
/// `DataQualifierKind`: normal.
pub const QUALIFIER_NORMAL: u16 = 12;
/// `FlowDirectionKind`: forward, from the grid to the customer.
pub const FLOW_FORWARD: u16 = 1;
/// `FlowDirectionKind`: net, forward less reverse.
pub const FLOW_NET: u16 = 4;
/// `FlowDirectionKind`: reverse, from the customer to the grid.
pub const FLOW_REVERSE: u16 = 19;
/// `MeasurementKind`: energy.
pub const KIND_ENERGY: u16 = 12;
/// `MeasurementKind`: power.
pub const KIND_POWER: u16 = 37;
/// `PhaseCodeKind`: not applicable, all phases.
pub const PHASE_NONE: u16 = 0;
/// `PhaseCodeKind`: phases A, B, C and neutral apart.
pub const PHASE_S12N: u16 = 769;
/// `UnitSymbolKind`: watts.
pub const UOM_WATT: u16 = 38;
/// `UnitSymbolKind`: watt hours.
pub const UOM_WATT_HOUR: u16 = 72;
/// `QualityOfReading`: valid.
pub const QUALITY_VALID: u16 = 0;
/// `QualityOfReading`: failed a check.
pub const QUALITY_QUESTIONABLE: u16 = 10;
/// `QualityOfReading`: computed from other values.
pub const QUALITY_DERIVED: u16 = 11;
/// `QualityOfReading`: raw, as the meter told it.
pub const QUALITY_RAW: u16 = 14;
