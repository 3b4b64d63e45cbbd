//! Promises of infra/template.yaml that no emulator enforces, held by reading it as data.

mod alarms;
mod cloudformation;
mod delivery;
mod permissions;
mod retention;

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;

/// Longest template that CloudFormation reads from S3, where infra/deploy puts it.
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html>
const TEMPLATE_BYTES_MAX: usize = 1_000_000;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn text() -> String {
    let path = root().join("infra/template.yaml");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn template() -> Value {
    cloudformation::read(&text())
}

/// Every resource of a type: its logical name and its whole definition.
fn resources<'t>(template: &'t Value, kind: &str) -> Vec<(&'t str, &'t Value)> {
    let all = template["Resources"].as_object().expect("Resources");
    let found: Vec<_> = all
        .iter()
        .filter(|(_, resource)| resource["Type"] == kind)
        .map(|(name, resource)| (name.as_str(), resource))
        .collect();
    assert!(!found.is_empty(), "the template has no {kind}");
    found
}

/// The names of the functions that the code has: the folders of functions/, but the command line.
fn function_folders() -> BTreeSet<String> {
    let entries = std::fs::read_dir(root().join("functions")).expect("functions/ can be read");
    entries
        .map(|entry| entry.expect("functions/ can be read").file_name())
        .map(|name| name.into_string().expect("folder names are UTF-8"))
        .filter(|name| name != "cli")
        .collect()
}

/// `backup` as a logical name: `Backup`.
fn logical(function: &str) -> String {
    let (first, rest) = function.split_at(1);
    format!("{}{rest}", first.to_uppercase())
}

#[test]
fn every_folder_of_functions_is_a_function_and_the_other_way_round() {
    let template = template();
    let deployed: BTreeSet<String> = resources(&template, "AWS::Lambda::Function")
        .iter()
        .map(|(_, function)| {
            let key = function["Properties"]["Code"]["S3Key"]["Fn::Sub"].as_str();
            let key = key.expect("a function's code is a key below CodePrefix");
            let file = key
                .strip_prefix("${CodePrefix}/")
                .expect("below CodePrefix");
            file.strip_suffix(".zip").expect("a zip file").to_owned()
        })
        .collect();
    assert_eq!(deployed, function_folders());
    for function in function_folders() {
        let resource = &template["Resources"][logical(&function)];
        assert_eq!(resource["Type"], "AWS::Lambda::Function", "{function}");
    }
}

#[test]
fn each_function_has_a_role_and_a_log_group_of_its_own() {
    let template = template();
    let mut roles = BTreeSet::new();
    for function in function_folders() {
        let name = logical(&function);
        let properties = &template["Resources"][&name]["Properties"];
        let role = properties["Role"]["Fn::GetAtt"][0]
            .as_str()
            .expect("a role of the template");
        assert!(
            roles.insert(role.to_owned()),
            "{name} shares the role {role}"
        );
        let logs = format!("{name}Logs");
        assert_eq!(
            properties["LoggingConfig"]["LogGroup"]["Ref"],
            logs.as_str()
        );
        let retention = &template["Resources"][&logs]["Properties"]["RetentionInDays"];
        assert_eq!(
            retention["Ref"], "LogRetentionDays",
            "{logs} is kept for ever"
        );
    }
}

#[test]
fn every_function_is_told_the_same_places() {
    let template = template();
    for (name, function) in resources(&template, "AWS::Lambda::Function") {
        let variables = function["Properties"]["Environment"]["Variables"].as_object();
        let told: Vec<&str> = variables
            .expect("variables")
            .keys()
            .map(String::as_str)
            .collect();
        let mut expected = BTreeSet::from([
            "LOGISEDGE_BUS",
            "LOGISEDGE_TABLE",
            "LOGISEDGE_TOPIC_ARN",
            "RUST_LOG",
        ]);
        if name == "Prune" {
            // What it weighs a rewritten pack with.
            expected.insert("LOGISEDGE_GRACE_DAYS");
        }
        let told: BTreeSet<&str> = told.into_iter().collect();
        assert_eq!(told, expected, "{name}");
    }
}

#[test]
fn cloudformation_can_read_the_template_from_s3() {
    let bytes = text().len();
    assert!(bytes <= TEMPLATE_BYTES_MAX, "it has {bytes} bytes");
}
