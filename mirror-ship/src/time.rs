//! Times as text.

/// Nanoseconds of a second.
pub const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 86_400 * SECOND;

/// Year, month and day of a time in nanoseconds since 1970, UTC (Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms", `civil_from_days`).
fn date(nanoseconds: u64) -> (u64, u64, u64) {
    let days = nanoseconds / DAY + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// The day, as `20261128`.
pub fn day(nanoseconds: u64) -> u32 {
    let (year, month, day) = date(nanoseconds);
    u32::try_from(year * 10_000 + month * 100 + day).unwrap_or(u32::MAX)
}

/// The time as of RFC 3339, in UTC and with nanoseconds.
pub fn rfc3339(nanoseconds: u64) -> String {
    let (year, month, day) = date(nanoseconds);
    let (seconds, fraction) = (nanoseconds % DAY / SECOND, nanoseconds % SECOND);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:09}Z")
}

/// The time now, in nanoseconds since 1970.
pub fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_date_writes_them() {
        // From `date --utc --date=@N +%FT%T`.
        let cases = [
            (0, "1970-01-01T00:00:00", 19_700_101),
            (951_782_399, "2000-02-28T23:59:59", 20_000_228),
            (951_782_400, "2000-02-29T00:00:00", 20_000_229),
            (1_764_316_800, "2025-11-28T08:00:00", 20_251_128),
            (4_107_542_399, "2100-02-28T23:59:59", 21_000_228),
            (4_107_542_400, "2100-03-01T00:00:00", 21_000_301),
        ];
        for (seconds, text, day_number) in cases {
            assert_eq!(rfc3339(seconds * SECOND + 5), format!("{text}.000000005Z"));
            assert_eq!(day(seconds * SECOND), day_number);
        }
    }
}
