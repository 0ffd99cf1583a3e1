//! The buffer of a profile, straight from the packed rows to octets.

use dlms::axdr::{ClockStatus, Data, Date, DateTime, Tag, put_array, put_structure};
use dlms::cosem::{CaptureObject, EntryDescriptor, ProfileSelection, RangeDescriptor};
use dlms::server::Selection;
use dlms::xdlms::DataAccessResult;
use model::IntervalStatus;

use super::Device;
use super::objects::put_number;
use crate::journal::{CHANNELS_MAX, LogEntry, Row};
use crate::template::{Cell, Column, ProfileRows, ProfileTemplate};

const DAY_S: i64 = 86_400;

/// Octets of a column of times: tag, length, date-time.
const TIME_LEN: usize = 14;

impl Device {
    /// Appends the rows that a selection asks for.
    pub(super) fn read_buffer(
        &self,
        profile: &ProfileTemplate,
        selection: Option<&Selection<'_>>,
        out: &mut Vec<u8>,
    ) -> Result<(), DataAccessResult> {
        match selection {
            None => self.read_entries(profile, &EntryDescriptor::rows(1, 0), out),
            Some(Selection::Profile(ProfileSelection::Entry(entries))) => {
                self.read_entries(profile, entries, out)
            }
            Some(Selection::Profile(ProfileSelection::Range(range))) => {
                self.read_range(profile, range, out)
            }
            Some(Selection::Other(_)) => Err(DataAccessResult::ScopeOfAccessViolated),
        }
    }

    fn read_entries(
        &self,
        profile: &ProfileTemplate,
        wanted: &EntryDescriptor,
        out: &mut Vec<u8>,
    ) -> Result<(), DataAccessResult> {
        let columns = profile
            .columns
            .get(wanted.columns(profile.columns.len()))
            .filter(|columns| !columns.is_empty())
            .ok_or(DataAccessResult::ScopeOfAccessViolated)?;
        let columns: Vec<&Column> = columns.iter().collect();
        let shown = self.rows_shown(profile.rows, profile.entries);
        let rows = wanted.entries(shown);
        let mut buffer = Buffer::new(columns, out, rows.len());
        match profile.rows {
            ProfileRows::Load => {
                // The ring may hold more rows than this profile shows.
                let hidden = self.history.len() - shown;
                let mut found = self.history.entries(hidden + rows.start, rows.len());
                while let Some(row) = found.next_row() {
                    buffer.put(row)?;
                }
            }
            ProfileRows::Log(log) => {
                let hidden = self.logs.of(log).count() - shown;
                let entries = self.logs.of(log).skip(hidden + rows.start);
                for entry in entries.take(rows.len()) {
                    buffer.put(&row_of(entry))?;
                }
            }
        }
        buffer.finish();
        Ok(())
    }

    fn read_range(
        &self,
        profile: &ProfileTemplate,
        wanted: &RangeDescriptor,
        out: &mut Vec<u8>,
    ) -> Result<(), DataAccessResult> {
        let captured: Vec<CaptureObject> =
            profile.columns.iter().map(Column::capture_object).collect();
        let by_time = wanted
            .restricting_column(&captured)
            .and_then(|index| profile.columns.get(index))
            .is_some_and(|column| column.cell == Cell::Time);
        if !by_time {
            return Err(DataAccessResult::ScopeOfAccessViolated);
        }
        let columns: Vec<&Column> = wanted
            .columns(&captured)
            .ok_or(DataAccessResult::ScopeOfAccessViolated)?
            .into_iter()
            .filter_map(|index| profile.columns.get(index))
            .collect();
        let range = Range::new(&wanted.from_value, &wanted.to_value)?;
        let shown = self.rows_shown(profile.rows, profile.entries);
        let period_s = i64::from(profile.period_s.max(1));
        let likely = (range.to_s.saturating_sub(range.from_s) / period_s).saturating_add(1);
        let likely = usize::try_from(likely).unwrap_or(0).min(shown);
        let mut buffer = Buffer::new(columns, out, likely);
        match profile.rows {
            ProfileRows::Load => {
                let hidden = self.history.len() - shown;
                let oldest = self.history.entries(hidden, 1).next();
                let oldest = oldest.map_or(0, |row| row.sequence);
                let (from_s, to_s) = range.around();
                let mut found = self.history.range(from_s, to_s);
                while let Some(row) = found.next_row() {
                    if row.sequence >= oldest && range.holds(row) {
                        buffer.put(row)?;
                    }
                }
            }
            ProfileRows::Log(log) => {
                let hidden = self.logs.of(log).count() - shown;
                for entry in self.logs.of(log).skip(hidden) {
                    let row = row_of(entry);
                    if range.holds(&row) {
                        buffer.put(&row)?;
                    }
                }
            }
        }
        buffer.finish();
        Ok(())
    }
}

impl Column {
    /// Returns the column as `capture_objects` has it.
    pub fn capture_object(&self) -> CaptureObject {
        CaptureObject::new(self.class, self.obis, self.attribute)
    }
}

/// Makes a row of a log entry: the code is its one value.
fn row_of(entry: &LogEntry) -> Row {
    let mut values = [0; CHANNELS_MAX];
    if let Some(first) = values.first_mut() {
        *first = u64::from(entry.code);
    }
    Row {
        sequence: entry.sequence,
        at_s: entry.at_s,
        deviation: entry.deviation,
        status: IntervalStatus::default(),
        values,
        channels: 1,
    }
}

const fn local_s(row: &Row) -> i64 {
    row.at_s - row.deviation as i64 * 60
}

/// The ends of a range of times, both included: points in time where both say their deviation,
/// else local times.
struct Range {
    from_s: i64,
    to_s: i64,
    local: bool,
}

impl Range {
    fn new(from: &Data, to: &Data) -> Result<Self, DataAccessResult> {
        let time = |value: &Data| value.as_date_time().ok_or(DataAccessResult::TypeUnmatched);
        let (from, to) = (time(from)?, time(to)?);
        if let (Some(from_s), Some(to_s)) = (from.to_unix_seconds(), to.to_unix_seconds()) {
            return Ok(Self {
                from_s,
                to_s,
                local: false,
            });
        }
        let local = |time: DateTime| time.to_local_seconds().ok_or(DataAccessResult::OtherReason);
        Ok(Self {
            from_s: local(from)?,
            to_s: local(to)?,
            local: true,
        })
    }

    /// Returns points in time outside which no row of the range can be.
    const fn around(&self) -> (i64, i64) {
        if self.local {
            (self.from_s - DAY_S, self.to_s + DAY_S)
        } else {
            (self.from_s, self.to_s)
        }
    }

    fn holds(&self, row: &Row) -> bool {
        let at_s = if self.local { local_s(row) } else { row.at_s };
        (self.from_s..=self.to_s).contains(&at_s)
    }
}

/// Writes the array of rows.
struct Buffer<'a> {
    columns: Vec<&'a Column>,
    out: &'a mut Vec<u8>,
    /// Where the array starts, where its rows do, and how many rows its head tells.
    start: usize,
    rows_start: usize,
    told: usize,
    rows: usize,
    /// The local day of the row before and the octets of its date.
    day: i64,
    date: [u8; 5],
}

impl<'a> Buffer<'a> {
    /// Starts an array that is likely to have `rows` rows.
    fn new(columns: Vec<&'a Column>, out: &'a mut Vec<u8>, rows: usize) -> Self {
        let row_len = 2 + columns
            .iter()
            .map(|column| match column.cell {
                Cell::Time => TIME_LEN,
                _ => 9,
            })
            .sum::<usize>();
        out.reserve(5 + rows.saturating_mul(row_len));
        let start = out.len();
        put_array(out, rows);
        Self {
            columns,
            start,
            rows_start: out.len(),
            told: rows,
            rows: 0,
            out,
            day: i64::MIN,
            date: Date::ANY.to_octets(),
        }
    }

    /// Adds a row.
    fn put(&mut self, row: &Row) -> Result<(), DataAccessResult> {
        self.rows += 1;
        put_structure(self.out, self.columns.len());
        for index in 0..self.columns.len() {
            let Some(column) = self.columns.get(index) else {
                break;
            };
            match column.cell {
                Cell::Time => {
                    let octets = self.time(row);
                    self.out.extend_from_slice(&octets);
                }
                Cell::Status => put_number(self.out, column.tag, row.status.bits().into())?,
                Cell::Channel(channel) => {
                    let value = row.values.get(usize::from(channel)).copied();
                    put_number(self.out, column.tag, value.unwrap_or(0))?;
                }
                Cell::Code => {
                    let code = row.values.first().copied();
                    put_number(self.out, column.tag, code.unwrap_or(0))?;
                }
            }
        }
        Ok(())
    }

    /// Ends the array: its head tells the rows that it has.
    fn finish(self) {
        if self.rows != self.told {
            let mut head = Vec::with_capacity(6);
            put_array(&mut head, self.rows);
            self.out.splice(self.start..self.rows_start, head);
        }
    }

    /// Makes the time of a row as an octet-string. Consecutive rows share their date.
    fn time(&mut self, row: &Row) -> [u8; TIME_LEN] {
        let local_s = local_s(row);
        let day = local_s.div_euclid(DAY_S);
        if day != self.day {
            self.day = day;
            self.date = Date::from_unix_days(day).unwrap_or(Date::ANY).to_octets();
        }
        let second = local_s.rem_euclid(DAY_S);
        let part = |value: i64| u8::try_from(value).unwrap_or(0);
        let [y1, y0, month, day_of_month, weekday] = self.date;
        let [d1, d0] = row.deviation.to_be_bytes();
        let saving = row.status.contains(IntervalStatus::DAYLIGHT_SAVING);
        [
            Tag::OctetString.as_u8(),
            12,
            y1,
            y0,
            month,
            day_of_month,
            weekday,
            part(second / 3_600),
            part(second / 60 % 60),
            part(second % 60),
            0,
            d1,
            d0,
            if saving {
                ClockStatus::DAYLIGHT_SAVING_ACTIVE
            } else {
                0
            },
        ]
    }
}
