//! What Home Assistant is told of the device (its MQTT discovery): one message
//! for the device, or for versions before 2024.11 one for each entity.

use serde_json::{Value, json};

/// The gateway as a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its name for programs.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// What topics of discovery begin with.
    pub discovery_prefix: String,
    /// What its own topics begin with.
    pub topic: String,
    /// Whether each entity has a message of its own.
    pub entities: bool,
}

impl Device {
    /// Where values are told.
    #[must_use]
    pub fn state_topic(&self) -> String {
        format!("{}/state", self.topic)
    }

    /// Where it is told whether the gateway runs: `online` or `offline`.
    #[must_use]
    pub fn gateway_topic(&self) -> String {
        format!("{}/gateway", self.topic)
    }

    /// Where it is told whether the meter answers: `online` or `offline`.
    #[must_use]
    pub fn meter_topic(&self) -> String {
        format!("{}/meter", self.topic)
    }

    /// Where it is told whether the way to the meter is open: `ON` or `OFF`.
    #[must_use]
    pub fn link_topic(&self) -> String {
        format!("{}/link", self.topic)
    }

    /// The entities, each with its kind and its name for programs. `gives` says
    /// that the meter counts energy to the grid.
    #[must_use]
    pub fn entities(&self, gives: bool) -> Vec<(&'static str, &'static str, Value)> {
        let gateway = json!({ "topic": self.gateway_topic() });
        let meter = json!({ "topic": self.meter_topic() });
        let sensor = |key: &str, name: &str, field: &str, more: Value| {
            let mut entity = json!({
                "name": name,
                "unique_id": format!("{}_{key}", self.id),
                "state_topic": self.state_topic(),
                // What is not told leaves the state as it was.
                "value_template":
                    format!("{{% if value_json.{field} is defined %}}{{{{ value_json.{field} }}}}\
                             {{% endif %}}"),
                "availability": [gateway, meter],
                "availability_mode": "all",
            });
            if let (Some(entity), Value::Object(more)) = (entity.as_object_mut(), more) {
                entity.extend(more);
            }
            entity
        };
        let energy = json!({
            "device_class": "energy",
            "state_class": "total_increasing",
            "unit_of_measurement": "kWh",
            "suggested_display_precision": 1,
        });
        let mut all = vec![
            (
                "sensor",
                "power",
                sensor(
                    "power",
                    "Power",
                    "power_w",
                    json!({
                        "device_class": "power",
                        "state_class": "measurement",
                        "unit_of_measurement": "W",
                        "suggested_display_precision": 0,
                    }),
                ),
            ),
            (
                "sensor",
                "energy_delivered",
                sensor(
                    "energy_delivered",
                    "Energy from the grid",
                    "energy_delivered_kwh",
                    energy.clone(),
                ),
            ),
            (
                "sensor",
                "last_reading",
                sensor(
                    "last_reading",
                    "Last reading",
                    "last_reading",
                    json!({ "device_class": "timestamp", "entity_category": "diagnostic" }),
                ),
            ),
            (
                "binary_sensor",
                "link",
                json!({
                    "name": "Way to the meter",
                    "unique_id": format!("{}_link", self.id),
                    "state_topic": self.link_topic(),
                    "device_class": "connectivity",
                    "entity_category": "diagnostic",
                    "availability": [gateway],
                }),
            ),
        ];
        if gives {
            all.push((
                "sensor",
                "energy_received",
                sensor(
                    "energy_received",
                    "Energy to the grid",
                    "energy_received_kwh",
                    energy,
                ),
            ));
        }
        all
    }

    /// The messages of discovery, each with its topic; they are retained.
    #[must_use]
    pub fn discovery(&self, gives: bool) -> Vec<(String, Value)> {
        let device = json!({
            "identifiers": [self.id],
            "name": self.name,
            "manufacturer": "Gridward",
            "model": "Home gateway",
            "sw_version": env!("CARGO_PKG_VERSION"),
        });
        let origin = json!({ "name": "gridward", "sw_version": env!("CARGO_PKG_VERSION") });
        let entities = self.entities(gives).into_iter();
        if self.entities {
            return entities
                .map(|(kind, key, mut entity)| {
                    if let Some(entity) = entity.as_object_mut() {
                        entity.insert("device".to_owned(), device.clone());
                        entity.insert("origin".to_owned(), origin.clone());
                    }
                    let prefix = &self.discovery_prefix;
                    (format!("{prefix}/{kind}/{}/{key}/config", self.id), entity)
                })
                .collect();
        }
        let components: serde_json::Map<String, Value> = entities
            .map(|(kind, key, mut entity)| {
                if let Some(entity) = entity.as_object_mut() {
                    entity.insert("platform".to_owned(), json!(kind));
                }
                (key.to_owned(), entity)
            })
            .collect();
        let topic = format!("{}/device/{}/config", self.discovery_prefix, self.id);
        let payload = json!({ "device": device, "origin": origin, "components": components });
        vec![(topic, payload)]
    }
}
