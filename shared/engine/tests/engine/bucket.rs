//! A versioned bucket of a test's own on the emulator that `AWS_ENDPOINT_URL` names.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;

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
    let host = endpoint().replace("http://", "");
    let mut stream = TcpStream::connect(&host).unwrap();
    let length = body.len();
    write!(
        stream,
        "{line} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 20"), "{line}: {answer}");
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

    /// A world whose location is the bucket.
    pub(crate) async fn world(&self, more: &str) -> World {
        World {
            store: self.store.clone(),
            ..World::with(more).await
        }
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
