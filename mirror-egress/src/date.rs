//! Days, as the end of an exception.

use std::fmt;

use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use crate::Time;

const NANOSECONDS_PER_DAY: u64 = 86_400_000_000_000;

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
        const EPOCH: u64 = 719_468;
        Time((days - EPOCH + 1) * NANOSECONDS_PER_DAY)
    }

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().and_then(Self::from_toml)
    }

    fn from_toml(value: toml_datetime::Datetime) -> Option<Self> {
        let toml_datetime::Datetime { date: Some(date), time: None, offset: None } = value else {
            return None;
        };
        Self::new(date.year, date.month, date.day)
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
                Date::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
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
