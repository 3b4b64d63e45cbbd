//! Values on the command line that are neither numbers nor names.

use chrono::{NaiveDate, NaiveTime};
use logisedge_domain::Instant;
use logisedge_domain::format::parse_bytes;

/// `2026-12-01` (midnight UTC) or `2026-12-01T06:00:00Z`.
pub(crate) fn instant(text: &str) -> Result<Instant, String> {
    let day = text.parse::<NaiveDate>().ok();
    day.map(|day| day.and_time(NaiveTime::MIN).and_utc())
        .or_else(|| text.parse::<Instant>().ok())
        .ok_or_else(|| "write 2026-12-01 or 2026-12-01T06:00:00Z".to_owned())
}

/// `500000`, `16GB`, `1.5 TB`: powers of 1000, as this program prints sizes.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    parse_bytes(text).ok_or_else(|| "write a size such as 500MB, 16GB or 1.5TB".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_read_or_refused() {
        for (text, bytes) in [
            ("0", 0),
            ("500000", 500_000),
            ("16GB", 16_000_000_000),
            ("1.5 tb", 1_500_000_000_000),
            ("7 B", 7),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "GB", "-1", "1.2.3", "16GiB", "1e9", "2000TB"] {
            assert!(size(text).is_err(), "{text}");
        }
        assert_eq!(instant("2026-12-01"), instant("2026-12-01T00:00:00Z"));
        assert!(instant("tomorrow").is_err());
    }
}
