//! Values on the command line that are neither numbers nor names.

use chrono::{Datelike, NaiveDate, NaiveTime};
use logisedge_domain::Instant;
use logisedge_domain::format::parse_bytes;
use logisedge_domain::prices::{CLASSES, STANDARD, StorageClass};

/// `2026-12-01` (midnight UTC) or `2026-12-01T06:00:00Z`.
pub(crate) fn instant(text: &str) -> Result<Instant, String> {
    let day = text.parse::<NaiveDate>().ok();
    day.map(|day| day.and_time(NaiveTime::MIN).and_utc())
        .or_else(|| text.parse::<Instant>().ok())
        .filter(|instant| (1..=9999).contains(&instant.year()))
        .ok_or_else(|| "write 2026-12-01 or 2026-12-01T06:00:00Z".to_owned())
}

/// `500000`, `16GB`, `1.5 TB`: powers of 1000, as this program prints sizes.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    parse_bytes(text).ok_or_else(|| "write a size such as 500MB, 16GB or 1.5TB".to_owned())
}

/// A storage class whose objects are read at once, as S3 names it.
pub(crate) fn readable_class(name: &str) -> Result<StorageClass, String> {
    class(name, false)
}

/// A storage class whose objects have to be thawed first, as S3 names it.
pub(crate) fn archived_class(name: &str) -> Result<StorageClass, String> {
    class(name, true)
}

fn class(name: &str, archived: bool) -> Result<StorageClass, String> {
    let fits = |class: &&StorageClass| class.archived == archived && class.name != STANDARD.name;
    let named = StorageClass::named(name).filter(fits);
    named.copied().ok_or_else(|| {
        let names = CLASSES.iter().filter(fits).map(|class| class.name);
        format!("write {}", names.collect::<Vec<_>>().join(" or "))
    })
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
        for text in ["tomorrow", "+262142-12-20", "-0001-01-01"] {
            assert!(instant(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_class_is_one_that_rows_can_be_moved_to() {
        assert_eq!(
            readable_class("STANDARD_IA").map(|class| class.archived),
            Ok(false)
        );
        assert_eq!(
            archived_class("GLACIER").map(|class| class.archived),
            Ok(true)
        );
        for name in ["STANDARD", "GLACIER", "glacier_ir", ""] {
            let refusal = Err("write STANDARD_IA or GLACIER_IR".to_owned());
            assert_eq!(readable_class(name), refusal, "{name}");
        }
        let refusal = Err("write GLACIER or DEEP_ARCHIVE".to_owned());
        assert_eq!(archived_class("GLACIER_IR"), refusal);
    }
}
