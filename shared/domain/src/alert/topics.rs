//! Routing: which topic an alert goes to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Severity;

/// The ARN of an SNS topic: `arn:aws:sns:eu-central-1:123456789012:name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TopicArn(String);

impl TopicArn {
    /// The ARN.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TopicArn {
    type Err = String;

    /// The parts of an ARN:
    /// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsns.html>. FIFO
    /// topics order messages in groups, which alerts have none of.
    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let word = |part: &str| {
            !part.is_empty()
                && part
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        };
        let valid = match parts.as_slice() {
            ["arn", partition, "sns", region, account, name] => {
                partition.starts_with("aws")
                    && [partition, region, name].into_iter().all(|part| word(part))
                    && account.len() == 12
                    && account.chars().all(|c| c.is_ascii_digit())
                    && name.len() <= 256
            }
            _ => false,
        };
        if valid {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "{text:?} is no ARN of a standard SNS topic, such as \
             \"arn:aws:sns:eu-central-1:123456789012:logisedge-backup-alerts-oncall\""
        ))
    }
}

impl TryFrom<String> for TopicArn {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<TopicArn> for String {
    fn from(arn: TopicArn) -> Self {
        arn.0
    }
}

impl fmt::Display for TopicArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A topic for each severity; none where another place says it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topics {
    /// Of errors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<TopicArn>,
    /// Of warnings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<TopicArn>,
    /// Of what is for the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub info: Option<TopicArn>,
}

impl Topics {
    /// Whether none is named.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The topic of a severity.
    pub fn of(&self, severity: Severity) -> Option<&TopicArn> {
        match severity {
            Severity::Error => self.error.as_ref(),
            Severity::Warning => self.warning.as_ref(),
            Severity::Info => self.info.as_ref(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_standard_topics_are_topics() {
        for arn in [
            "arn:aws:sns:eu-central-1:123456789012:logisedge-backup-alerts-oncall",
            "arn:aws-cn:sns:cn-north-1:123456789012:a_b",
        ] {
            assert_eq!(arn.parse::<TopicArn>().unwrap().to_string(), arn);
        }
        for wrong in [
            "",
            "oncall",
            "arn:aws:sqs:eu-central-1:123456789012:name",
            "arn:aws:sns:eu-central-1:12345678901:name",
            "arn:aws:sns::123456789012:name",
            "arn:aws:sns:eu-central-1:123456789012:",
            "arn:aws:sns:eu-central-1:123456789012:name.fifo",
            "arn:aws:sns:eu-central-1:123456789012:name:e5b0-subscription",
            "arn:aws:sns:eu-central-1:123456789012:na me",
        ] {
            assert!(wrong.parse::<TopicArn>().is_err(), "{wrong}");
        }
    }
}
