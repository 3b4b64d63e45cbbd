//! An alert's subject, e-mail, SMS and JSON.

use std::fmt::Write;

use serde::Serialize;

use super::{Alert, AlertKind, Severity, Standing};
use crate::format;

/// Longest subject that SNS takes: ASCII, no control characters, "less than 100 characters"
/// (<https://docs.aws.amazon.com/sns/latest/api/API_Publish.html>).
pub const SUBJECT_CHARS_MAX: usize = 99;

/// Bytes of one SMS; SNS splits longer texts, and each part is charged
/// (<https://docs.aws.amazon.com/sns/latest/dg/sms_sending-overview.html>).
pub const SMS_BYTES_MAX: usize = 140;

/// The version of the JSON form.
pub const ALERT_VERSION: u32 = 1;

#[derive(Serialize)]
struct Machine<'a> {
    version: u32,
    severity: Severity,
    subject: String,
    #[serde(flatten)]
    alert: &'a Alert,
}

impl Alert {
    /// How urgent it is.
    pub fn severity(&self) -> Severity {
        self.kind.severity()
    }

    /// One line of ASCII, at most [`SUBJECT_CHARS_MAX`] characters: what happened to which scope.
    pub fn subject(&self) -> String {
        let about = match (&self.scope, &self.schedule) {
            (Some(scope), Some(schedule)) => format!(": {scope} ({schedule})"),
            (Some(scope), None) => format!(": {scope}"),
            (None, Some(schedule)) => format!(": {schedule}"),
            (None, None) => String::new(),
        };
        shortened(
            &format!("LogisEdge {}{}{about}", self.prefix(), self.headline()),
            SUBJECT_CHARS_MAX,
        )
    }

    /// A text for a person who may have seen nothing of this before: what happened, when, to what,
    /// and what to do.
    pub fn email_text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.write_email(&mut text);
        text
    }

    fn write_email(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "{}\n", self.summary)?;
        writeln!(out, "When: {}", format::instant(self.at))?;
        if let Some(scope) = &self.scope {
            writeln!(out, "Scope: {scope}")?;
        }
        if let Some(schedule) = &self.schedule {
            writeln!(out, "Schedule: {schedule}")?;
        }
        if let Some(run) = &self.run {
            writeln!(out, "Run: {run}")?;
        }
        if let Some(snapshot) = &self.snapshot {
            writeln!(out, "Snapshot: {snapshot}")?;
        }
        for detail in &self.details {
            writeln!(out, "{detail}")?;
        }
        if !self.action.is_empty() {
            writeln!(out, "\nWhat to do: {}", self.action)?;
        }
        if !self.command.is_empty() {
            let separator = if self.action.is_empty() { "\n" } else { "" };
            writeln!(out, "{separator}  {}", self.command)?;
        }
        writeln!(out, "\n(alert {})", self.id)
    }

    /// One SMS: ASCII, at most [`SMS_BYTES_MAX`] bytes.
    pub fn sms_text(&self) -> String {
        let at = self.at.format("%m-%d %H:%MZ");
        shortened(
            &format!(
                "LogisEdge {}{} {at}: {}",
                self.prefix(),
                self.headline(),
                self.summary
            ),
            SMS_BYTES_MAX,
        )
    }

    /// One JSON object for machines: the alert's fields with `version`, `severity` and `subject`.
    pub fn to_json(&self) -> String {
        let machine = Machine {
            version: ALERT_VERSION,
            severity: self.severity(),
            subject: self.subject(),
            alert: self,
        };
        serde_json::to_string(&machine).expect("texts and instants are always JSON")
    }

    /// What comes before the headline where the alert tells of more than one event.
    fn prefix(&self) -> &'static str {
        match self.standing {
            None => "",
            Some(Standing::Repeated { .. }) => "again: ",
            Some(Standing::Resolved { .. }) => "resolved: ",
        }
    }

    fn headline(&self) -> &'static str {
        match self.kind {
            AlertKind::Success => "backup stored",
            AlertKind::Failure => "backup FAILED",
            AlertKind::Skipped => "backup skipped",
            AlertKind::Missed => "backup MISSED",
            AlertKind::Late => "backup LATE",
            AlertKind::Finding => "verification FINDING",
            AlertKind::CleanUp => "clean-up",
            AlertKind::Anomaly => "UNUSUAL CHANGE",
            AlertKind::NoGoodSnapshot => "NO GOOD SNAPSHOT",
            AlertKind::Digest => "digest",
            AlertKind::StorageSoonFull => "storage soon full",
            AlertKind::UsageDiffers => "usage differs",
            AlertKind::NotLocked => "lock NOT RENEWED",
            AlertKind::NotPruned => "clean-up INCOMPLETE",
            AlertKind::StorageFull => "storage FULL",
            AlertKind::DeadLetter => "event NOT HANDLED",
        }
    }
}

/// The text in printable ASCII on one line, cut with `...` to fit so many bytes.
fn shortened(text: &str, bytes_max: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let printable = |c: char| c == ' ' || c.is_ascii_graphic();
    let mut ascii: String = line
        .chars()
        .map(|c| if printable(c) { c } else { '?' })
        .collect();
    if ascii.len() > bytes_max {
        ascii.truncate(bytes_max - 3);
        ascii.truncate(ascii.trim_end().len());
        ascii.push_str("...");
    }
    ascii
}
