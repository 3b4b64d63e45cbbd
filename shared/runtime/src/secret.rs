//! Secrets: found where the configuration says, held as briefly as possible, shown never.

use std::fmt;

use aws_sdk_secretsmanager::config::http::HttpResponse;
use aws_sdk_secretsmanager::error::SdkError;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use logisedge_domain::config::SecretRef;

use crate::passing::retry_of;
use crate::{Aws, RuntimeError, RuntimeErrorKind};

/// A password. Shows nothing when printed, and is overwritten when dropped.
pub struct Secret(zeroize::Zeroizing<String>);

impl Secret {
    fn new(text: String) -> Self {
        Self(zeroize::Zeroizing::new(text))
    }

    /// The password itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Aws {
    /// Reads a secret from where `reference` says it lies.
    pub async fn secret(&self, reference: &SecretRef) -> Result<Secret, RuntimeError> {
        let (object, text) = match reference {
            SecretRef::Env(name) => (
                format!("environment variable {name}"),
                std::env::var(name).map_err(|_| {
                    failed(
                        format!("environment variable {name}"),
                        "it is not set",
                        None,
                    )
                })?,
            ),
            SecretRef::File(path) => {
                let object = format!("file {path}");
                let text = std::fs::read_to_string(path)
                    .map_err(|e| failed(object.clone(), e.to_string(), Some(Box::new(e))))?;
                (object, text.trim_end_matches(['\r', '\n']).to_owned())
            }
            SecretRef::Secret(name) => (
                format!("secret {name} of Secrets Manager"),
                self.managed_secret(name).await?,
            ),
        };
        if text.is_empty() {
            return Err(failed(object, "it is empty", None));
        }
        Ok(Secret::new(text))
    }

    /// `name`, or `name#key` for one value of a secret that is a JSON object.
    async fn managed_secret(&self, reference: &str) -> Result<String, RuntimeError> {
        let (name, key) = match reference.split_once('#') {
            Some((name, key)) => (name, Some(key)),
            None => (reference, None),
        };
        let object = format!("secret {name} of Secrets Manager");
        let answer = self
            .secrets()
            .get_secret_value()
            .secret_id(name)
            .send()
            .await;
        let answer = answer.map_err(|error| refused(&object, &self.region(), error))?;
        let Some(text) = answer.secret_string else {
            return Err(failed(
                object,
                "it is binary: store the password as text",
                None,
            ));
        };
        let Some(key) = key else { return Ok(text) };
        let value: serde_json::Value = serde_json::from_str(&text).map_err(|_| {
            failed(
                object.clone(),
                format!("#{key} was asked for and it is not JSON"),
                None,
            )
        })?;
        match value.get(key).and_then(serde_json::Value::as_str) {
            Some(text) => Ok(text.to_owned()),
            None => Err(failed(
                object,
                format!("its JSON has no text under {key:?}"),
                None,
            )),
        }
    }

    fn region(&self) -> String {
        self.config()
            .region()
            .map_or("(none is configured)".to_owned(), ToString::to_string)
    }
}

pub(crate) fn refused(
    object: &str,
    region: &str,
    error: SdkError<GetSecretValueError, HttpResponse>,
) -> RuntimeError {
    let message = match error.as_service_error() {
        Some(e) if e.is_resource_not_found_exception() => format!(
            "there is none of this name in region {region}: create it, or correct the configuration"
        ),
        Some(e) if e.meta().code() == Some("AccessDeniedException") => {
            "the role needs secretsmanager:GetSecretValue on it (and kms:Decrypt on its key)"
                .to_owned()
        }
        Some(e) => {
            let told = e.meta().message();
            told.unwrap_or("the service refused").to_owned()
        }
        None => "Secrets Manager did not answer: check the network and the credentials".to_owned(),
    };
    RuntimeError {
        retry: retry_of(&error),
        ..failed(object.to_owned(), message, Some(Box::new(error)))
    }
}

fn failed(
    object: String,
    message: impl Into<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
) -> RuntimeError {
    RuntimeError {
        source,
        ..RuntimeError::new(RuntimeErrorKind::Secret, "read", object, message)
    }
}
