//! No event is lost in silence: every delivery is retried, and what still fails is a dead letter.

use std::collections::{BTreeMap, BTreeSet};

use logisedge_domain::event::{DispatchInput, EVENT_SOURCE};
use serde_json::{Value, json};

use crate::{function_folders, logical, resources, template};

fn dead_letters() -> Value {
    json!({ "Fn::GetAtt": ["DeadLetters", "Arn"] })
}

/// Every target of every rule: the rule's name, the rule, the target.
fn targets(template: &Value) -> Vec<(&str, &Value, &Value)> {
    let mut found = Vec::new();
    for (name, rule) in resources(template, "AWS::Events::Rule") {
        for target in rule["Properties"]["Targets"].as_array().expect("targets") {
            found.push((name, rule, target));
        }
    }
    found
}

#[test]
fn every_rule_retries_and_has_a_dead_letter_queue() {
    let template = template();
    for (name, _, target) in targets(&template) {
        assert!(
            target["RetryPolicy"]["MaximumRetryAttempts"].as_u64() >= Some(1),
            "{name}"
        );
        assert!(
            target["RetryPolicy"]["MaximumEventAgeInSeconds"].as_u64() >= Some(60),
            "{name}"
        );
        assert_eq!(target["DeadLetterConfig"]["Arn"], dead_letters(), "{name}");
    }
}

#[test]
fn every_rule_may_write_to_the_dead_letter_queue_and_invoke_its_function() {
    let template = template();
    let policy = &template["Resources"]["DeadLettersPolicy"]["Properties"]["PolicyDocument"];
    let sources = &policy["Statement"][0]["Condition"]["ArnEquals"]["aws:SourceArn"];
    let permissions = resources(&template, "AWS::Lambda::Permission");
    for (name, _, target) in targets(&template) {
        let arn = json!({ "Fn::GetAtt": [name, "Arn"] });
        assert!(
            sources.as_array().is_some_and(|all| all.contains(&arn)),
            "{name}: dead letters"
        );
        let function = &target["Arn"]["Fn::GetAtt"][0];
        let permitted = permissions.iter().any(|(_, permission)| {
            let properties = &permission["Properties"];
            properties["SourceArn"] == arn && properties["FunctionName"]["Ref"] == *function
        });
        assert!(permitted, "{name} may not invoke {function}");
    }
}

#[test]
fn every_function_that_fails_leaves_a_dead_letter() {
    let template = template();
    let settings = resources(&template, "AWS::Lambda::EventInvokeConfig");
    let mut covered = BTreeSet::new();
    for (name, setting) in settings {
        let properties = &setting["Properties"];
        assert_eq!(
            properties["DestinationConfig"]["OnFailure"]["Destination"],
            dead_letters(),
            "{name}"
        );
        assert!(
            properties["MaximumRetryAttempts"].as_u64() >= Some(1),
            "{name}"
        );
        covered.insert(
            properties["FunctionName"]["Ref"]
                .as_str()
                .expect("a function"),
        );
    }
    let functions: Vec<String> = function_folders()
        .iter()
        .map(|name| logical(name))
        .collect();
    assert_eq!(covered, functions.iter().map(String::as_str).collect());
}

#[test]
fn a_dead_letter_reaches_the_dispatcher_and_one_it_cannot_read_is_kept() {
    let template = template();
    let mapping = &template["Resources"]["DeadLettersToDispatcher"]["Properties"];
    assert_eq!(mapping["EventSourceArn"], dead_letters());
    assert_eq!(mapping["FunctionName"]["Ref"], "Dispatcher");
    assert_eq!(
        mapping["FunctionResponseTypes"],
        json!(["ReportBatchItemFailures"])
    );
    let queue = &template["Resources"]["DeadLetters"]["Properties"];
    let kept = json!({ "Fn::GetAtt": ["DeadLettersKept", "Arn"] });
    assert_eq!(queue["RedrivePolicy"]["deadLetterTargetArn"], kept);
    // https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html asks for six times.
    let timeout = template["Resources"]["Dispatcher"]["Properties"]["Timeout"].as_u64();
    assert!(queue["VisibilityTimeout"].as_u64() >= timeout.map(|seconds| 6 * seconds));
}

#[test]
fn events_reach_the_function_they_are_for() {
    let template = template();
    let mut routes = BTreeMap::new();
    for (name, rule, target) in targets(&template) {
        let pattern = &rule["Properties"]["EventPattern"];
        if pattern.is_null() {
            continue;
        }
        assert_eq!(rule["Properties"]["EventBusName"]["Ref"], "Bus", "{name}");
        let source = if name == "DispatchRule" {
            "logisedge.cli"
        } else {
            EVENT_SOURCE
        };
        assert_eq!(pattern["source"], json!([source]), "{name}");
        let function = target["Arn"]["Fn::GetAtt"][0].as_str().expect("a function");
        for kind in pattern["detail-type"].as_array().expect("detail types") {
            let kind = kind.as_str().expect("a text").to_owned();
            let before = routes.insert(kind, function.to_owned());
            assert_eq!(before, None, "an event has two rules");
        }
    }
    let expected = [
        ("BackupRequested", "Backup"),
        ("DispatchRequested", "Dispatcher"),
        ("PruneRequested", "Prune"),
        ("SnapshotCommitted", "Verify"),
        ("VerifyRequested", "Verify"),
    ];
    let expected = expected.map(|(kind, function)| (kind.to_owned(), function.to_owned()));
    assert_eq!(routes, BTreeMap::from(expected));
}

#[test]
fn the_clock_says_what_the_dispatcher_reads() {
    let template = template();
    let mut said = BTreeMap::new();
    for (name, rule, target) in targets(&template) {
        if rule["Properties"]["ScheduleExpression"].is_null() {
            continue;
        }
        assert_eq!(target["Arn"]["Fn::GetAtt"][0], "Dispatcher", "{name}");
        assert!(
            rule["Properties"]["EventBusName"].is_null(),
            "schedules live on the default bus"
        );
        let input = target["Input"].as_str().expect("an input");
        let input: DispatchInput = serde_json::from_str(input).expect("the dispatcher reads it");
        said.insert(name, input);
    }
    let expected = [
        ("PruneAllRule", DispatchInput::PruneAll),
        ("TickRule", DispatchInput::Tick),
        ("VerifyAllRule", DispatchInput::VerifyAll),
    ];
    assert_eq!(said, BTreeMap::from(expected));
    let tick = &template["Resources"]["TickRule"]["Properties"]["ScheduleExpression"];
    assert_eq!(tick, "rate(1 minute)");
}
