//! What stays: nothing current expires by itself, and deleting the stack deletes no backup.

use logisedge_domain::prices::StorageClass;
use logisedge_domain::storage::{StorageTier, Transitions};
use serde_json::{Value, json};

use crate::template;

fn lifecycle(template: &Value) -> Vec<Value> {
    let bucket = &template["Resources"]["Bucket"]["Properties"];
    let rules = bucket["LifecycleConfiguration"]["Rules"].as_array();
    rules.expect("lifecycle rules").clone()
}

/// An object of a chain, as it is written: what it is, and its tag, if it has one.
type Object = (&'static str, Option<(&'static str, &'static str)>);

/// Every kind of object that a chain has (`shared/repository/FORMAT.md`). Only packs of rows are tagged.
fn layout() -> Vec<Object> {
    let mut objects: Vec<Object> = ["config", "key", "index file", "snapshot", "hold", "lock"]
        .into_iter()
        .chain(["pack of trees", "pack of small files"])
        .map(|object| (object, None))
        .collect();
    for tier in [
        StorageTier::Standard,
        StorageTier::Cold,
        StorageTier::Archive,
    ] {
        let tag = (!tier.is_standard()).then_some((StorageTier::TAG, tier.as_str()));
        objects.push(("pack of rows", tag));
    }
    objects
}

/// Whether a rule is about an object. A rule without a filter is about all of the bucket.
fn is_about(rule: &Value, (_, tag): &Object) -> bool {
    assert!(
        rule["Prefix"].is_null(),
        "what lies under it is to be modelled here"
    );
    let filters = rule["TagFilters"].as_array();
    filters.into_iter().flatten().all(|filter| {
        tag.is_some_and(|(key, value)| filter["Key"] == key && filter["Value"] == value)
    })
}

#[test]
fn no_lifecycle_rule_can_expire_what_a_kept_snapshot_needs() {
    // A kept snapshot needs current objects alone: prune leaves them, so they have no marker above them.
    // What is left are rules about old versions, markers without a version, and unfinished uploads.
    let known = [
        "Id",
        "Status",
        "TagFilters",
        "Transitions",
        "NoncurrentVersionExpiration",
        "ExpiredObjectDeleteMarker",
        "AbortIncompleteMultipartUpload",
    ];
    for rule in lifecycle(&template()) {
        for (property, _) in rule.as_object().expect("a rule") {
            assert!(
                known.contains(&property.as_str()),
                "{} has {property}",
                rule["Id"]
            );
        }
    }
}

#[test]
fn only_packs_of_rows_of_tagged_schedules_change_their_class() {
    let rules = lifecycle(&template());
    for object in layout() {
        let moved: Vec<&Value> = rules
            .iter()
            .filter(|rule| !rule["Transitions"].is_null() && is_about(rule, &object))
            .map(|rule| &rule["Transitions"])
            .collect();
        let (class, days) = match object.1 {
            None => {
                assert!(moved.is_empty(), "{}: {moved:?}", object.0);
                continue;
            }
            Some((_, "cold")) => ("ColdClass", "ColdAfterDays"),
            Some(_) => ("ArchiveClass", "ArchiveAfterDays"),
        };
        let expected = json!([{
            "StorageClass": { "Ref": class },
            "TransitionInDays": { "Ref": days },
        }]);
        assert_eq!(moved, [&expected], "{object:?}");
    }
}

#[test]
fn the_classes_are_those_that_can_be_read_at_once_and_those_that_cannot() {
    let template = template();
    for (parameter, archived) in [("ColdClass", false), ("ArchiveClass", true)] {
        let allowed = template["Parameters"][parameter]["AllowedValues"].clone();
        let allowed = allowed.as_array().cloned().expect("allowed values");
        assert!(!allowed.is_empty());
        for name in allowed {
            let class = StorageClass::named(name.as_str().expect("a name"));
            assert_eq!(class.map(|class| class.archived), Some(archived), "{name}");
        }
    }
}

/// `retention preview` reckons with these unless it is told others.
#[test]
fn previews_know_where_rows_go_and_when() {
    let parameters = template()["Parameters"].clone();
    let transitions = Transitions::default();
    for (tier, moves) in [("Cold", transitions.cold), ("Archive", transitions.archive)] {
        let default = |of: &str| parameters[format!("{tier}{of}")]["Default"].clone();
        assert_eq!(default("Class"), moves.class.name);
        assert_eq!(default("AfterDays"), moves.after_days);
    }
}

#[test]
fn pruned_bytes_go_after_the_grace_days_and_stale_uploads_after_seven() {
    let rules = lifecycle(&template());
    assert!(rules.iter().all(|rule| rule["Status"] == "Enabled"));
    let grace = json!({ "NoncurrentDays": { "Ref": "GraceDays" } });
    assert!(
        rules
            .iter()
            .any(|rule| rule["NoncurrentVersionExpiration"] == grace)
    );
    let stale = json!({ "DaysAfterInitiation": 7 });
    assert!(
        rules
            .iter()
            .any(|rule| rule["AbortIncompleteMultipartUpload"] == stale)
    );
}

#[test]
fn a_delete_leaves_the_version() {
    let template = template();
    let bucket = &template["Resources"]["Bucket"]["Properties"];
    assert_eq!(bucket["VersioningConfiguration"]["Status"], "Enabled");
}

#[test]
fn object_lock_is_on_where_a_new_stack_asks_for_it_and_never_off() {
    let template = template();
    let bucket = &template["Resources"]["Bucket"]["Properties"];
    // From absent to false would be a change, and every change of it replaces the bucket.
    let on = json!({ "Fn::If": ["HasObjectLock", true, { "Ref": "AWS::NoValue" }] });
    assert_eq!(bucket["ObjectLockEnabled"], on);
    let asked = json!({ "Fn::Equals": [{ "Ref": "EnableObjectLock" }, "true"] });
    assert_eq!(template["Conditions"]["HasObjectLock"], asked);
    assert_eq!(
        template["Parameters"]["EnableObjectLock"]["Default"],
        "false"
    );
}

#[test]
fn what_holds_or_opens_backups_outlives_the_stack() {
    let template = template();
    for name in [
        "Bucket",
        "BucketPolicy",
        "Table",
        "Key",
        "RepositorySecret",
        "DatabaseSecret",
    ] {
        let resource = &template["Resources"][name];
        assert_eq!(resource["DeletionPolicy"], "Retain", "{name}");
        assert_eq!(resource["UpdateReplacePolicy"], "Retain", "{name}");
    }
}

#[test]
fn the_catalog_can_be_wound_back_and_not_deleted_by_mistake() {
    let template = template();
    let table = &template["Resources"]["Table"]["Properties"];
    assert_eq!(
        table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"],
        true
    );
    assert_eq!(table["DeletionProtectionEnabled"], true);
    assert_eq!(table["BillingMode"], "PAY_PER_REQUEST");
}

#[test]
fn the_catalogs_indexes_are_those_that_its_queries_may_use() {
    let template = template();
    let table = &template["Resources"]["Table"]["Properties"];
    let statements =
        &template["Resources"]["CatalogAccess"]["Properties"]["PolicyDocument"]["Statement"];
    let queries = statements
        .as_array()
        .and_then(|all| all.iter().find(|s| s["Action"] == "dynamodb:Query"));
    let queried = queries.expect("a statement on queries")["Resource"].to_string();
    let indexes = table["GlobalSecondaryIndexes"].as_array().expect("indexes");
    for index in indexes {
        let name = index["IndexName"].as_str().expect("a name");
        assert!(
            queried.contains(&format!("/index/{name}\"")),
            "no role may query {name}"
        );
        assert_eq!(index["Projection"]["ProjectionType"], "ALL", "{name}");
    }
}

#[test]
fn everything_at_rest_is_encrypted_with_kms() {
    let template = template();
    let resources = &template["Resources"];
    let key = json!({ "Fn::GetAtt": ["Key", "Arn"] });
    let bucket = &resources["Bucket"]["Properties"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        [0];
    assert_eq!(
        bucket["ServerSideEncryptionByDefault"]["SSEAlgorithm"],
        "aws:kms"
    );
    assert_eq!(
        bucket["ServerSideEncryptionByDefault"]["KMSMasterKeyID"],
        key
    );
    assert_eq!(
        bucket["BucketKeyEnabled"], true,
        "one KMS request an object costs more than storing it"
    );
    assert_eq!(
        resources["Table"]["Properties"]["SSESpecification"]["SSEType"],
        "KMS"
    );
    assert_eq!(resources["Topic"]["Properties"]["KmsMasterKeyId"], key);
    assert_eq!(resources["RepositorySecret"]["Properties"]["KmsKeyId"], key);
    assert_eq!(resources["DatabaseSecret"]["Properties"]["KmsKeyId"], key);
    assert_eq!(resources["Key"]["Properties"]["EnableKeyRotation"], true);
}
