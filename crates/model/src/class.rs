//! The five message classes and what they ask of a transport.

/// The class of a message, from which every transport derives stream, queue, marking and path.
///
/// Requirement Q1: section 2 of "Quality of Service Provisioning for Smart Meter Networks using
/// Stream Control Transport Protocol" (Lu, Wu, Seah). Order is queue priority: what compares
/// smaller goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum MessageClass {
    /// Changes the state of a meter or an outlet.
    Control = 0,
    /// Reports an urgent condition without having been asked.
    Warning = 1,
    /// Asks for information.
    Request = 2,
    /// Carries prices and bills to the customer.
    Billing = 3,
    /// Carries consumption, on a schedule or on request.
    Usage = 4,
}

impl MessageClass {
    /// All classes, most urgent first.
    pub const ALL: [Self; 5] = [
        Self::Control,
        Self::Warning,
        Self::Request,
        Self::Billing,
        Self::Usage,
    ];

    /// Returns the category that the class belongs to.
    pub const fn category(self) -> Category {
        match self {
            Self::Control | Self::Request => Category::Operation,
            Self::Billing | Self::Usage => Category::NonOperation,
            Self::Warning => Category::AsynchronousEvent,
        }
    }

    /// Returns the queue priority, 0 (first) to 4 (last).
    pub const fn priority(self) -> u8 {
        self as u8
    }

    /// Returns the class of a queue priority, or `None` above 4.
    pub const fn from_priority(priority: u8) -> Option<Self> {
        match priority {
            0 => Some(Self::Control),
            1 => Some(Self::Warning),
            2 => Some(Self::Request),
            3 => Some(Self::Billing),
            4 => Some(Self::Usage),
            _ => None,
        }
    }

    /// Returns the name in lower case, as in configuration and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Warning => "warning",
            Self::Request => "request",
            Self::Billing => "billing",
            Self::Usage => "usage",
        }
    }
}

/// The category of a message class, which states its allowance for latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Category {
    /// Constant in volume, low latency.
    Operation,
    /// Medium latency.
    NonOperation,
    /// Comes unforeseen; latency by urgency.
    AsynchronousEvent,
}

#[cfg(test)]
mod tests {
    //! Evidence: the table of the paper, transcribed; self-agreement otherwise.
    use super::*;

    #[test]
    fn classes_have_the_categories_of_the_paper() {
        use Category::{AsynchronousEvent, NonOperation, Operation};
        let table = MessageClass::ALL.map(|class| (class.name(), class.category()));
        assert_eq!(
            table,
            [
                ("control", Operation),
                ("warning", AsynchronousEvent),
                ("request", Operation),
                ("billing", NonOperation),
                ("usage", NonOperation),
            ]
        );
    }

    #[test]
    fn priority_is_the_order() {
        for pair in MessageClass::ALL.windows(2) {
            assert!(pair[0] < pair[1]);
        }
        for class in MessageClass::ALL {
            assert_eq!(MessageClass::from_priority(class.priority()), Some(class));
        }
        assert_eq!(MessageClass::from_priority(5), None);
    }
}
