//! Sending alerts through SNS, each device its own form of the text.

use aws_sdk_sns::config::http::HttpResponse;
use aws_sdk_sns::error::SdkError;
use aws_sdk_sns::operation::publish::PublishError;
use aws_sdk_sns::types::MessageAttributeValue;
use logisedge_domain::alert::Alert;

use crate::passing::retry_of;
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
        let answer = request.send().await;
        answer.map_err(|error| refused(topic_arn, error))?;
        Ok(())
    }
}

pub(crate) fn refused(
    topic_arn: &str,
    error: SdkError<PublishError, HttpResponse>,
) -> RuntimeError {
    let message = match error.as_service_error() {
        Some(e) if e.is_authorization_error_exception() => {
            "the role needs sns:Publish on it (and kms:GenerateDataKey on its key)"
        }
        Some(e) if e.is_not_found_exception() => "there is no such topic",
        Some(e) => e.meta().message().unwrap_or("the service refused"),
        None => "SNS did not answer",
    };
    let (object, message) = (format!("topic {topic_arn}"), message.to_owned());
    RuntimeError {
        retry: retry_of(&error),
        source: Some(Box::new(error)),
        ..RuntimeError::new(RuntimeErrorKind::Alert, "publish to", object, message)
    }
}

fn attribute(text: &str) -> MessageAttributeValue {
    let value = MessageAttributeValue::builder()
        .data_type("String")
        .string_value(text);
    // The only required field is set.
    value.build().expect("data_type is set")
}
