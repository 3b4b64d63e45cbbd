//! A stack of this test's own: infra/template.yaml, deployed to the emulator with the real programs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use aws_sdk_lambda::primitives::Blob;
use serde_json::Value;

use super::{program, said, unused};

/// Functions, bus, catalog, bucket and topic under a name of their own.
pub struct Stack {
    pub name: String,
    outputs: BTreeMap<String, String>,
    pub config: SdkConfig,
    folder: tempfile::TempDir,
}

impl Stack {
    /// Deploys as an operator does, with `local-emulation/deploy-local`.
    pub async fn deploy(what: &str) -> Self {
        Self::deploy_with(what, &[]).await
    }

    /// The same with template parameters `NAME=VALUE`. Its daily rules never fire by themselves: tests that run at
    /// that time of day would find more done than they did.
    pub async fn deploy_with(what: &str, parameters: &[&str]) -> Self {
        assert!(
            std::env::var_os("AWS_ENDPOINT_URL").is_some(),
            "AWS_ENDPOINT_URL is not set: start the tests with tests/run, which starts an AWS emulator"
        );
        let name = unused(what);
        let folder = tempfile::tempdir().unwrap();
        let outputs = folder.path().join("outputs.json");
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut command = Command::new(root.join("local-emulation/deploy-local"));
        command
            .args(["--stack", &name, "--outputs"])
            .arg(&outputs)
            .arg("--programs")
            .arg(program("backup").parent().unwrap());
        let never =
            ["Verify", "Prune"].map(|what| format!("{what}AllSchedule=cron(0 0 1 1 ? 2199)"));
        for parameter in never
            .iter()
            .map(String::as_str)
            .chain(parameters.iter().copied())
        {
            command.args(["--parameter", parameter]);
        }
        said(&mut command);
        let outputs = serde_json::from_slice(&std::fs::read(&outputs).unwrap()).unwrap();
        let http = aws_smithy_http_client::Builder::new().build_http();
        let config = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .load()
            .await;
        Self {
            name,
            outputs,
            config,
            folder,
        }
    }

    /// An output of the stack.
    pub fn output(&self, name: &str) -> &str {
        self.outputs
            .get(name)
            .unwrap_or_else(|| panic!("the stack has no output {name}"))
    }

    /// A path for a file of this test's.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file of this test's and returns its path.
    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// The password of the stack's repositories.
    pub async fn repository_password(&self) -> String {
        let secrets = aws_sdk_secretsmanager::Client::new(&self.config);
        let answer = secrets
            .get_secret_value()
            .secret_id(self.output("RepositorySecretArn"))
            .send()
            .await
            .unwrap();
        answer.secret_string().unwrap().to_owned()
    }

    /// Makes a secret of Secrets Manager and returns its name.
    pub async fn secret(&self, what: &str, value: &str) -> String {
        let secrets = aws_sdk_secretsmanager::Client::new(&self.config);
        let name = format!("{}-{what}", self.name);
        secrets
            .create_secret()
            .name(&name)
            .secret_string(value)
            .send()
            .await
            .unwrap();
        name
    }

    /// `[locations.main]` of a configuration: the stack's bucket, as the stack is deployed.
    pub fn location(&self) -> String {
        format!(
            "[locations.main]\nkind = \"s3\"\nbucket = \"{}\"\nprefix = \"{}\"\n\
             repository_password = {{ secret = \"{}\" }}\n",
            self.output("BucketName"),
            self.output("BackupPrefix"),
            self.output("RepositorySecretArn"),
        )
    }

    /// A configuration of one SQLite file, each scope a pattern of tables, and the schedule `rare`, which is
    /// never due by itself.
    pub fn sqlite_config(&self, file: &Path, scopes: &[(&str, &str)], keep: &str) -> String {
        let mut text = format!(
            "version = 1\ntime_zone = \"UTC\"\n[sources.erp]\nkind = \"sqlite\"\npath = \"{}\"\n{}",
            file.display(),
            self.location()
        );
        for (scope, pattern) in scopes {
            text += &format!("[scopes.{scope}]\nsource = \"erp\"\ninclude = [\"{pattern}\"]\n");
        }
        let names: Vec<&str> = scopes.iter().map(|(name, _)| *name).collect();
        text + &rare(&names, keep)
    }

    /// Invokes a function and waits for its answer. `function` is `Dispatcher`, `Backup`, …
    pub async fn invoke(&self, function: &str, payload: &Value) -> Value {
        let (error, value) = self.answer(function, payload).await;
        assert_eq!(error, None, "{function} failed on {payload}: {value}");
        value
    }

    /// Invokes a function that fails, which makes Lambda try an event again, and returns why.
    pub async fn invoke_failing(&self, function: &str, payload: &Value) -> String {
        let (error, value) = self.answer(function, payload).await;
        assert!(error.is_some(), "{function} did not fail: {value}");
        value.to_string()
    }

    async fn answer(&self, function: &str, payload: &Value) -> (Option<String>, Value) {
        let lambda = aws_sdk_lambda::Client::new(&self.config);
        let answer = lambda
            .invoke()
            .function_name(self.output(&format!("{function}Function")))
            .payload(Blob::new(payload.to_string()))
            .send()
            .await
            .unwrap();
        let payload = answer.payload().map(Blob::as_ref).unwrap_or_default();
        let value: Value = serde_json::from_slice(payload).unwrap_or_default();
        (answer.function_error, value)
    }

    /// Lets a function live for so many seconds.
    pub async fn give_time(&self, function: &str, seconds: i32) {
        let lambda = aws_sdk_lambda::Client::new(&self.config);
        let change = lambda
            .update_function_configuration()
            .function_name(self.output(&format!("{function}Function")))
            .timeout(seconds);
        change.send().await.unwrap();
    }

    /// Puts an event on the stack's bus, as the product itself would.
    pub async fn publish(&self, detail_type: &str, detail: &str) {
        self.publish_as("logisedge.backup", detail_type, detail)
            .await;
    }

    /// Puts an event on the stack's bus.
    pub async fn publish_as(&self, source: &str, detail_type: &str, detail: &str) {
        let entry = PutEventsRequestEntry::builder()
            .event_bus_name(self.output("BusName"))
            .source(source)
            .detail_type(detail_type)
            .detail(detail)
            .build();
        let answer = aws_sdk_eventbridge::Client::new(&self.config)
            .put_events()
            .entries(entry)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.failed_entry_count(), 0);
    }

    /// Deletes the stack, so that its minute rule disturbs no other test.
    pub async fn delete(self) {
        aws_sdk_cloudformation::Client::new(&self.config)
            .delete_stack()
            .stack_name(&self.name)
            .send()
            .await
            .unwrap();
    }
}

/// `[schedules.rare]`: due on 29 February.
pub fn rare(scopes: &[&str], keep: &str) -> String {
    format!(
        "[schedules.rare]\nevery = \"year\"\ndate = \"02-29\"\nat = \"00:00\"\nscopes = {scopes:?}\n\
         location = \"main\"\nkeep = {keep}\n\
         alerts = {{ success = true, failure = true, finding = true, clean_up = true }}\n"
    )
}
