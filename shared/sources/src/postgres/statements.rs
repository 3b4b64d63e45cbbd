//! Cutting an SQL script into statements where psql would.
//!
//! The rules are those of psql's lexer: a semicolon ends a statement unless it stands in a quoted
//! text or name, a dollar-quoted body, a comment, parentheses (`CREATE RULE … DO (…; …)`), or the
//! `BEGIN ATOMIC … END` body of a function.
//! <https://github.com/postgres/postgres/blob/master/src/fe_utils/psqlscan.l>

/// The statements of `script`, each without its semicolon and without comments in front. Lines
/// that psql takes as commands to itself (`\restrict`, `\unrestrict`) are left out.
pub(super) fn statements(script: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = script;
    loop {
        rest = skip_blank(rest);
        if rest.is_empty() {
            return found;
        }
        if rest.starts_with('\\') {
            rest = rest.find('\n').map_or("", |end| &rest[end + 1..]);
            continue;
        }
        let length = statement_length(rest);
        let statement = rest[..length].trim_end();
        if !statement.is_empty() {
            found.push(statement);
        }
        rest = rest.get(length + 1..).unwrap_or("");
    }
}

/// A part of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word<'a> {
    /// A keyword or a name without quotes, as it is written.
    Plain(&'a str),
    /// A name in quotes, without them.
    Quoted(String),
    /// A text in quotes, with them.
    Text(&'a str),
    /// Any other single character, and numbers digit by digit.
    Mark(char),
}

/// The words of a statement, without white space and comments.
pub(super) fn words(statement: &str) -> Vec<Word<'_>> {
    let (mut found, mut rest) = (Vec::new(), statement);
    loop {
        rest = skip_blank(rest);
        let Some(&byte) = rest.as_bytes().first() else {
            return found;
        };
        let bytes = rest.as_bytes();
        let (word, length) = match byte {
            b'\'' => {
                let length = quoted(bytes, false);
                (Word::Text(&rest[..length]), length)
            }
            b'"' => {
                let length = quoted(bytes, false);
                let inner = rest[1..length]
                    .strip_suffix('"')
                    .unwrap_or(&rest[1..length]);
                (Word::Quoted(inner.replace("\"\"", "\"")), length)
            }
            b'$' => match dollar_quoted(bytes) {
                1 => (Word::Mark('$'), 1),
                length => (Word::Text(&rest[..length]), length),
            },
            _ if is_word_start(byte) => {
                let length = bytes.iter().take_while(|&&b| is_word(b)).count();
                if rest[..length].eq_ignore_ascii_case("e") && bytes.get(length) == Some(&b'\'') {
                    let length = length + quoted(&bytes[length..], true);
                    (Word::Text(&rest[..length]), length)
                } else {
                    (Word::Plain(&rest[..length]), length)
                }
            }
            _ => (Word::Mark(char::from(byte)), 1),
        };
        found.push(word);
        rest = &rest[length..];
    }
}

/// Without the white space and comments at the front.
fn skip_blank(mut text: &str) -> &str {
    loop {
        text = text.trim_start();
        if text.starts_with("--") {
            text = text.find('\n').map_or("", |end| &text[end + 1..]);
        } else if text.starts_with("/*") {
            text = &text[block_comment(text.as_bytes())..];
        } else {
            return text;
        }
    }
}

/// Bytes up to the semicolon that ends the first statement, or all of them.
fn statement_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut at, mut parentheses, mut blocks) = (0, 0_u32, 0_u32);
    let (mut words, mut creates_routine) = (Vec::with_capacity(4), false);
    while let Some(&byte) = bytes.get(at) {
        let here = &bytes[at..];
        match byte {
            b';' if parentheses == 0 && blocks == 0 => return at,
            b'(' => parentheses += 1,
            b')' => parentheses = parentheses.saturating_sub(1),
            b'-' if here.starts_with(b"--") => {
                at += memchr::memchr(b'\n', here).unwrap_or(here.len());
                continue;
            }
            b'/' if here.starts_with(b"/*") => {
                at += block_comment(here);
                continue;
            }
            b'\'' => {
                at += quoted(here, false);
                continue;
            }
            b'"' => {
                at += quoted(here, false);
                continue;
            }
            b'$' => {
                at += dollar_quoted(here);
                continue;
            }
            _ if is_word_start(byte) => {
                let length = here.iter().take_while(|&&b| is_word(b)).count();
                let word = &here[..length];
                at += length;
                if word.eq_ignore_ascii_case(b"e") && bytes.get(at) == Some(&b'\'') {
                    at += quoted(&bytes[at..], true);
                    continue;
                }
                if words.len() < 4 {
                    words.push(word.to_ascii_lowercase());
                    creates_routine = creates_a_routine(&words);
                }
                if creates_routine && parentheses == 0 {
                    let is = |keyword: &[u8]| word.eq_ignore_ascii_case(keyword);
                    if is(b"begin") || is(b"case") && blocks > 0 {
                        blocks += 1;
                    } else if is(b"end") {
                        blocks = blocks.saturating_sub(1);
                    }
                }
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// `CREATE [OR REPLACE] {FUNCTION | PROCEDURE}`.
fn creates_a_routine(words: &[Vec<u8>]) -> bool {
    let routine = |word: Option<&Vec<u8>>| {
        word.is_some_and(|word| word == b"function" || word == b"procedure")
    };
    let word = |at: usize| words.get(at).map(Vec::as_slice);
    word(0) == Some(b"create")
        && (routine(words.get(1))
            || word(1) == Some(b"or") && word(2) == Some(b"replace") && routine(words.get(3)))
}

fn is_word_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn is_word(byte: u8) -> bool {
    is_word_start(byte) || byte.is_ascii_digit() || byte == b'$'
}

/// Length of what starts with a quote, both quotes included. A doubled quote is one part after
/// another, which comes to the same.
fn quoted(text: &[u8], escapes: bool) -> usize {
    let quote = text[0];
    let mut at = 1;
    while let Some(&byte) = text.get(at) {
        at += 1;
        if byte == quote {
            if text.get(at) == Some(&quote) {
                at += 1;
                continue;
            }
            return at;
        }
        if escapes && byte == b'\\' {
            at += 1;
        }
    }
    text.len()
}

/// Length of a block comment; they nest.
fn block_comment(text: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0_u32);
    while at < text.len() {
        if text[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// Length of a dollar-quoted text, or 1 for a dollar sign that starts none.
fn dollar_quoted(text: &[u8]) -> usize {
    let tag = 1 + text[1..]
        .iter()
        .take_while(|&&b| is_word(b) && b != b'$')
        .count();
    let named_like_a_number = text.get(1).is_some_and(u8::is_ascii_digit);
    if text.get(tag) != Some(&b'$') || named_like_a_number {
        return 1;
    }
    let delimiter = &text[..=tag];
    let body = &text[delimiter.len()..];
    match memchr::memmem::find(body, delimiter) {
        Some(end) => 2 * delimiter.len() + end,
        None => text.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semicolons_end_statements_only_outside_of_everything() {
        let script = "\\restrict abc\n\n-- a comment; with one\nSELECT 1;\n/* x; /* nested; */ */\n\
            SELECT 'a;''b;', \"c;\"\"d\", E'e\\';f', $$g;h$$, $t$i;$$;j$t$, a$b, $1;\n\
            CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2);\n\\unrestrict abc\n SELECT 'ü;';;";
        assert_eq!(
            statements(script),
            [
                "SELECT 1",
                "SELECT 'a;''b;', \"c;\"\"d\", E'e\\';f', $$g;h$$, $t$i;$$;j$t$, a$b, $1",
                "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)",
                "SELECT 'ü;'",
            ]
        );
    }

    #[test]
    fn atomic_bodies_are_kept_whole() {
        let function = "CREATE OR REPLACE FUNCTION f(begin_ int) RETURNS int\n    BEGIN ATOMIC\n \
            SELECT CASE WHEN true THEN 1 END;\n SELECT 2; -- a comment; END\nEND";
        let script = format!("{function};\nBEGIN;\nSELECT 1;\nEND;");
        assert_eq!(statements(&script), [function, "BEGIN", "SELECT 1", "END"]);
    }

    #[test]
    fn words_are_told_apart() {
        use Word::{Mark, Plain, Quoted, Text};
        let statement =
            "CREATE INDEX \"Ü \"\"x\" /* c */ ON größe.t (e'\\'', $$;$$, 'a''b') -- end";
        assert_eq!(
            words(statement),
            [
                Plain("CREATE"),
                Plain("INDEX"),
                Quoted("Ü \"x".to_owned()),
                Plain("ON"),
                Plain("größe"),
                Mark('.'),
                Plain("t"),
                Mark('('),
                Text("e'\\''"),
                Mark(','),
                Text("$$;$$"),
                Mark(','),
                Text("'a''b'"),
                Mark(')'),
            ]
        );
        for open in ["\"a", "'a", "$$a", "E'a\\", "\""] {
            assert_eq!(words(open).len(), 1, "{open}");
        }
    }

    #[test]
    fn what_is_left_open_runs_to_the_end() {
        assert_eq!(statements("SELECT 'a; b"), ["SELECT 'a; b"]);
        assert_eq!(statements("SELECT $x$ ; $y$"), ["SELECT $x$ ; $y$"]);
        assert_eq!(statements("/* never closed ;"), Vec::<&str>::new());
        assert_eq!(statements("-- only a comment"), Vec::<&str>::new());
    }

    #[test]
    fn any_script_is_cut_into_parts_of_itself() {
        let sample = "\\restrict abc\n-- a; b\nSELECT 'a;''b;', \"c;\"\"d\", E'e\\';f', $$g;h$$, $t$i;$$;j$t$;\n\
            /* x; /* nested; */ */ CREATE OR REPLACE FUNCTION f(a int) RETURNS int BEGIN ATOMIC\n\
            SELECT CASE WHEN true THEN 1 END; END;\nCREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2);";
        logisedge_fuzz::Fuzz::new("SQL script", 40_000)
            .sample(sample)
            .run(|bytes| {
                let script = String::from_utf8_lossy(bytes);
                let mut rest = script.as_ref();
                for statement in statements(&script) {
                    assert!(!statement.is_empty());
                    // In order, none twice.
                    let at = rest
                        .find(statement)
                        .expect("a statement is a part of its script");
                    rest = &rest[at + statement.len()..];
                }
            });
    }
}
