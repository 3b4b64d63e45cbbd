//! The functions' processes and logs.

use std::fs;

use aws_sdk_cloudwatchlogs::Client;

use super::stack::Stack;

impl Stack {
    /// Everything that the functions logged.
    pub async fn logs(&self) -> Vec<String> {
        let client = Client::new(&self.config);
        let mut lines = Vec::new();
        for function in ["dispatcher", "backup", "verify", "prune"] {
            let group = format!("/aws/lambda/{}-{function}", self.name);
            let mut pages = client
                .filter_log_events()
                .log_group_name(group)
                .into_paginator()
                .send();
            while let Some(page) = pages.next().await {
                let page = page.unwrap();
                lines.extend(
                    page.events()
                        .iter()
                        .map(|event| event.message().unwrap_or_default().to_owned()),
                );
            }
        }
        lines
    }

    /// The processes that run a function now: the emulator starts its program as it is.
    pub fn processes(&self, function: &str) -> Vec<u32> {
        let name = self.output(&format!("{function}Function"));
        let wanted = format!("AWS_LAMBDA_FUNCTION_NAME={name}");
        let entries = fs::read_dir("/proc")
            .expect("/proc: this test finds the functions' processes as Linux shows them");
        entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
            .filter(|pid| {
                let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                environment
                    .split(|byte| *byte == 0)
                    .any(|variable| variable == wanted.as_bytes())
            })
            // Not what the function itself started, pg_dump for instance.
            .filter(|pid| {
                let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                command
                    .split(|byte| *byte == 0)
                    .next()
                    .is_some_and(|program| program.ends_with(b"/bootstrap"))
            })
            .collect()
    }
}
