//! PostgreSQL over TLS: every sslmode means what libpq means by it, for our connections and for
//! `pg_dump` alike. Starts a server of its own with certificates made by openssl.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use logisedge_domain::config::SslMode;
use logisedge_domain::scope::Selection;
use logisedge_sources::postgres::{Password, PostgresOptions, PostgresSource};
use logisedge_sources::{Source, SourceErrorKind};

/// A server that wants TLS and a password on TCP, and neither on its socket.
struct Server {
    folder: tempfile::TempDir,
    port: u16,
}

fn checked(output: Output, what: &str) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {}: {said}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// A program of the server's, as a user that may run it: PostgreSQL refuses root.
fn server_program(name: &str) -> Command {
    let mut folders: Vec<PathBuf> =
        std::env::split_paths(&std::env::var_os("PATH").unwrap()).collect();
    for root in ["/usr/lib/postgresql", "/opt/homebrew/opt"] {
        folders.extend(
            std::fs::read_dir(root)
                .into_iter()
                .flatten()
                .map(|entry| entry.unwrap().path().join("bin")),
        );
    }
    let path = folders
        .iter()
        .map(|folder| folder.join(name))
        .filter(|path| path.exists())
        .max();
    let path = path.unwrap_or_else(|| {
        panic!(
            "{name} is not there: install PostgreSQL's server (Debian: apt-get install postgresql)"
        )
    });
    if !is_root() {
        return Command::new(path);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(path);
    command
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout == b"0\n"
}

fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(folder)
        .output()
        .expect("openssl does not start: install it (Debian: apt-get install openssl)");
    checked(output, arguments);
}

/// An authority `<name>.pem`, and a certificate of its for localhost, `<name>-server.{pem,key}`.
fn certificates(folder: &Path, name: &str) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(
        folder,
        &format!("req -x509 {key} -days 2 -subj /CN={name} -keyout {name}.key -out {name}.pem"),
    );
    openssl(
        folder,
        &format!("req {key} -subj /CN=server -keyout {name}-server.key -out {name}.csr"),
    );
    std::fs::write(
        folder.join("extensions"),
        "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n",
    )
    .unwrap();
    openssl(
        folder,
        &format!(
            "x509 -req -in {name}.csr -CA {name}.pem -CAkey {name}.key -CAcreateserial -days 2 \
             -extfile extensions -out {name}-server.pem"
        ),
    );
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        certificates(path, "ours");
        certificates(path, "theirs");
        if is_root() {
            checked(
                Command::new("chown")
                    .args(["-R", "postgres"])
                    .arg(path)
                    .output()
                    .unwrap(),
                "chown",
            );
        }
        let data = path.join("data");
        let initdb = server_program("initdb")
            .args([
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--no-sync",
                "-D",
            ])
            .arg(&data)
            .output()
            .unwrap();
        checked(initdb, "initdb");
        std::fs::write(
            data.join("pg_hba.conf"),
            "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\nhostnossl all plain 127.0.0.1/32 trust\n",
        )
        .unwrap();
        // In a file and not among the arguments, so that it can be turned off later.
        let configured = std::fs::read_to_string(data.join("postgresql.conf")).unwrap();
        std::fs::write(data.join("postgresql.conf"), configured + "ssl = on\n").unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let settings = format!(
            "-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={0} -c fsync=off \
             -c ssl_cert_file={0}/ours-server.pem -c ssl_key_file={0}/ours-server.key",
            path.display()
        );
        let start = server_program("pg_ctl")
            .args(["-w", "-l"])
            .arg(path.join("log"))
            .arg("-D")
            .arg(&data)
            .args(["-o", &settings, "start"])
            // Piped output would stay open as long as the server runs.
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status()
            .unwrap();
        let log = || std::fs::read_to_string(path.join("log")).unwrap_or_default();
        assert!(start.success(), "pg_ctl start: {}", log());
        let server = Self { folder, port };
        server.sql(
            "CREATE ROLE app SUPERUSER LOGIN PASSWORD 'right'; CREATE ROLE plain SUPERUSER LOGIN",
        );
        server
    }

    /// What psql prints, without headings.
    fn sql(&self, sql: &str) -> String {
        let output = Command::new("psql")
            .args([
                "-X",
                "-q",
                "-A",
                "-t",
                "-U",
                "postgres",
                "-p",
                &self.port.to_string(),
                "-c",
                sql,
                "-h",
            ])
            .arg(self.folder.path())
            .output()
            .unwrap();
        checked(output, sql)
    }

    async fn open(
        &self,
        user: &str,
        host: &str,
        sslmode: SslMode,
        authority: Option<&str>,
    ) -> Result<(), String> {
        let mut options = PostgresOptions::new(host, "postgres", user);
        options.port = self.port;
        options.sslmode = sslmode;
        options.password = Some(Password::new("right".to_owned()));
        options.ca_file = authority.map(|name| self.folder.path().join(name));
        self.try_open(options).await
    }

    async fn try_open(&self, options: PostgresOptions) -> Result<(), String> {
        match PostgresSource::new(options)
            .open(&Selection::Everything, None)
            .await
        {
            Ok(_) => Ok(()),
            Err(error) => {
                assert_ne!(error.kind, SourceErrorKind::Failed, "{error}");
                let text = error.to_string().replace(&self.port.to_string(), "PORT");
                Err(text.replace(&self.folder.path().display().to_string(), "FOLDER"))
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let data = self.folder.path().join("data");
        let _ = server_program("pg_ctl")
            .args(["-m", "immediate", "-w", "stop", "-D"])
            .arg(data)
            .output();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sslmode_means_what_libpq_means() {
    use SslMode::{Disable, Prefer, Require, VerifyCa, VerifyFull};
    let server = Server::start();
    let address = "127.0.0.1";
    for (host, sslmode, authority) in [
        (address, Prefer, None),
        (address, Require, None),
        (address, Require, Some("ours.pem")),
        (address, VerifyCa, Some("ours.pem")),
        ("localhost", VerifyCa, Some("ours.pem")),
        ("localhost", VerifyFull, Some("ours.pem")),
    ] {
        let opened = server.open("app", host, sslmode, authority).await;
        assert_eq!(opened, Ok(()), "{host} {sslmode:?} {authority:?}");
    }
    // On the socket there is no TLS, whatever the mode.
    let folder = server.folder.path().display().to_string();
    assert_eq!(server.open("app", &folder, Require, None).await, Ok(()));
    // A role that may come without TLS only: `prefer` falls back.
    assert_eq!(server.open("plain", address, Disable, None).await, Ok(()));

    let mut refused = Vec::new();
    for (host, sslmode, authority) in [
        (address, Disable, None),
        (address, VerifyFull, Some("ours.pem")),
        (address, VerifyCa, Some("theirs.pem")),
        (address, Require, Some("theirs.pem")),
        ("localhost", VerifyFull, Some("theirs.pem")),
        ("localhost", VerifyFull, None),
        ("localhost", VerifyFull, Some("missing.pem")),
        ("localhost", VerifyFull, Some("ours.key")),
    ] {
        let error = server
            .open("app", host, sslmode, authority)
            .await
            .unwrap_err();
        refused.push(format!(
            "{sslmode:?}, {}: {error}",
            authority.unwrap_or("system")
        ));
    }
    insta::assert_snapshot!(refused.join("\n"), @r#"
Disable, system: cannot connect to database postgres at 127.0.0.1:PORT: no pg_hba.conf entry for host "127.0.0.1", user "app", database "postgres", no encryption; check role, pg_hba.conf and sslmode
VerifyFull, ours.pem: cannot connect to database postgres at 127.0.0.1:PORT: TLS with sslmode verify-full failed: invalid peer certificate: certificate not valid for name "127.0.0.1"; certificate is only valid for DnsName("localhost"); check the CA file, the host name in the server's certificate, and that the server offers TLS
VerifyCa, theirs.pem: cannot connect to database postgres at 127.0.0.1:PORT: TLS with sslmode verify-ca failed: invalid peer certificate: UnknownIssuer; check the CA file, the host name in the server's certificate, and that the server offers TLS
Require, theirs.pem: cannot connect to database postgres at 127.0.0.1:PORT: TLS with sslmode require failed: invalid peer certificate: UnknownIssuer; check the CA file, the host name in the server's certificate, and that the server offers TLS
VerifyFull, theirs.pem: cannot connect to database postgres at localhost:PORT: TLS with sslmode verify-full failed: invalid peer certificate: UnknownIssuer; check the CA file, the host name in the server's certificate, and that the server offers TLS
VerifyFull, system: cannot connect to database postgres at localhost:PORT: TLS with sslmode verify-full failed: invalid peer certificate: UnknownIssuer; check the CA file, the host name in the server's certificate, and that the server offers TLS
VerifyFull, missing.pem: cannot read CA file FOLDER/missing.pem: I/O error: No such file or directory (os error 2)
VerifyFull, ours.key: cannot read CA file FOLDER/ours.key: it holds no certificate in PEM form
"#);

    let mut options = PostgresOptions::new(address, "postgres", "app");
    options.port = server.port;
    let none = server.try_open(options.clone()).await.unwrap_err();
    options.password = Some(Password::new("wrong".to_owned()));
    let wrong = server.try_open(options).await.unwrap_err();
    insta::assert_snapshot!(format!("{none}\n{wrong}"), @"
cannot connect to database postgres at 127.0.0.1:PORT: the server wants a password for role app and none is configured
cannot connect to database postgres at 127.0.0.1:PORT: the password of role app was refused; check the configured secret
");

    server.sql("ALTER SYSTEM SET ssl = off");
    server.sql("SELECT pg_reload_conf()");
    while server.sql("SHOW ssl").trim() != "off" {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let error = server
        .open("plain", address, Require, None)
        .await
        .unwrap_err();
    insta::assert_snapshot!(error, @"cannot connect to database postgres at 127.0.0.1:PORT: TLS with sslmode require failed: server does not support TLS; check the CA file, the host name in the server's certificate, and that the server offers TLS");
    assert_eq!(server.open("plain", address, Prefer, None).await, Ok(()));
}
