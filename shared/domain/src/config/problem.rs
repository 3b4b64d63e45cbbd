//! What is wrong with a configuration file, and where.

use std::fmt;

/// One thing that is wrong with a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigProblem {
    /// The file's name, as the caller gave it.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// The key that it is about, with dots: `schedules.daily.at`. Empty for the file as a whole.
    pub path: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// Everything that is wrong with a configuration file, in the order of the file; never empty.
///
/// Shown as one line a problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblems(pub Vec<ConfigProblem>);

impl fmt::Display for ConfigProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let line_end = if index == 0 { "" } else { "\n" };
            write!(f, "{line_end}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigProblems {}

/// ` did you mean "customers"?`, with a leading `;`, if one of the known names is close.
pub(super) fn suggestion<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let allowed = (given.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|name| (strsim::osa_distance(given, name), name))
        .filter(|(edits, _)| *edits <= allowed)
        .min()
        .map(|(_, name)| format!("; did you mean \"{name}\"?"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::suggestion;

    #[test]
    fn only_close_names_are_suggested() {
        let known = ["customers", "items", "orders"];
        assert_eq!(
            suggestion("custmers", known),
            "; did you mean \"customers\"?"
        );
        assert_eq!(suggestion("itmes", known), "; did you mean \"items\"?");
        assert_eq!(suggestion("invoices", known), "");
        assert_eq!(suggestion("epr", ["erp"]), "; did you mean \"erp\"?");
    }
}
