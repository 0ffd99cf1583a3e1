//! The form of a model file. Unknown keys are errors.

use serde::Deserialize;
use toml::Spanned;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) model: Head,
    pub(super) clock: Clock,
    pub(super) breaker: Option<Breaker>,
    #[serde(default)]
    pub(super) association: Vec<Association>,
    #[serde(default)]
    pub(super) object: Vec<Object>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) phases: Spanned<u8>,
    pub(super) sap: Spanned<u16>,
    pub(super) max_receive_pdu: Option<Spanned<u16>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Clock {
    pub(super) time_zone: Spanned<i16>,
    pub(super) daylight_savings_begin: Spanned<String>,
    pub(super) daylight_savings_end: Spanned<String>,
    pub(super) daylight_savings_deviation: i8,
    pub(super) daylight_savings_enabled: bool,
    pub(super) shift_limit_s: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Breaker {
    pub(super) control_mode: Spanned<u8>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Association {
    pub(super) name: Spanned<String>,
    pub(super) client: u16,
    pub(super) mechanism: String,
    pub(super) security_setup: Option<String>,
    pub(super) invocation_counter: Option<String>,
    pub(super) require: Option<String>,
    #[serde(default)]
    pub(super) optional: bool,
    #[serde(default)]
    pub(super) pre_established: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Object {
    pub(super) obis: Spanned<String>,
    pub(super) class: u16,
    pub(super) version: u8,
    pub(super) name: String,
    #[serde(default)]
    pub(super) get: Vec<String>,
    #[serde(default)]
    pub(super) set: Vec<String>,
    #[serde(default)]
    pub(super) attributes: Vec<Spanned<Attribute>>,
    #[serde(default)]
    pub(super) methods: Vec<Spanned<Method>>,
    pub(super) profile: Option<Spanned<Profile>>,
    pub(super) association: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Attribute {
    pub(super) id: i8,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) from: Option<String>,
    pub(super) value: Option<toml::Value>,
    pub(super) scaler: Option<i8>,
    pub(super) unit: Option<String>,
    pub(super) get: Option<Vec<String>>,
    pub(super) set: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Method {
    pub(super) id: i8,
    #[expect(dead_code, reason = "for the reader of the file")]
    pub(super) name: String,
    pub(super) invoke: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Profile {
    pub(super) rows: String,
    pub(super) period_s: u32,
    pub(super) entries: u32,
    pub(super) capture: Vec<String>,
}
