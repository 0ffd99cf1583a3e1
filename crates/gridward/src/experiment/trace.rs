//! What is sent: the same messages at the same times for every transport.

use model::MessageClass;

use crate::failure::Failure;

/// Octets at the beginning of each message: its number, its class and when it
/// was due. The rest is filling.
pub(super) const HEADER_LEN: usize = 16;

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Microseconds after the start.
    pub(super) due: u64,
    pub(super) class: MessageClass,
    /// Octets, the header with them.
    pub(super) length: usize,
}

/// Messages in the order in which they are due.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Trace(pub(super) Vec<Entry>);

/// A message that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    pub(super) number: u32,
    pub(super) class: MessageClass,
    /// When it was due, and when it arrived, in microseconds of the time of
    /// day.
    pub(super) due: u64,
    pub(super) arrived: u64,
}

impl Trace {
    /// Meters and their head end on an ordinary day, much faster: of each
    /// class `rates` messages a second.
    pub(super) fn day(seconds: u64, rates: [(u64, usize); 5]) -> Self {
        let mut entries = Vec::new();
        for (class, (rate, length)) in MessageClass::ALL.into_iter().zip(rates) {
            let Some(step) = 1_000_000_u64.checked_div(rate) else {
                continue;
            };
            // The classes do not all speak at once.
            let first = step * u64::from(class.priority()) / 5;
            for turn in 0..seconds * rate {
                entries.push(Entry {
                    due: first + turn * step,
                    class,
                    length,
                });
            }
        }
        Self::in_order(entries)
    }

    /// A megabyte of usage data at once, and orders and warnings while it
    /// goes.
    pub(super) fn bulk(count: usize, length: usize, seconds: u64) -> Self {
        let mut entries = vec![
            Entry {
                due: 0,
                class: MessageClass::Usage,
                length,
            };
            count
        ];
        for turn in 0..seconds * 5 {
            let due = 100_000 + turn * 200_000;
            entries.push(Entry {
                due,
                class: MessageClass::Control,
                length: 100,
            });
            entries.push(Entry {
                due: due + 100_000,
                class: MessageClass::Warning,
                length: 200,
            });
        }
        Self::in_order(entries)
    }

    /// Everything at once.
    pub(super) fn flat_out(count: usize, length: usize) -> Self {
        let entries = MessageClass::ALL.into_iter().cycle().take(count);
        let entries = entries.map(|class| Entry {
            due: 0,
            class,
            length,
        });
        Self(entries.collect())
    }

    fn in_order(mut entries: Vec<Entry>) -> Self {
        entries.sort_by_key(|entry| (entry.due, entry.class));
        Self(entries)
    }

    /// Writes it down: microseconds, class by number, octets.
    pub(super) fn to_csv(&self) -> String {
        let mut text = String::from("due_us,class,octets\n");
        for entry in &self.0 {
            let class = entry.class.priority();
            text.push_str(&format!("{},{class},{}\n", entry.due, entry.length));
        }
        text
    }

    pub(super) fn from_csv(text: &str) -> Result<Self, Failure> {
        let mut entries = Vec::new();
        for line in text.lines().skip(1) {
            let entry = Self::entry(line);
            entries.push(entry.ok_or_else(|| Failure::new(format!("no message: {line}")))?);
        }
        Ok(Self(entries))
    }

    fn entry(line: &str) -> Option<Entry> {
        let mut fields = line.split(',');
        let mut field = || fields.next();
        let entry = Entry {
            due: field()?.parse().ok()?,
            class: MessageClass::from_priority(field()?.parse().ok()?)?,
            length: field()?.parse().ok()?,
        };
        (HEADER_LEN..=link::MESSAGE_LEN_MAX)
            .contains(&entry.length)
            .then_some(entry)
    }

    /// Message `number`, where the trace began at `start`.
    pub(super) fn message(&self, number: usize, start: u64) -> Option<Vec<u8>> {
        let entry = self.0.get(number)?;
        let mut octets = Vec::with_capacity(entry.length);
        octets.extend(u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes());
        octets.extend([entry.class.priority(), 0, 0, 0]);
        octets.extend((start + entry.due).to_be_bytes());
        octets.resize(entry.length, 0x47);
        Some(octets)
    }
}

impl Arrival {
    /// Reads a message's header.
    pub(super) fn of(message: &[u8], arrived: u64) -> Option<Self> {
        let (number, rest) = message.split_first_chunk::<4>()?;
        let (class, rest) = rest.split_first_chunk::<4>()?;
        let (due, _) = rest.split_first_chunk::<8>()?;
        Some(Self {
            number: u32::from_be_bytes(*number),
            class: MessageClass::from_priority(*class.first()?)?,
            due: u64::from_be_bytes(*due),
            arrived,
        })
    }

    /// One line for the process that asked.
    pub(super) fn to_line(self) -> String {
        let class = self.class.priority();
        format!("m {} {class} {} {}\n", self.number, self.due, self.arrived)
    }

    pub(super) fn from_line(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("m ")?.split(' ');
        let mut word = || words.next();
        Some(Self {
            number: word()?.parse().ok()?,
            class: MessageClass::from_priority(word()?.parse().ok()?)?,
            due: word()?.parse().ok()?,
            arrived: word()?.parse().ok()?,
        })
    }

    /// Milliseconds from when it was due until it arrived.
    pub(super) fn latency(self) -> f64 {
        millis(self.arrived.saturating_sub(self.due))
    }
}

/// Microseconds as milliseconds.
pub(super) fn millis(micros: u64) -> f64 {
    std::time::Duration::from_micros(micros).as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    //! Evidence: self-agreement only.
    use super::*;

    #[test]
    fn a_trace_is_read_as_it_was_written() {
        let day = Trace::day(2, [(50, 100), (50, 200), (20, 150), (0, 16), (20, 1_500)]);
        assert_eq!(day.0.len(), 2 * 140);
        assert!(day.0.is_sorted_by_key(|entry| entry.due));
        let text = day.to_csv();
        assert_eq!(Trace::from_csv(&text).unwrap(), day);
        for bad in ["0,0,15", "0,5,100", "0,0", "x,0,100", "0,0,999999999"] {
            assert!(Trace::from_csv(&format!("head\n{bad}\n")).is_err(), "{bad}");
        }
        let message = day.message(7, 1_000).unwrap();
        let arrival = Arrival::of(&message, 99_999).unwrap();
        assert_eq!(arrival.number, 7);
        assert_eq!(arrival.due, 1_000 + day.0[7].due);
        assert_eq!(Arrival::from_line(arrival.to_line().trim()), Some(arrival));
        assert_eq!(Arrival::of(&message[..15], 0), None);
    }
}
