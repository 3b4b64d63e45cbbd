//! What the template tells a function through its environment.

use crate::{RuntimeError, RuntimeErrorKind};

/// A function's settings, read once at its cold start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The catalog's table: `LOGISEDGE_TABLE`.
    pub table: String,
    /// The event bus: `LOGISEDGE_BUS`.
    pub bus: String,
    /// The topic of the alerts: `LOGISEDGE_TOPIC_ARN`.
    pub topic_arn: String,
}

impl Settings {
    /// Reads the process's environment.
    pub fn from_env() -> Result<Self, RuntimeError> {
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    /// Reads settings from wherever `lookup` finds them. Every problem is told at once.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, RuntimeError> {
        let mut missing = Vec::new();
        let mut read = |name: &'static str| {
            lookup(name)
                .filter(|value| !value.is_empty())
                .unwrap_or_else(|| {
                    missing.push(name);
                    String::new()
                })
        };
        let settings = Self {
            table: read("LOGISEDGE_TABLE"),
            bus: read("LOGISEDGE_BUS"),
            topic_arn: read("LOGISEDGE_TOPIC_ARN"),
        };
        if missing.is_empty() {
            return Ok(settings);
        }
        Err(RuntimeError::new(
            RuntimeErrorKind::Settings,
            "start with",
            "this environment",
            format!(
                "{} not set: deploy infra/template.yaml, which sets them",
                missing.join(" and ") + if missing.len() == 1 { " is" } else { " are" }
            ),
        ))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_missing_variable_is_named() {
        let error = Settings::from_lookup(|name| (name == "LOGISEDGE_BUS").then(|| "b".into()));
        insta::assert_snapshot!(error.unwrap_err(), @"cannot start with this environment: LOGISEDGE_TABLE and LOGISEDGE_TOPIC_ARN are not set: deploy infra/template.yaml, which sets them");
    }
}
