//! Sending alerts through SNS, each device its own form of the text.

use aws_sdk_sns::types::MessageAttributeValue;
use logisedge_domain::alert::Alert;
use logisedge_domain::retry::Retry;

use crate::{Aws, RuntimeError, RuntimeErrorKind};

impl Aws {
    /// Publishes an alert to the topic: `email` and `default` texts for people, `sms` short, and JSON
    /// for queues, functions and web hooks. Attributes `kind`, `severity` and `scope` serve filter
    /// policies.
    pub async fn send_alert(&self, topic_arn: &str, alert: &Alert) -> Result<(), RuntimeError> {
        let json = alert.to_json();
        let forms = serde_json::json!({
            "default": alert.email_text(),
            "email": alert.email_text(),
            "email-json": json,
            "sms": alert.sms_text(),
            "sqs": json,
            "lambda": json,
            "http": json,
            "https": json,
        });
        let mut request = self
            .sns()
            .publish()
            .topic_arn(topic_arn)
            .subject(alert.subject())
            .message_structure("json")
            .message(forms.to_string())
            .message_attributes("kind", attribute(alert.kind.as_str()))
            .message_attributes("severity", attribute(alert.severity().as_str()));
        if let Some(scope) = &alert.scope {
            request = request.message_attributes("scope", attribute(scope.as_str()));
        }
        request.send().await.map(|_| ()).map_err(|error| {
            let (message, retry) = match error.as_service_error() {
                Some(e) if e.is_authorization_error_exception() => (
                    "the role needs sns:Publish on it (and kms:GenerateDataKey on its key)"
                        .to_owned(),
                    Retry::Permanent,
                ),
                Some(e) if e.is_not_found_exception() => {
                    ("there is no such topic".to_owned(), Retry::Permanent)
                }
                Some(e) => (
                    e.meta()
                        .message()
                        .unwrap_or("the service refused")
                        .to_owned(),
                    if e.is_internal_error_exception() || e.is_kms_throttling_exception() {
                        Retry::SOON
                    } else {
                        Retry::Permanent
                    },
                ),
                None => ("SNS did not answer".to_owned(), Retry::SOON),
            };
            RuntimeError {
                retry,
                source: Some(Box::new(error)),
                ..RuntimeError::new(
                    RuntimeErrorKind::Alert,
                    "publish to",
                    format!("topic {topic_arn}"),
                    message,
                )
            }
        })
    }
}

fn attribute(text: &str) -> MessageAttributeValue {
    let value = MessageAttributeValue::builder()
        .data_type("String")
        .string_value(text);
    // The only required field is set.
    value.build().expect("data_type is set")
}
