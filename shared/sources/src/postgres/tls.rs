//! TLS as libpq's `sslmode` means it: which certificates are accepted.
//! <https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-PROTECTION>

use std::path::Path;
use std::sync::Arc;

use logisedge_domain::config::SslMode;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::failure::failed;
use super::options::PostgresOptions;
use crate::{SourceError, SourceErrorKind};

/// How far a server's certificate is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    Nothing,
    Issuer,
    IssuerAndName,
}

fn depth(options: &PostgresOptions) -> Depth {
    match options.sslmode {
        SslMode::VerifyFull => Depth::IssuerAndName,
        SslMode::VerifyCa => Depth::Issuer,
        // libpq: with a root file, `require` is `verify-ca`.
        SslMode::Require if options.ca_file.is_some() => Depth::Issuer,
        SslMode::Disable | SslMode::Prefer | SslMode::Require => Depth::Nothing,
    }
}

/// The TLS side of every connection that `options` ask for.
pub(super) fn connector(options: &PostgresOptions) -> Result<MakeRustlsConnect, SourceError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let depth = depth(options);
    let inner = match depth {
        Depth::Nothing => None,
        Depth::Issuer | Depth::IssuerAndName => {
            let roots = Arc::new(roots(options.ca_file.as_deref())?);
            let built = WebPkiServerVerifier::builder_with_provider(roots, provider.clone());
            Some(
                built
                    .build()
                    .map_err(|error| refuse(options, error.to_string()))?,
            )
        }
    };
    let verifier = Verifier {
        inner,
        depth,
        provider: provider.clone(),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| refuse(options, error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn refuse(options: &PostgresOptions, message: String) -> SourceError {
    failed(
        SourceErrorKind::Failed,
        "set up TLS for",
        options.place(),
        message,
    )
}

/// The authorities of a PEM file, or the system's.
fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, SourceError> {
    let mut roots = RootCertStore::empty();
    let Some(path) = ca_file else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(failed(
                SourceErrorKind::NotFound,
                "read",
                "the system's certificate authorities",
                "none were found; install ca-certificates or name a CA file",
            ));
        }
        return Ok(roots);
    };
    let object = format!("CA file {}", path.display());
    let unreadable = |message: String| failed(SourceErrorKind::NotFound, "read", &object, message);
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unreadable(error.to_string()))?;
    let (added, _) = roots.add_parsable_certificates(certificates);
    match added {
        0 => Err(unreadable("it holds no certificate in PEM form".to_owned())),
        _ => Ok(roots),
    }
}

/// The system's authorities as PEM text, for a `pg_dump` that has to be told of them.
pub(super) fn system_authorities_pem() -> String {
    use base64::Engine;
    let mut pem = String::new();
    for certificate in rustls_native_certs::load_native_certs().certs {
        let text = base64::engine::general_purpose::STANDARD.encode(certificate);
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        for start in (0..text.len()).step_by(64) {
            pem.push_str(&text[start..text.len().min(start + 64)]);
            pem.push('\n');
        }
        pem.push_str("-----END CERTIFICATE-----\n");
    }
    pem
}

/// Looks at a certificate as far as its depth goes; handshake signatures are always checked.
#[derive(Debug)]
struct Verifier {
    /// None exactly for [`Depth::Nothing`].
    inner: Option<Arc<WebPkiServerVerifier>>,
    depth: Depth,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(inner) = &self.inner else {
            return Ok(ServerCertVerified::assertion());
        };
        let verdict =
            inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verdict {
            // The name is looked at last, so the chain was found good.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.depth == Depth::Issuer => Ok(ServerCertVerified::assertion()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
