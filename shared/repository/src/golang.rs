//! What restic's format takes from Go's standard library: `encoding/json`'s escapes, `time`'s
//! RFC 3339 form, and `strconv.Quote`, which node names go through.

use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// JSON as `encoding/json` writes it: compact, with `<`, `>`, `&`, U+2028 and U+2029 escaped. The
/// format wants this so that equal trees have equal ids, whoever writes them.
pub(crate) fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    let mut out = Vec::with_capacity(256);
    value.serialize(&mut Serializer::with_formatter(&mut out, GoFormatter))?;
    Ok(out)
}

struct GoFormatter;

impl Formatter for GoFormatter {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            writer.write_all(&rest.as_bytes()[..at])?;
            let mut following = rest[at..].chars();
            if let Some(special) = following.next() {
                write!(writer, "\\u{:04x}", u32::from(special))?;
            }
            rest = following.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

/// `time.RFC3339Nano`: fractions without trailing zeros, `Z` for UTC.
pub(crate) fn time(at: logisedge_domain::Instant) -> String {
    let seconds = at.format("%Y-%m-%dT%H:%M:%S");
    match at.timestamp_subsec_nanos() % 1_000_000_000 {
        0 => format!("{seconds}Z"),
        nanos => {
            let fraction = format!("{nanos:09}");
            format!("{seconds}.{}Z", fraction.trim_end_matches('0'))
        }
    }
}

/// `strconv.Quote` without the quotes around it. Characters that Go may deem unprintable are left
/// as they are beyond ASCII: `strconv.Unquote` takes both.
pub(crate) fn quote(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            c if u32::from(c) < 0x20 || c == '\x7f' => {
                out.push_str(&format!("\\x{:02x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out
}

/// The way back. Bytes that are no UTF-8 become U+FFFD. None where the escapes are malformed.
pub(crate) fn unquote(quoted: &str) -> Option<String> {
    if !quoted.contains('\\') {
        return Some(quoted.to_owned());
    }
    let mut out = Vec::with_capacity(quoted.len());
    let mut rest = quoted.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let (digits, radix, is_byte) = match rest.next()? {
            'x' => (2, 16, true),
            'u' => (4, 16, false),
            'U' => (8, 16, false),
            c @ '0'..='7' => {
                let low: String = rest.by_ref().take(2).collect();
                out.push(u8::from_str_radix(&format!("{c}{low}"), 8).ok()?);
                continue;
            }
            c => {
                out.push(match c {
                    'a' => 0x07,
                    'b' => 0x08,
                    'f' => 0x0c,
                    'n' => b'\n',
                    'r' => b'\r',
                    't' => b'\t',
                    'v' => 0x0b,
                    '\\' | '"' | '\'' => c as u8,
                    _ => return None,
                });
                continue;
            }
        };
        let code: String = rest.by_ref().take(digits).collect();
        if code.len() != digits {
            return None;
        }
        let code = u32::from_str_radix(&code, radix).ok()?;
        if is_byte {
            out.push(u8::try_from(code).ok()?);
        } else {
            let c = char::from_u32(code)?;
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use chrono::{TimeZone, Utc};
    use proptest::prelude::*;

    #[test]
    fn json_escapes_what_go_escapes() {
        let text = "a<b>&\u{2028}\u{2029}\"é\n";
        assert_eq!(
            String::from_utf8(json(&text).unwrap()).unwrap(),
            r#""a\u003cb\u003e\u0026\u2028\u2029\"é\n""#
        );
    }

    #[test]
    fn times_lose_their_trailing_zeros() {
        let base = Utc.with_ymd_and_hms(2026, 11, 24, 2, 0, 0).unwrap();
        assert_eq!(time(base), "2026-11-24T02:00:00Z");
        let fraction = base + chrono::TimeDelta::milliseconds(120);
        assert_eq!(time(fraction), "2026-11-24T02:00:00.12Z");
    }

    #[test]
    fn names_that_go_quoted_are_read() {
        for (quoted, name) in [
            ("plain", "plain"),
            (r#"a\"b\\c"#, r#"a"b\c"#),
            (r"tab\tnul\x00", "tab\tnul\0"),
            (r"\u00e9\U0001f600\101", "é😀A"),
            (r"\xc3\xa9", "é"),
        ] {
            assert_eq!(unquote(quoted).unwrap(), name);
        }
        assert!(unquote(r"\q").is_none());
        assert!(unquote(r"\x1").is_none());
        assert!(unquote("\\").is_none());
    }

    proptest! {
        #[test]
        fn any_name_survives_quoting(name in any::<String>()) {
            prop_assert_eq!(unquote(&quote(&name)).unwrap(), name);
        }
    }
}
