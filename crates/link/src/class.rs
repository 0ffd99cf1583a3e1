//! What each message class gets from the network: one table for all
//! transports.
//!
//! Streams and priorities are those of section 3 of "Quality of Service
//! Provisioning for Smart Meter Networks using Stream Control Transport
//! Protocol" (Lu, Wu, Seah). Code points are those of RFC 4594, figure 3, by
//! what a class is nearest to there:
//!
//! | class | service class of RFC 4594 | why |
//! |---|---|---|
//! | control | signaling, CS5 | small, answered, and somebody waits for its effect |
//! | warning | operations and management, CS2 | alarms |
//! | request | low-latency data, AF21 | a question whose asker waits |
//! | billing | high-throughput data, AF11 | stored and forwarded |
//! | usage | low-priority data, CS1 | on a schedule, and asked for again |

use model::MessageClass;

/// What one message class gets from the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Treatment {
    /// The class.
    pub class: MessageClass,
    /// SCTP stream, the same in both directions.
    pub stream: u16,
    /// Priority of that stream; 0 goes first.
    pub priority: u16,
    /// Differentiated services code point, 0 to 63.
    pub dscp: u8,
    /// Whether a message is acknowledged at once, and sent over a backup path
    /// too where no acknowledgement comes.
    pub urgent: bool,
}

/// The table, most urgent first.
const TABLE: [Treatment; MessageClass::ALL.len()] = [
    row(MessageClass::Control, 40, true),
    row(MessageClass::Warning, 16, true),
    row(MessageClass::Request, 18, false),
    row(MessageClass::Billing, 10, false),
    row(MessageClass::Usage, 8, false),
];

const fn row(class: MessageClass, dscp: u8, urgent: bool) -> Treatment {
    Treatment {
        class,
        stream: class.priority() as u16,
        priority: class.priority() as u16,
        dscp,
        urgent,
    }
}

impl Treatment {
    /// The rows of all classes, most urgent first.
    pub const ALL: [Self; MessageClass::ALL.len()] = TABLE;

    /// Returns the row of a class.
    #[must_use]
    pub const fn of(class: MessageClass) -> Self {
        let [control, warning, request, billing, usage] = TABLE;
        match class {
            MessageClass::Control => control,
            MessageClass::Warning => warning,
            MessageClass::Request => request,
            MessageClass::Billing => billing,
            MessageClass::Usage => usage,
        }
    }

    /// Returns the row of a stream; there is none above those of the classes.
    #[must_use]
    pub fn of_stream(stream: u16) -> Option<Self> {
        TABLE.into_iter().find(|row| row.stream == stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_has_its_row_and_its_stream() {
        for class in MessageClass::ALL {
            let row = Treatment::of(class);
            assert_eq!(row.class, class);
            assert_eq!(row.priority, u16::from(class.priority()));
            assert_eq!(Treatment::of_stream(row.stream), Some(row));
        }
        // CS5, CS2, AF21, AF11 and CS1 (RFC 4594, figure 3).
        assert_eq!(Treatment::ALL.map(|row| row.dscp), [40, 16, 18, 10, 8]);
        assert_eq!(Treatment::of_stream(5), None);
    }
}
