//! A versioned bucket of a test's own on the emulator that `AWS_ENDPOINT_URL` names.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;

use logisedge_domain::Instant;
use logisedge_domain::storage::StorageTier;
use logisedge_runtime::Aws;
use logisedge_storage::ObjectStore;

use crate::server::said;
use crate::world::{PASSWORD, World};

/// A bucket that keeps what is deleted.
pub(crate) struct Bucket {
    name: String,
    pub(crate) store: Arc<dyn ObjectStore>,
}

fn endpoint() -> String {
    std::env::var("AWS_ENDPOINT_URL").expect("tests/run starts an emulator and sets it")
}

/// A request to the emulator, which asks for no signature. Making buckets is no part of the product.
fn request(line: &str, body: &str) {
    let answer = ask(line, "", body);
    assert!(answer.starts_with("HTTP/1.1 20"), "{line}: {answer}");
}

fn ask(line: &str, headers: &str, body: &str) -> String {
    let host = endpoint().replace("http://", "");
    let mut stream = TcpStream::connect(&host).unwrap();
    let length = body.len();
    write!(
        stream,
        "{line} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n{headers}Connection: close\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The value of a header.
fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let of = |line: &'a str| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then_some(value.trim())
    };
    answer.lines().find_map(of)
}

impl Bucket {
    pub(crate) async fn create() -> Self {
        let name = format!("engine-{:016x}", getrandom::u64().unwrap());
        request(&format!("PUT /{name}"), "");
        let enabled = "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                       <Status>Enabled</Status></VersioningConfiguration>";
        request(&format!("PUT /{name}?versioning"), enabled);
        let store = Aws::from_env().await.bucket(&name, "", None);
        Self { name, store }
    }

    /// One whose objects can be locked.
    pub(crate) async fn lockable() -> Self {
        let name = format!("engine-{:016x}", getrandom::u64().unwrap());
        let lockable = "x-amz-bucket-object-lock-enabled: true\r\n";
        let made = ask(&format!("PUT /{name}"), lockable, "");
        assert!(made.starts_with("HTTP/1.1 20"), "{made}");
        let enabled = "<ObjectLockConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                       <ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>";
        request(&format!("PUT /{name}?object-lock"), enabled);
        let store = Aws::from_env().await.bucket(&name, "", None);
        Self { name, store }
    }

    /// Until when an object is locked.
    pub(crate) fn locked_until(&self, key: &str) -> Option<Instant> {
        let answer = ask(&format!("HEAD /{}/{key}", self.name), "", "");
        assert!(answer.starts_with("HTTP/1.1 200"), "{key}: {answer}");
        let mode = header(&answer, "x-amz-object-lock-mode")?;
        assert_eq!(mode, "GOVERNANCE", "{key}");
        let until = header(&answer, "x-amz-object-lock-retain-until-date")?;
        Some(until.parse().unwrap())
    }

    /// Whether somebody who may do anything but end locks can destroy what was deleted.
    pub(crate) async fn can_be_destroyed(&self, key: &str) -> bool {
        let deleted = self.store.list_deleted(key).await.unwrap();
        assert_eq!(deleted.len(), 1, "{key}");
        let version = &deleted[0].version;
        let line = format!("DELETE /{}/{key}?versionId={version}", self.name);
        ask(&line, "", "").starts_with("HTTP/1.1 20")
    }

    /// A world whose location is the bucket.
    pub(crate) async fn world(&self, more: &str) -> World {
        World {
            store: self.store.clone(),
            ..World::with(more).await
        }
    }

    /// Does what the template's lifecycle rules do some day, and says to what: the emulator has no
    /// midnight.
    pub(crate) async fn transition(&self, tier: StorageTier, class: &str) -> Vec<String> {
        let tag = format!("<Value>{}</Value>", tier.as_str());
        let listed = self.store.list("").await.unwrap();
        let keys = listed.into_iter().map(|meta| meta.key);
        let tagged = |key: &String| {
            let line = format!("GET /{}/{key}?tagging", self.name);
            ask(&line, "", "").contains(&tag)
        };
        let keys: Vec<String> = keys.filter(tagged).collect();
        for key in &keys {
            self.archive(key, class);
        }
        keys
    }

    /// Moves an object into a storage class.
    pub(crate) fn archive(&self, key: &str, class: &str) {
        let headers = format!(
            "x-amz-copy-source: /{name}/{key}\r\nx-amz-storage-class: {class}\r\n",
            name = self.name
        );
        let answer = ask(&format!("PUT /{}/{key}", self.name), &headers, "");
        assert!(answer.starts_with("HTTP/1.1 20"), "{key}: {answer}");
    }

    /// Deletes the bytes of a deleted object for good, as the lifecycle does after the grace days.
    pub(crate) async fn expire(&self, key: &str) {
        let deleted = self.store.list_deleted(key).await.unwrap();
        assert_eq!(deleted.len(), 1, "{key}");
        let version = &deleted[0].version;
        request(
            &format!("DELETE /{}/{key}?versionId={version}", self.name),
            "",
        );
    }

    /// Stock restic on a chain in the bucket.
    pub(crate) fn restic(&self, chain: &str, arguments: &[&str]) -> String {
        let mut command = Command::new("restic");
        let repository = format!("s3:{}/{}/{chain}", endpoint(), self.name);
        command
            .args(["--no-cache", "--no-lock", "-r", &repository])
            .args(arguments)
            .env("RESTIC_PASSWORD", PASSWORD);
        said(&mut command)
    }
}
