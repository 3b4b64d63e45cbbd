//! Values on the command line that are neither numbers nor names.

use chrono::{NaiveDate, NaiveTime};
use logisedge_domain::Instant;

/// `2026-12-01` (midnight UTC) or `2026-12-01T06:00:00Z`.
pub(crate) fn instant(text: &str) -> Result<Instant, String> {
    let day = text.parse::<NaiveDate>().ok();
    day.map(|day| day.and_time(NaiveTime::MIN).and_utc())
        .or_else(|| text.parse::<Instant>().ok())
        .ok_or_else(|| "write 2026-12-01 or 2026-12-01T06:00:00Z".to_owned())
}

/// `500000`, `16GB`, `1.5 TB`: powers of 1000, as this program prints sizes.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let wrong = || "write a size such as 500MB, 16GB or 1.5TB".to_owned();
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let unit: f64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "tb" => 1e12,
        _ => return Err(wrong()),
    };
    let bytes = number.parse::<f64>().map_err(|_| wrong())? * unit;
    // Sizes of more than a petabyte are typing mistakes, and would not add up in 64 bits.
    if bytes <= 1e15 {
        Ok(bytes as u64)
    } else {
        Err(wrong())
    }
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
