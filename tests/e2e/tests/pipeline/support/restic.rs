//! Stock restic, the independent reader of what lies in the bucket.

use std::path::Path;
use std::process::Command;

use super::said;
use super::stack::Stack;

/// A chain, as restic sees it in the bucket itself.
pub struct Restic<'s> {
    stack: &'s Stack,
    repository: String,
    password: String,
}

impl<'s> Restic<'s> {
    pub async fn of(stack: &'s Stack, chain: &str) -> Self {
        let endpoint = std::env::var("AWS_ENDPOINT_URL").unwrap();
        let bucket = stack.output("BucketName");
        let prefix = stack.prefix(chain);
        Self {
            stack,
            repository: format!("s3:{endpoint}/{bucket}/{}", prefix.trim_end_matches('/')),
            password: stack.repository_password().await,
        }
    }

    pub fn run(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("restic");
        command
            .args(["--no-cache", "--no-lock", "-r", &self.repository])
            .args(arguments)
            .env("RESTIC_PASSWORD", &self.password)
            .env("HOME", self.stack.path(""));
        said(&mut command)
    }

    /// Reads everything back.
    pub fn check(&self) {
        let said = self.run(&["check", "--read-data"]);
        assert!(said.contains("no errors were found"), "{said}");
    }

    /// Restores the newest snapshot of the chain into a folder.
    pub fn restore(&self, into: &Path) {
        self.restore_snapshot("latest", into);
    }

    /// Restores a snapshot into a folder.
    pub fn restore_snapshot(&self, id: &str, into: &Path) {
        let into = into.display().to_string();
        self.run(&["restore", id, "--target", &into]);
    }
}
