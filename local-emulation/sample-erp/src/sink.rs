//! How rows leave the generator: one call a value, in the order of the columns.

use chrono::{Datelike, NaiveDate};

/// Where rows go.
pub trait RowSink {
    /// NULL.
    fn null(&mut self);
    /// A whole number.
    fn int(&mut self, value: i64);
    /// An amount in hundredths.
    fn money(&mut self, hundredths: i64);
    /// Text; never holds NUL.
    fn text(&mut self, value: &str);
    /// Bytes.
    fn blob(&mut self, value: &[u8]);
    /// A day, counted from 1970-01-01.
    fn date(&mut self, day: i64);
    /// A second in UTC, counted from 1970-01-01.
    fn stamp(&mut self, second: i64);
    /// True or false.
    fn flag(&mut self, value: bool);
    /// The row is complete.
    fn end_row(&mut self);
}

/// Rows as PostgreSQL's COPY text format.
#[derive(Debug, Default)]
pub struct CopyText {
    /// What has been written and not been taken away.
    pub bytes: Vec<u8>,
    inside_row: bool,
}

impl CopyText {
    fn tab(&mut self) {
        if self.inside_row {
            self.bytes.push(b'\t');
        }
        self.inside_row = true;
    }

    fn number(&mut self, value: i64) {
        let mut digits = [0; 20];
        let mut at = digits.len();
        let mut rest = value.unsigned_abs();
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if value < 0 {
            self.bytes.push(b'-');
        }
        self.bytes.extend_from_slice(&digits[at..]);
    }
}

impl RowSink for CopyText {
    fn null(&mut self) {
        self.tab();
        self.bytes.extend_from_slice(b"\\N");
    }

    fn int(&mut self, value: i64) {
        self.tab();
        self.number(value);
    }

    fn money(&mut self, hundredths: i64) {
        self.tab();
        if hundredths < 0 {
            self.bytes.push(b'-');
        }
        let value = hundredths.unsigned_abs();
        self.number((value / 100) as i64);
        let cents = (value % 100) as u8;
        self.bytes
            .extend_from_slice(&[b'.', b'0' + cents / 10, b'0' + cents % 10]);
    }

    fn text(&mut self, value: &str) {
        self.tab();
        let mut from = 0;
        for (at, byte) in value.bytes().enumerate() {
            let escaped: &[u8] = match byte {
                b'\n' => b"\\n",
                b'\t' => b"\\t",
                b'\r' => b"\\r",
                b'\\' => b"\\\\",
                _ => continue,
            };
            self.bytes.extend_from_slice(&value.as_bytes()[from..at]);
            self.bytes.extend_from_slice(escaped);
            from = at + 1;
        }
        self.bytes.extend_from_slice(&value.as_bytes()[from..]);
    }

    fn blob(&mut self, value: &[u8]) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        self.tab();
        self.bytes.extend_from_slice(b"\\\\x");
        for byte in value {
            self.bytes.extend_from_slice(&[
                DIGITS[usize::from(byte >> 4)],
                DIGITS[usize::from(byte & 15)],
            ]);
        }
    }

    fn date(&mut self, day: i64) {
        self.tab();
        self.bytes.extend_from_slice(&date_text(day));
    }

    fn stamp(&mut self, second: i64) {
        self.tab();
        self.bytes.extend_from_slice(&stamp_text(second));
        self.bytes.extend_from_slice(b"+00");
    }

    fn flag(&mut self, value: bool) {
        self.tab();
        self.bytes.push(if value { b't' } else { b'f' });
    }

    fn end_row(&mut self) {
        self.bytes.push(b'\n');
        self.inside_row = false;
    }
}

/// `2024-02-29`
pub(crate) fn date_text(day: i64) -> [u8; 10] {
    /// 1970-01-01 in chrono's count of days.
    const EPOCH: i32 = 719_163;
    let date = NaiveDate::from_num_days_from_ce_opt(EPOCH + day as i32).unwrap_or_default();
    let two = |value: u32| [b'0' + (value / 10 % 10) as u8, b'0' + (value % 10) as u8];
    let (year, month, day) = (date.year() as u32, two(date.month()), two(date.day()));
    let (century, of_century) = (two(year / 100), two(year % 100));
    [
        century[0],
        century[1],
        of_century[0],
        of_century[1],
        b'-',
        month[0],
        month[1],
        b'-',
        day[0],
        day[1],
    ]
}

/// `2024-02-29 23:59:59`
pub(crate) fn stamp_text(second: i64) -> [u8; 19] {
    let mut text = *b"0000-00-00 00:00:00";
    text[..10].copy_from_slice(&date_text(second.div_euclid(86_400)));
    let of_day = second.rem_euclid(86_400);
    for (at, value) in [
        (11, of_day / 3600),
        (14, of_day / 60 % 60),
        (17, of_day % 60),
    ] {
        text[at] = b'0' + (value / 10) as u8;
        text[at + 1] = b'0' + (value % 10) as u8;
    }
    text
}
