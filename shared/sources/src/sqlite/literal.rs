//! SQLite values as SQL text on one line that gives exactly the same value when it is read.

use rusqlite::types::ValueRef;

/// Appends `value` as an SQL expression without line ends, carriage returns or NULs.
///
/// Reading it needs no more than stock SQLite of any age: `char`, `replace` and `CAST`.
pub(super) fn append(out: &mut Vec<u8>, value: ValueRef<'_>) {
    match value {
        ValueRef::Null => out.extend_from_slice(b"NULL"),
        ValueRef::Integer(i64::MIN) => {
            // 9223372036854775808 alone would be a real before the minus is seen.
            out.extend_from_slice(b"(-9223372036854775807-1)");
        }
        ValueRef::Integer(number) => out.extend_from_slice(number.to_string().as_bytes()),
        ValueRef::Real(number) => append_real(out, number),
        ValueRef::Text(text) => append_text(out, text),
        ValueRef::Blob(bytes) => append_hex(out, bytes),
    }
}

/// Appends a name in double quotes.
pub(super) fn append_name(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(quoted_name(name).as_bytes());
}

/// A name in double quotes, as SQL wants it where it may be anything.
pub(super) fn quoted_name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text in single quotes. For texts without line ends.
pub(super) fn quoted_text(text: &str) -> String {
    let mut out = Vec::new();
    append_text(&mut out, text.as_bytes());
    String::from_utf8_lossy(&out).into_owned()
}

/// 17 significant digits identify a double, and SQLite's reader gets them right in the middle of
/// the range. Towards its ends (beyond about 1e±290) the reader's scaling may lose the last bit, so
/// there the number is written as its integer mantissa and exact multiplications or divisions.
fn append_real(out: &mut Vec<u8>, number: f64) {
    let size = number.abs();
    let text = if number.is_nan() {
        // SQLite stores NaN as NULL, so this is never read from a file.
        "NULL".to_owned()
    } else if size.is_infinite() {
        if number > 0.0 { "9e999" } else { "-9e999" }.to_owned()
    } else if size == 0.0 || (1e-290..1e290).contains(&size) {
        format!("{number:.16e}")
    } else {
        exact_real(number)
    };
    out.extend_from_slice(text.as_bytes());
}

/// `(mantissa*2^52*…)`: every factor is an integer below 2^53, which any reader takes exactly, and
/// every product or quotient on the way is a double, so nothing is ever rounded.
fn exact_real(number: f64) -> String {
    const FRACTION_BITS: u32 = 52;
    let bits = number.to_bits();
    let fraction = bits & ((1 << FRACTION_BITS) - 1);
    let biased = (bits >> FRACTION_BITS) as i32 & 0x7FF;
    let (mantissa, exponent) = match biased {
        0 => (fraction, -1074),
        _ => (fraction | 1 << FRACTION_BITS, biased - 1075),
    };
    let operator = if exponent < 0 { '/' } else { '*' };
    let sign = if number < 0.0 { "-" } else { "" };
    let mut text = format!("({sign}{mantissa}e0");
    let mut left = exponent.unsigned_abs();
    while left > 0 {
        let step = left.min(FRACTION_BITS);
        text.push_str(&format!("{operator}{}e0", 1_u64 << step));
        left -= step;
    }
    text.push(')');
    text
}

fn append_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.reserve(bytes.len() * 2 + 3);
    out.extend_from_slice(b"x'");
    for byte in bytes {
        out.extend_from_slice(&[
            DIGITS[usize::from(byte >> 4)],
            DIGITS[usize::from(byte & 15)],
        ]);
    }
    out.push(b'\'');
}

fn append_quoted(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'\'');
    let mut from = 0;
    for at in memchr::memchr_iter(b'\'', text) {
        out.extend_from_slice(&text[from..=at]);
        out.push(b'\'');
        from = at + 1;
    }
    out.extend_from_slice(&text[from..]);
    out.push(b'\'');
}

fn append_text(out: &mut Vec<u8>, text: &[u8]) {
    /// What the line-based reader of the shell, or SQL itself, cannot take inside a literal.
    const SPECIAL: [u8; 3] = [b'\n', b'\r', 0];
    if memchr::memchr3(b'\n', b'\r', 0, text).is_none() && std::str::from_utf8(text).is_ok() {
        return append_quoted(out, text);
    }
    let Ok(valid) = std::str::from_utf8(text) else {
        // Bytes that are no UTF-8 are kept as they are; only a UTF-8 database can hold them.
        out.extend_from_slice(b"CAST(");
        append_hex(out, text);
        out.extend_from_slice(b" AS TEXT)");
        return;
    };
    let present: Vec<u8> = SPECIAL
        .into_iter()
        .filter(|byte| memchr::memchr(*byte, text).is_some())
        .collect();
    // Stand-ins that the text does not hold, so that `replace` changes nothing else. Their parts
    // cannot overlap with neighbouring text: `\` and `;` occur in a stand-in only at its ends.
    let mut stand_ins: Vec<String> = Vec::with_capacity(present.len());
    let mut number = 0_u32;
    for &byte in &present {
        let letter = match byte {
            b'\n' => 'n',
            b'\r' => 'r',
            _ => '0',
        };
        let mut stand_in = format!("\\{letter}");
        while memchr::memmem::find(text, stand_in.as_bytes()).is_some() {
            number += 1;
            stand_in = format!("\\{letter}{number};");
        }
        stand_ins.push(stand_in);
    }
    let mut replaced = valid.to_owned();
    for (byte, stand_in) in present.iter().zip(&stand_ins) {
        out.extend_from_slice(b"replace(");
        replaced = replaced.replace(char::from(*byte), stand_in);
    }
    append_quoted(out, replaced.as_bytes());
    for (byte, stand_in) in present.iter().zip(&stand_ins) {
        out.extend_from_slice(format!(",'{stand_in}',char({byte}))").as_bytes());
    }
}
