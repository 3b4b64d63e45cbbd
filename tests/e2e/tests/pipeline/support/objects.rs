//! The bucket behind the product's back.

use aws_sdk_s3::primitives::ByteStream;

use super::stack::Stack;

impl Stack {
    pub fn s3(&self) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::config::Builder::from(&self.config).force_path_style(true);
        aws_sdk_s3::Client::from_conf(config.build())
    }

    /// The key prefix of a chain in the bucket.
    pub fn prefix(&self, chain: &str) -> String {
        format!("{}/{chain}/", self.output("BackupPrefix"))
    }

    /// The keys of current objects below a prefix.
    pub async fn keys(&self, prefix: &str) -> Vec<String> {
        let list = self
            .s3()
            .list_objects_v2()
            .bucket(self.output("BucketName"))
            .prefix(prefix);
        let mut pages = list.into_paginator().send();
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.unwrap();
            keys.extend(page.contents().iter().map(|o| o.key().unwrap().to_owned()));
        }
        keys
    }

    pub async fn get(&self, key: &str) -> Vec<u8> {
        let get = self.s3().get_object().bucket(self.output("BucketName"));
        let object = get.key(key).send().await.unwrap();
        object.body.collect().await.unwrap().to_vec()
    }

    pub async fn put(&self, key: &str, content: Vec<u8>) {
        let put = self.s3().put_object().bucket(self.output("BucketName"));
        let put = put.key(key).body(ByteStream::from(content));
        put.send().await.unwrap();
    }

    pub async fn remove(&self, key: &str) {
        let delete = self.s3().delete_object().bucket(self.output("BucketName"));
        delete.key(key).send().await.unwrap();
    }
}
