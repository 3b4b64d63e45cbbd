//! Reads values out of a parsed TOML document and notes every problem with its place, instead of
//! stopping at the first as a deserializer does.

use std::cell::{Cell, RefCell};
use std::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{ConfigProblem, suggestion};

/// Names that are compared for suggestions in one file: each costs microseconds, and a file with thousands
/// of wrong names would take minutes. Whoever has so many does not read them all.
const COMPARISONS_MAX: usize = 50_000;

/// A file being read, and what was found wrong with it so far.
pub(super) struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    /// The byte where each line begins.
    lines: Vec<usize>,
    problems: RefCell<Vec<ConfigProblem>>,
    comparisons_left: Cell<usize>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &'a str, text: &'a str) -> Self {
        Self {
            file,
            text,
            lines: std::iter::once(0)
                .chain(text.match_indices('\n').map(|(end, _)| end + 1))
                .collect(),
            problems: RefCell::new(Vec::new()),
            comparisons_left: Cell::new(COMPARISONS_MAX),
        }
    }

    /// Notes a problem at a byte of the file.
    pub(super) fn problem(&self, at: usize, path: &str, message: impl Into<String>) {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = self.lines.partition_point(|start| *start <= before.len());
        let line_start = self.lines.get(line - 1).copied().unwrap_or_default();
        self.problems.borrow_mut().push(ConfigProblem {
            file: self.file.to_owned(),
            line,
            column: before[line_start..].chars().count() + 1,
            path: path.to_owned(),
            message: message.into(),
        });
    }

    /// ` did you mean "customers"?`, with a leading `;`, if one of the known names is close; empty once
    /// very many were compared.
    pub(super) fn suggestion<'k>(
        &self,
        given: &str,
        known: impl IntoIterator<Item = &'k str>,
    ) -> String {
        let mut left = self.comparisons_left.get();
        let known = known.into_iter().take_while(|_| {
            let compared = left > 0;
            left = left.saturating_sub(1);
            compared
        });
        let close = suggestion(given, known);
        self.comparisons_left.set(left);
        close
    }

    /// All problems, in the order of the file.
    pub(super) fn into_problems(self) -> Vec<ConfigProblem> {
        let mut problems = self.problems.into_inner();
        problems.sort();
        problems.dedup();
        problems
    }
}

/// A value with its place: the byte where it begins and its path of keys.
#[derive(Debug, Clone)]
pub(super) struct Placed<T> {
    pub(super) value: T,
    pub(super) at: usize,
    pub(super) path: String,
}

impl<T> Placed<T> {
    pub(super) fn problem(&self, reader: &Reader<'_>, message: impl Into<String>) {
        reader.problem(self.at, &self.path, message);
    }
}

/// One table of the file. Every key that a reader asks for becomes known; [`Section::finish`]
/// refuses the others.
pub(super) struct Section<'r, 'a> {
    pub(super) reader: &'r Reader<'a>,
    table: &'r DeTable<'a>,
    path: String,
    at: usize,
    known: RefCell<Vec<&'static str>>,
    /// Those of which it was already said why they are wrong.
    refused: RefCell<Vec<&'static str>>,
}

impl<'r, 'a> Section<'r, 'a> {
    pub(super) fn root(reader: &'r Reader<'a>, table: &'r DeTable<'a>) -> Self {
        Self::new(reader, table, String::new(), 0)
    }

    fn new(reader: &'r Reader<'a>, table: &'r DeTable<'a>, path: String, at: usize) -> Self {
        Self {
            reader,
            table,
            path,
            at,
            known: RefCell::default(),
            refused: RefCell::default(),
        }
    }

    /// Notes a problem with the section as a whole.
    pub(super) fn problem(&self, message: impl Into<String>) {
        self.reader.problem(self.at, &self.path, message);
    }

    /// Whether a key is there, whatever its value.
    pub(super) fn has(&self, key: &'static str) -> bool {
        self.value(key).is_some()
    }

    /// Whether it holds no key at all.
    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Notes that a key is missing.
    pub(super) fn missing(&self, key: &'static str, example: &str) {
        self.problem(format!("{key} is missing; for example {key} = {example}"));
    }

    /// Refuses a key that makes no sense here, if it is there. It is not told among those that are known.
    pub(super) fn refuse(&self, key: &'static str, why: &str) {
        if let Some(value) = self.found(key) {
            self.refused.borrow_mut().push(key);
            self.wrong(key, value.span(), why);
        }
    }

    /// Refuses every key that nothing asked for.
    pub(super) fn finish(self) {
        let known = self.known.borrow();
        for (key, _) in self.table {
            let name: &str = key.get_ref();
            if !known.contains(&name) && !self.refused.borrow().contains(&name) {
                let close = self.reader.suggestion(name, known.iter().copied());
                let message = match (close.is_empty(), known.is_empty()) {
                    (false, _) => format!("unknown key{close}"),
                    (true, _) => format!("unknown key; known here: {}", known.join(", ")),
                };
                let path = self.path_of(name);
                self.reader.problem(key.span().start, &path, message);
            }
        }
    }

    pub(super) fn text(&self, key: &'static str) -> Option<Placed<&'r str>> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::String(text) => self.not_empty(self.placed(key, value, text.as_ref())),
            _ => self.wrong_type(key, value, "a text in quotes"),
        }
    }

    fn not_empty(&self, text: Placed<&'r str>) -> Option<Placed<&'r str>> {
        if text.value.trim().is_empty() {
            text.problem(self.reader, "must not be empty");
            return None;
        }
        if text.value.chars().any(char::is_control) {
            text.problem(self.reader, "must not hold control characters or line ends");
            return None;
        }
        Some(text)
    }

    pub(super) fn boolean(&self, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Boolean(is) => Some(*is),
            _ => self.wrong_type(key, value, "true or false"),
        }
    }

    pub(super) fn number(&self, key: &'static str, bounds: RangeInclusive<u32>) -> Option<u32> {
        let value = self.value(key)?;
        let DeValue::Integer(integer) = value.get_ref() else {
            return self.wrong_type(key, value, "a whole number");
        };
        let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number
            .and_then(|n| u32::try_from(n).ok())
            .filter(|n| bounds.contains(n));
        if number.is_none() {
            let message = format!(
                "must be between {} and {}, not {integer}",
                bounds.start(),
                bounds.end()
            );
            self.wrong(key, value.span(), &message);
        }
        number
    }

    /// A number of bytes.
    pub(super) fn bytes(&self, key: &'static str) -> Option<Placed<u64>> {
        let value = self.value(key)?;
        let DeValue::Integer(integer) = value.get_ref() else {
            return self.wrong_type(key, value, "a number of bytes");
        };
        let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
        match number.and_then(|n| u64::try_from(n).ok()) {
            Some(bytes) => Some(self.placed(key, value, bytes)),
            None => self.wrong_type(key, value, "a number of bytes"),
        }
    }

    /// A list of texts; one text alone counts as a list of one.
    pub(super) fn texts(&self, key: &'static str) -> Option<Vec<Placed<&'r str>>> {
        let value = self.value(key)?;
        let items = match value.get_ref() {
            DeValue::String(text) => {
                vec![self.not_empty(self.placed(key, value, text.as_ref()))?]
            }
            DeValue::Array(items) if items.is_empty() => {
                self.wrong(key, value.span(), "must name at least one");
                return None;
            }
            // A wrong one is noted and left out, so that the caller can look at the others.
            DeValue::Array(items) => {
                let text = |item: &'r Spanned<DeValue<'a>>| match item.get_ref() {
                    DeValue::String(text) => self.not_empty(self.placed(key, item, text.as_ref())),
                    _ => self.wrong_type(key, item, "a text in quotes"),
                };
                items.iter().filter_map(text).collect()
            }
            _ => return self.wrong_type(key, value, "a list of texts"),
        };
        Some(items)
    }

    /// A list of values whose types the caller tells apart; one alone counts as a list of one.
    pub(super) fn list(&self, key: &'static str) -> Option<Vec<Placed<&'r DeValue<'a>>>> {
        let value = self.value(key)?;
        Some(match value.get_ref() {
            DeValue::Array(items) => {
                let placed =
                    |item: &'r Spanned<DeValue<'a>>| self.placed(key, item, item.get_ref());
                items.iter().map(placed).collect()
            }
            one => vec![self.placed(key, value, one)],
        })
    }

    /// A value whose type the caller tells apart.
    pub(super) fn any(&self, key: &'static str) -> Option<Placed<&'r DeValue<'a>>> {
        let value = self.value(key)?;
        Some(self.placed(key, value, value.get_ref()))
    }

    pub(super) fn section(&self, key: &'static str) -> Option<Section<'r, 'a>> {
        let value = self.value(key)?;
        self.as_section(key, value)
    }

    /// The sections of a section, each with its name.
    pub(super) fn named(&self, key: &'static str) -> Vec<(Placed<&'r str>, Section<'r, 'a>)> {
        let Some(outer) = self.section(key) else {
            return Vec::new();
        };
        let mut sections = Vec::new();
        for (name, value) in outer.table {
            let placed = Placed {
                value: name.get_ref().as_ref(),
                at: name.span().start,
                path: outer.path_of(name.get_ref()),
            };
            if let Some(mut section) = outer.as_section(name.get_ref(), value) {
                section.at = placed.at;
                sections.push((placed, section));
            }
        }
        sections
    }

    fn as_section(&self, key: &str, value: &'r Spanned<DeValue<'a>>) -> Option<Section<'r, 'a>> {
        match value.get_ref() {
            DeValue::Table(table) => {
                let at = value.span().start;
                Some(Section::new(self.reader, table, self.path_of(key), at))
            }
            _ => self.wrong_type(key, value, &format!("a table{}", table_example(key))),
        }
    }

    fn value(&self, key: &'static str) -> Option<&'r Spanned<DeValue<'a>>> {
        let mut known = self.known.borrow_mut();
        if !known.contains(&key) {
            known.push(key);
        }
        drop(known);
        self.found(key)
    }

    fn found(&self, key: &'static str) -> Option<&'r Spanned<DeValue<'a>>> {
        let (_, value) = self.table.iter().find(|(k, _)| k.get_ref() == key)?;
        Some(value)
    }

    fn placed<T>(&self, key: &str, spanned: &Spanned<DeValue<'_>>, value: T) -> Placed<T> {
        Placed {
            value,
            at: spanned.span().start,
            path: self.path_of(key),
        }
    }

    fn path_of(&self, key: &str) -> String {
        match self.path.as_str() {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        }
    }

    fn wrong(&self, key: &str, span: Range<usize>, message: &str) {
        self.reader.problem(span.start, &self.path_of(key), message);
    }

    fn wrong_type<T>(&self, key: &str, found: &Spanned<DeValue<'_>>, wanted: &str) -> Option<T> {
        let message = format!("must be {wanted}; found {}", found.get_ref().type_str());
        self.wrong(key, found.span(), &message);
        None
    }
}

/// What a table that stands in one line looks like.
fn table_example(key: &str) -> &'static str {
    match key {
        "keep" => ", such as keep = { days = 7, last = 3 }",
        "alerts" => ", such as alerts = { success = false }",
        "quiet" => ", such as quiet = { error = \"4h\" }",
        "digest" => ", such as digest = { every = \"day\", at = \"07:00\" }",
        "topics" => ", such as topics = { error = \"<ARN of an SNS topic>\" }",
        _ => "",
    }
}
