//! What watches the watchers: alarms for what the product cannot tell of itself.

use serde_json::{Value, json};

use crate::{function_folders, logical, resources, root, template};

/// The alarms on a metric, for one value of the dimension that it is split by.
fn alarms_on<'t>(template: &'t Value, metric: &str, dimension: &Value) -> Vec<&'t Value> {
    resources(template, "AWS::CloudWatch::Alarm")
        .into_iter()
        .map(|(_, alarm)| &alarm["Properties"])
        .filter(|alarm| {
            alarm["MetricName"] == metric && alarm["Dimensions"][0]["Value"] == *dimension
        })
        .collect()
}

#[test]
fn every_alarm_tells_the_topic_and_says_what_to_do() {
    let template = template();
    for (name, alarm) in resources(&template, "AWS::CloudWatch::Alarm") {
        let properties = &alarm["Properties"];
        assert_eq!(
            properties["AlarmActions"],
            json!([{ "Ref": "Topic" }]),
            "{name}"
        );
        let text = properties["AlarmDescription"].as_str().expect("a text");
        assert!(
            text.matches('.').count() >= 2,
            "{name} says what happened, not what to do: {text}"
        );
        assert!(properties["TreatMissingData"].is_string(), "{name}");
    }
}

#[test]
fn each_function_is_watched_for_errors_throttles_and_its_timeout() {
    let template = template();
    for function in function_folders() {
        let dimension = json!({ "Ref": logical(&function) });
        for metric in ["Errors", "Throttles"] {
            let alarms = alarms_on(&template, metric, &dimension);
            assert_eq!(alarms.len(), 1, "{function}: {metric}");
            assert_eq!(alarms[0]["Threshold"], 0, "{function}: {metric}");
        }
        let duration = alarms_on(&template, "Duration", &dimension);
        assert_eq!(duration.len(), 1, "{function}: Duration");
        let resource = &template["Resources"][logical(&function)]["Properties"];
        let timeout_ms = resource["Timeout"].as_u64().map(|seconds| seconds * 1000);
        let threshold = duration[0]["Threshold"].as_u64();
        assert!(
            threshold < timeout_ms,
            "{function}: it is ended before the alarm is raised"
        );
        assert!(
            threshold >= timeout_ms.map(|ms| ms / 10 * 8),
            "{function}: it alarms too early"
        );
    }
}

#[test]
fn a_dispatcher_that_nobody_wakes_is_noticed() {
    let template = template();
    let silent = alarms_on(&template, "Invocations", &json!({ "Ref": "Dispatcher" }));
    assert_eq!(silent.len(), 1);
    assert_eq!(
        silent[0]["TreatMissingData"], "breaching",
        "silence has no data"
    );
    assert_eq!(silent[0]["ComparisonOperator"], "LessThanThreshold");
    let seconds = silent[0]["Period"]
        .as_u64()
        .zip(silent[0]["EvaluationPeriods"].as_u64());
    assert_eq!(seconds.map(|(period, count)| period * count), Some(15 * 60));
}

#[test]
fn dead_letters_that_stay_are_noticed() {
    let template = template();
    for queue in ["DeadLetters", "DeadLettersKept"] {
        let dimension = json!({ "Fn::GetAtt": [queue, "QueueName"] });
        let alarms = alarms_on(&template, "ApproximateNumberOfMessagesVisible", &dimension);
        assert_eq!(alarms.len(), 1, "{queue}");
        assert_eq!(alarms[0]["Threshold"], 0, "{queue}");
    }
}

/// The outbox delivers alerts, so it cannot be what tells that it does not.
#[test]
fn an_outbox_that_delivers_nothing_is_noticed() {
    let template = template();
    let filter = &template["Resources"]["OutboxStuckLines"]["Properties"];
    assert_eq!(filter["LogGroupName"]["Ref"], "DispatcherLogs");
    let pattern = filter["FilterPattern"].as_str().expect("a pattern");
    let words = pattern.split('"').nth(1).expect("words in quotes");
    let source = root().join("shared/runtime/src/serve.rs");
    let source = std::fs::read_to_string(source).expect("the source can be read");
    assert!(
        source.contains(&format!("\"{words}\"")),
        "nothing logs {words:?}"
    );
    let metric = &filter["MetricTransformations"][0];
    let alarm = &template["Resources"]["OutboxStuck"]["Properties"];
    assert_eq!(alarm["MetricName"], metric["MetricName"]);
    assert_eq!(alarm["Namespace"], metric["MetricNamespace"]);
    assert_eq!(alarm["Threshold"], 0);
}
