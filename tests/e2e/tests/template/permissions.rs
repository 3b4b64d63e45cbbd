//! Who may do what: no wildcard that AWS could narrow, and the few things that nobody may do.

use std::collections::BTreeSet;

use logisedge_domain::event::EVENT_SOURCE;
use serde_json::{Value, json};

use crate::{resources, template};

/// One statement of a policy, with where it stands.
struct Statement {
    place: String,
    allows: bool,
    actions: Vec<String>,
    resources: Vec<Value>,
}

fn as_list(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items.clone(),
        other => vec![other.clone()],
    }
}

fn statements_of(place: &str, document: &Value) -> Vec<Statement> {
    let listed = document["Statement"]
        .as_array()
        .expect("a policy has statements");
    let read = |statement: &Value| Statement {
        place: format!(
            "{place}/{}",
            statement["Sid"].as_str().unwrap_or("without a Sid")
        ),
        allows: statement["Effect"] == "Allow",
        actions: as_list(&statement["Action"])
            .iter()
            .map(|action| action.as_str().expect("an action is a text").to_owned())
            .collect(),
        resources: as_list(&statement["Resource"]),
    };
    listed.iter().map(read).collect()
}

/// What a role may do: its own policies, conditional or not, and the managed ones it refers to.
fn role_statements(template: &Value, role: &str) -> Vec<Statement> {
    let properties = &template["Resources"][role]["Properties"];
    let mut statements = Vec::new();
    for policy in properties["Policies"]
        .as_array()
        .expect("a role has policies")
    {
        let policy = if policy["Fn::If"].is_null() {
            policy
        } else {
            &policy["Fn::If"][1]
        };
        let place = format!("{role}/{}", policy["PolicyName"].as_str().expect("a name"));
        statements.extend(statements_of(&place, &policy["PolicyDocument"]));
    }
    for managed in properties["ManagedPolicyArns"]
        .as_array()
        .expect("managed policies")
    {
        let name = managed["Ref"]
            .as_str()
            .expect("managed policies are the template's own");
        let document = &template["Resources"][name]["Properties"]["PolicyDocument"];
        statements.extend(statements_of(name, document));
    }
    statements
}

fn allowed(template: &Value, role: &str) -> BTreeSet<String> {
    let statements = role_statements(template, role);
    let allowing = statements.into_iter().filter(|statement| statement.allows);
    allowing.flat_map(|statement| statement.actions).collect()
}

#[test]
fn no_managed_policy_has_a_wildcard_action() {
    let template = template();
    for (name, policy) in resources(&template, "AWS::IAM::ManagedPolicy") {
        for statement in statements_of(name, &policy["Properties"]["PolicyDocument"]) {
            for action in statement.actions {
                assert!(!action.contains('*'), "{}: {action}", statement.place);
            }
        }
    }
}

#[test]
fn operators_cannot_write_or_truly_delete_backups() {
    let template = template();
    let policy = &template["Resources"]["OperatorAccess"]["Properties"]["PolicyDocument"];
    for statement in statements_of("OperatorAccess", policy) {
        for action in statement.actions {
            let forbidden = [
                "s3:PutObject",
                "s3:DeleteObjectVersion",
                "s3:PutBucketVersioning",
            ];
            assert!(!forbidden.contains(&action.as_str()), "{action}");
        }
    }
}

#[test]
fn who_holds_and_brings_back_cannot_truly_delete() {
    let template = template();
    let policy = &template["Resources"]["KeeperAccess"]["Properties"]["PolicyDocument"];
    let statements = statements_of("KeeperAccess", policy);
    let s3: BTreeSet<&str> = statements
        .iter()
        .flat_map(|statement| statement.actions.iter().map(String::as_str))
        .filter(|action| action.starts_with("s3:"))
        .collect();
    assert_eq!(
        s3,
        BTreeSet::from([
            "s3:GetObjectVersion",
            "s3:GetObjectVersionTagging",
            "s3:ListBucketVersions",
            "s3:PutObject",
            "s3:PutObjectTagging"
        ])
    );
}

#[test]
fn prune_cannot_touch_holds() {
    let template = template();
    let statements = role_statements(&template, "PruneRole");
    let denied = statements
        .iter()
        .find(|statement| statement.place.ends_with("/NeverTouchHolds"));
    let denied = denied.expect("a statement about holds");
    assert!(!denied.allows);
    assert_eq!(denied.actions, ["s3:DeleteObject", "s3:PutObject"]);
    assert_eq!(
        denied.resources,
        [json!({ "Fn::Sub": "${Bucket.Arn}/${BackupPrefix}/*/holds/*" })]
    );
}

#[test]
fn no_role_has_a_wildcard_action() {
    let template = template();
    for (role, _) in resources(&template, "AWS::IAM::Role") {
        for statement in role_statements(&template, role) {
            for action in statement.actions {
                assert!(!action.contains('*'), "{}: {action}", statement.place);
            }
        }
    }
}

#[test]
fn only_network_interfaces_are_allowed_on_every_resource() {
    let template = template();
    for (role, _) in resources(&template, "AWS::IAM::Role") {
        for statement in role_statements(&template, role) {
            if !statement.allows || statement.place.ends_with("/NetworkInterfaces") {
                continue;
            }
            for resource in statement.resources {
                assert_ne!(resource, "*", "{} allows every resource", statement.place);
                // Below a bucket's prefix a wildcard is what a prefix means, and of topics it ends the
                // name that the README promises; it is neither elsewhere.
                if let Some(text) = resource["Fn::Sub"]
                    .as_str()
                    .filter(|text| text.contains('*'))
                {
                    let topics = "arn:${AWS::Partition}:sns:${AWS::Region}:${AWS::AccountId}:\
                                  ${AWS::StackName}-alerts-*";
                    let promised = match statement.place.ends_with("/Alert") {
                        true => topics,
                        false => "${Bucket.Arn}/${BackupPrefix}/*",
                    };
                    assert_eq!(text, promised, "{}", statement.place);
                }
            }
        }
    }
}

#[test]
fn network_interfaces_are_for_lambda_and_not_for_the_code() {
    let template = template();
    let statements = role_statements(&template, "BackupRole");
    let of = |sid: &str| {
        let found = statements
            .iter()
            .find(|statement| statement.place.ends_with(sid));
        found.unwrap_or_else(|| panic!("BackupRole has no statement {sid}"))
    };
    let (granted, denied) = (of("/NetworkInterfaces"), of("/NotForTheCodeItself"));
    assert!(granted.allows && !denied.allows);
    assert_eq!(granted.actions, denied.actions);
}

#[test]
fn each_function_reaches_the_backups_as_far_as_it_must() {
    let template = template();
    let reach = |role: &str| -> Vec<String> {
        let actions = allowed(&template, role);
        actions
            .into_iter()
            .filter(|action| action.starts_with("s3:"))
            .collect()
    };
    assert_eq!(reach("DispatcherRole"), Vec::<String>::new());
    assert_eq!(
        reach("BackupRole"),
        [
            "s3:GetObject",
            "s3:GetObjectRetention",
            "s3:ListBucket",
            "s3:PutObject",
            "s3:PutObjectRetention",
            "s3:PutObjectTagging"
        ]
    );
    assert_eq!(reach("VerifyRole"), ["s3:GetObject", "s3:ListBucket"]);
    assert_eq!(
        reach("PruneRole"),
        [
            "s3:DeleteObject",
            "s3:GetObject",
            "s3:GetObjectRetention",
            "s3:ListBucket",
            "s3:PutObject",
            "s3:PutObjectRetention"
        ]
    );
}

#[test]
fn only_who_opens_repositories_gets_their_password() {
    let template = template();
    let may = |role: &str| allowed(&template, role).contains("secretsmanager:GetSecretValue");
    assert!(may("BackupRole") && may("VerifyRole") && may("PruneRole"));
    assert!(!may("DispatcherRole"));
}

#[test]
fn prune_is_denied_the_deletion_of_versions() {
    let template = template();
    let statements = role_statements(&template, "PruneRole");
    let denied: Vec<&str> = statements
        .iter()
        .filter(|statement| !statement.allows)
        .flat_map(|statement| statement.actions.iter().map(String::as_str))
        .collect();
    for action in [
        "s3:BypassGovernanceRetention",
        "s3:DeleteObjectVersion",
        "s3:PutBucketVersioning",
        "s3:PutLifecycleConfiguration",
    ] {
        assert!(denied.contains(&action), "PruneRole is not denied {action}");
    }
}

#[test]
fn nobody_can_end_a_lock_before_its_time() {
    let template = template();
    let roles = resources(&template, "AWS::IAM::Role");
    let of_roles = roles
        .into_iter()
        .map(|(role, _)| (role.to_owned(), allowed(&template, role)));
    let policies = resources(&template, "AWS::IAM::ManagedPolicy");
    let of_policies = policies.into_iter().map(|(name, policy)| {
        let statements = statements_of(name, &policy["Properties"]["PolicyDocument"]);
        let allowing = statements.into_iter().filter(|statement| statement.allows);
        let actions = allowing.flat_map(|statement| statement.actions);
        (name.to_owned(), actions.collect())
    });
    let who: Vec<(String, BTreeSet<String>)> = of_roles.chain(of_policies).collect();
    let may = |action: &str| -> BTreeSet<&str> {
        let able = who.iter().filter(|(_, actions)| actions.contains(action));
        able.map(|(name, _)| name.as_str()).collect()
    };
    assert_eq!(may("s3:BypassGovernanceRetention"), BTreeSet::new());
    assert_eq!(may("s3:PutBucketObjectLockConfiguration"), BTreeSet::new());
    assert_eq!(
        may("s3:PutObjectRetention"),
        BTreeSet::from(["BackupRole", "PruneRole"])
    );
}

#[test]
fn prune_can_make_no_snapshot_visible_and_no_key() {
    let template = template();
    let statements = role_statements(&template, "PruneRole");
    let denied: Vec<&str> = statements
        .iter()
        .filter(|statement| !statement.allows && statement.actions == ["s3:PutObject"])
        .flat_map(|statement| &statement.resources)
        .filter_map(|resource| resource["Fn::Sub"].as_str())
        .collect();
    for name in ["snapshots/*", "keys/*", "config"] {
        let resource = format!("${{Bucket.Arn}}/${{BackupPrefix}}/*/{name}");
        assert!(
            denied.contains(&resource.as_str()),
            "PruneRole may write {name}"
        );
    }
}

#[test]
fn no_function_administers_what_it_uses() {
    let template = template();
    for (role, _) in resources(&template, "AWS::IAM::Role") {
        for action in allowed(&template, role) {
            let (service, verb) = action.split_once(':').expect("service:action");
            let administers = ["Create", "Delete", "Put", "Update", "Tag", "Set", "Attach"]
                .iter()
                .any(|start| verb.starts_with(start));
            let daily = [
                "dynamodb:BatchWriteItem",
                "dynamodb:DeleteItem",
                "dynamodb:PutItem",
                "dynamodb:UpdateItem",
                "events:PutEvents",
                "logs:CreateLogStream",
                "logs:PutLogEvents",
                "s3:DeleteObject",
                "s3:PutObject",
                // Which without s3:BypassGovernanceRetention only makes a lock longer.
                "s3:PutObjectRetention",
                "s3:PutObjectTagging",
                "sqs:DeleteMessage",
            ];
            assert!(
                !administers || service == "ec2" || daily.contains(&action.as_str()),
                "{role} may {action}"
            );
        }
    }
}

#[test]
fn functions_publish_the_products_events_on_its_bus_and_nothing_else() {
    let template = template();
    let outbox = &template["Resources"]["OutboxAccess"]["Properties"]["PolicyDocument"];
    let publish = &outbox["Statement"][0];
    assert_eq!(publish["Action"], "events:PutEvents");
    assert_eq!(publish["Resource"], json!({ "Fn::GetAtt": ["Bus", "Arn"] }));
    let condition = &publish["Condition"]["StringEquals"];
    assert_eq!(condition["events:source"], EVENT_SOURCE);
    let listed = as_list(&condition["events:detail-type"]);
    let allowed: BTreeSet<&str> = listed.iter().filter_map(Value::as_str).collect();
    let ours = [
        "BackupRequested",
        "PruneRequested",
        "SnapshotCommitted",
        "VerifyRequested",
    ];
    assert_eq!(allowed, BTreeSet::from(ours));
}

#[test]
fn the_bucket_answers_over_tls_only() {
    let template = template();
    let policy = &template["Resources"]["BucketPolicy"]["Properties"];
    assert_eq!(policy["Bucket"]["Ref"], "Bucket");
    let statements = policy["PolicyDocument"]["Statement"]
        .as_array()
        .expect("statements");
    let tls = statements
        .iter()
        .find(|s| s["Condition"]["Bool"]["aws:SecureTransport"] == "false")
        .expect("a statement about TLS");
    assert_eq!(tls["Effect"], "Deny");
    assert_eq!(tls["Principal"], "*");
    assert_eq!(tls["Action"], "s3:*");
    assert_eq!(
        tls["Resource"].as_array().map(Vec::len),
        Some(2),
        "the bucket and its objects"
    );
}

#[test]
fn nobody_outside_reaches_the_bucket() {
    let template = template();
    let block = &template["Resources"]["Bucket"]["Properties"]["PublicAccessBlockConfiguration"];
    for setting in [
        "BlockPublicAcls",
        "BlockPublicPolicy",
        "IgnorePublicAcls",
        "RestrictPublicBuckets",
    ] {
        assert_eq!(block[setting], true, "{setting}");
    }
}

#[test]
fn only_rules_of_the_stack_and_the_operators_own_may_invoke() {
    let template = template();
    for (name, permission) in resources(&template, "AWS::Lambda::Permission") {
        let properties = &permission["Properties"];
        assert_eq!(properties["Principal"], "events.amazonaws.com", "{name}");
        let source = &properties["SourceArn"];
        let of_the_stack = source["Fn::GetAtt"][0]
            .as_str()
            .is_some_and(|rule| template["Resources"][rule]["Type"] == "AWS::Events::Rule");
        let operators_own = source["Fn::Sub"]
            .as_str()
            .is_some_and(|arn| arn.ends_with(":rule/${AWS::StackName}-own-*"));
        assert!(of_the_stack || operators_own, "{name} lets anybody invoke");
    }
}
