//! What stays: nothing current expires by itself, and deleting the stack deletes no backup.

use serde_json::{Value, json};

use crate::template;

fn lifecycle(template: &Value) -> Vec<Value> {
    let bucket = &template["Resources"]["Bucket"]["Properties"];
    let rules = bucket["LifecycleConfiguration"]["Rules"].as_array();
    rules.expect("lifecycle rules").clone()
}

#[test]
fn no_lifecycle_rule_touches_a_current_object() {
    // Whatever removes or moves current objects. ExpiredObjectDeleteMarker only removes a delete
    // marker that has no version left below it.
    let forbidden = [
        "ExpirationInDays",
        "ExpirationDate",
        "Transition",
        "Transitions",
        "Expiration",
    ];
    for rule in lifecycle(&template()) {
        for property in forbidden {
            assert!(rule[property].is_null(), "{} has {property}", rule["Id"]);
        }
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
