//! Days, as the end of an exception.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use crate::Time;

const NANOSECONDS_PER_DAY: u64 = 86_400_000_000_000;
/// Days from 1 March of year 0 to 1 January 1970.
const EPOCH: u64 = 719_468;

/// A day of the Gregorian calendar, in UTC. In TOML `2027-01-31`, with or without quotation marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

impl Date {
    /// The day; [`None`] if there is no such day from 1970 on.
    pub fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let days = match month {
            4 | 6 | 9 | 11 => 30,
            2 if is_leap => 29,
            2 => 28,
            1..=12 => 31,
            _ => 0,
        };
        // Nanoseconds since 1970 fill 64 bits in 2554.
        ((1970..=2500).contains(&year) && (1..=days).contains(&day)).then_some(Self { year, month, day })
    }

    /// The first moment of the next day.
    pub fn end(self) -> Time {
        // Days since 1 March of year 0, counted in years that begin in March, so that a leap day is a year's last one.
        let (year, month) = (u64::from(self.year), u64::from(self.month));
        let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let day_of_year = (153 * month + 2) / 5 + u64::from(self.day) - 1;
        let days = 365 * year + year / 4 - year / 100 + year / 400 + day_of_year;
        Time((days - EPOCH + 1) * NANOSECONDS_PER_DAY)
    }

    /// The day of a time; [`None`] from 2501 on.
    pub fn of(time: Time) -> Option<Self> {
        // Days since 1 March of year 0, in periods of 400 years.
        let days = time.0 / NANOSECONDS_PER_DAY + EPOCH;
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let (year, month) = if month < 10 { (0, month + 3) } else { (1, month - 9) };
        let year = u16::try_from(era * 400 + year_of_era + year).ok()?;
        Self::new(year, u8::try_from(month).ok()?, u8::try_from(day).ok()?)
    }

    fn from_toml(value: toml_datetime::Datetime) -> Option<Self> {
        let toml_datetime::Datetime { date: Some(date), time: None, offset: None } = value else {
            return None;
        };
        Self::new(date.year, date.month, date.day)
    }
}

/// A text that is no day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a day such as 2027-01-31")]
pub struct NoDate;

impl FromStr for Date {
    type Err = NoDate;

    fn from_str(text: &str) -> Result<Self, NoDate> {
        text.parse().ok().and_then(Self::from_toml).ok_or(NoDate)
    }
}

impl fmt::Display for Date {
    /// As `2027-01-31`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let date = toml_datetime::Date { year: self.year, month: self.month, day: self.day };
        toml_datetime::Datetime::from(date).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DateVisitor;

        impl<'de> Visitor<'de> for DateVisitor {
            type Value = Date;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a day such as 2027-01-31")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Date, E> {
                text.parse().map_err(|NoDate| E::invalid_value(de::Unexpected::Str(text), &self))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Date, A::Error> {
                let value = toml_datetime::Datetime::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Date::from_toml(value)
                    .ok_or_else(|| de::Error::invalid_value(de::Unexpected::Other(&value.to_string()), &self))
            }
        }

        deserializer.deserialize_any(DateVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_end_at_midnight() {
        // Seconds as `date --utc --date … +%s` gives them for the day after.
        for (year, month, day, seconds) in [
            (1970, 1, 1, 86_400),
            (1999, 12, 31, 946_684_800),
            (2000, 2, 29, 951_868_800),
            (2027, 1, 31, 1_801_440_000),
            (2028, 2, 28, 1_835_395_200),
            (2028, 2, 29, 1_835_481_600),
            (2100, 2, 28, 4_107_542_400),
        ] {
            let date = Date::new(year, month, day).unwrap();
            assert_eq!(date.end(), Time(seconds * 1_000_000_000), "{date}");
        }
    }

    #[test]
    fn every_moment_is_of_one_day() {
        let (mut count, mut next) = (0, Time(0));
        for year in 1970..=2500 {
            for (month, day) in (1..=12).flat_map(|month| (1..=31).map(move |day| (month, day))) {
                let Some(date) = Date::new(year, month, day) else { continue };
                assert_eq!(Date::of(next), Some(date));
                next = date.end();
                assert_eq!(Date::of(Time(next.0 - 1)), Some(date));
                count += 1;
            }
        }
        assert_eq!(next, Time(count * NANOSECONDS_PER_DAY));
        assert_eq!((Date::of(next), Date::of(Time(u64::MAX))), (None, None));
    }

    #[test]
    fn only_days_of_the_calendar_are_dates() {
        #[derive(Debug, PartialEq, Deserialize, Serialize)]
        struct File {
            until: Date,
        }
        let parse = |text: &str| toml::from_str::<File>(text).map_err(|error| error.to_string());
        let expected = File { until: Date::new(2027, 1, 31).unwrap() };
        assert_eq!(parse("until = 2027-01-31"), Ok(File { ..expected }));
        assert_eq!(parse("until = \"2027-01-31\"").unwrap(), expected);
        assert_eq!(toml::to_string(&expected).unwrap(), "until = 2027-01-31\n");
        for wrong in [
            "2027-02-29",
            "2027-13-01",
            "2027-01-31T00:00:00Z",
            "\"2027-01-31T10:00:00\"",
            "\"31.1.2027\"",
            "\"1969-12-31\"",
            "\"2027-02-29\"",
            "1",
            "\"\"",
        ] {
            let error = parse(&format!("until = {wrong}")).unwrap_err();
            assert!(error.contains("line 1"), "{wrong}: {error}");
        }
    }
}
