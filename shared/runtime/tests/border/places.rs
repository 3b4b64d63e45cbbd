//! Secrets, and locations that they open.

use bytes::Bytes;
use logisedge_domain::config::{LocationConfig, SecretRef};
use logisedge_storage::Put;

use crate::emulated::{emulated, text};

#[tokio::test]
async fn secrets_are_found_where_the_configuration_says() {
    let emulated = emulated().await;
    let client = aws_sdk_secretsmanager::Client::new(emulated.aws.config());
    let (plain, json) = (emulated.name("plain"), emulated.name("json"));
    for (name, value) in [
        (&plain, "s3cret"),
        (&json, r#"{"password":"s3cret","port":5432}"#),
    ] {
        client
            .create_secret()
            .name(name)
            .secret_string(value)
            .send()
            .await
            .unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password").display().to_string();
    std::fs::write(&file, "s3cret\n").unwrap();
    let read = async |reference: SecretRef| emulated.aws.secret(&reference).await;
    for reference in [
        SecretRef::Secret(plain.clone()),
        SecretRef::Secret(format!("{json}#password")),
        SecretRef::File(file.clone()),
    ] {
        let secret = read(reference).await.unwrap();
        assert_eq!(secret.expose(), "s3cret");
        assert!(!format!("{secret:?}").contains("s3cret"));
    }

    let fails = async |reference: SecretRef, own: &str| {
        let error = read(reference).await.unwrap_err();
        assert!(!error.retry.is_transient());
        assert!(!format!("{error:?}").contains("s3cret"));
        text(error, own)
    };
    let absent = emulated.name("absent");
    insta::assert_snapshot!(fails(SecretRef::Secret(absent.clone()), &absent).await, @"cannot read secret OWN of Secrets Manager: there is none of this name in region us-east-1: create it, or correct the configuration");
    insta::assert_snapshot!(fails(SecretRef::Secret(format!("{json}#user")), &json).await, @r#"cannot read secret OWN of Secrets Manager: its JSON has no text under "user""#);
    insta::assert_snapshot!(fails(SecretRef::Secret(format!("{plain}#user")), &plain).await, @"cannot read secret OWN of Secrets Manager: #user was asked for and it is not JSON");
    insta::assert_snapshot!(fails(SecretRef::Env("LOGISEDGE_NO_SUCH".to_owned()), "-").await, @"cannot read environment variable LOGISEDGE_NO_SUCH: it is not set");
    insta::assert_snapshot!(fails(SecretRef::File("/no/such/file".to_owned()), "-").await, @"cannot read file /no/such/file: No such file or directory (os error 2)");
    std::fs::write(&file, "\n").unwrap();
    insta::assert_snapshot!(fails(SecretRef::File(file.clone()), &file).await, @"cannot read file OWN: it is empty");
}

#[tokio::test]
async fn a_location_is_opened_with_its_password() {
    let emulated = emulated().await;
    let bucket = emulated.name("bucket");
    let s3 = aws_sdk_s3::config::Builder::from(emulated.aws.config()).force_path_style(true);
    let s3 = aws_sdk_s3::Client::from_conf(s3.build());
    s3.create_bucket().bucket(&bucket).send().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password").display().to_string();
    std::fs::write(&file, "s3cret").unwrap();
    let config = |bucket: &str| LocationConfig::S3 {
        bucket: bucket.to_owned(),
        prefix: "backups".to_owned(),
        region: None,
        repository_password: SecretRef::File(file.clone()),
        capacity_bytes_max: None,
        object_lock: None,
    };
    let (store, _password) = emulated.aws.open_location(&config(&bucket)).await.unwrap();
    store
        .put("a/b", Bytes::from("x"), Put::default())
        .await
        .unwrap();
    assert_eq!(store.get("a/b").await.unwrap(), "x");
    assert_eq!(store.locate("a/b"), format!("s3://{bucket}/backups/a/b"));

    let absent = emulated.name("absent");
    let (store, _password) = emulated.aws.open_location(&config(&absent)).await.unwrap();
    for error in [
        store
            .put("a", Bytes::new(), Put::default())
            .await
            .unwrap_err(),
        store.list("").await.unwrap_err(),
        store.get("a").await.unwrap_err(),
        store.head("a").await.unwrap_err(),
    ] {
        assert_eq!(
            error.kind,
            logisedge_storage::StorageErrorKind::StoreMissing,
            "{error}"
        );
    }
}
