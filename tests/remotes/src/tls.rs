//! A private certificate authority per simulator, and the certificates that clients must refuse.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};
use tokio_rustls::TlsAcceptor;

use crate::simulator::StartError;

/// Which certificate the server shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Certificate {
    /// For 127.0.0.1 and localhost, signed by the private authority.
    #[default]
    Valid,
    /// Signed by the private authority, but for `elsewhere.example`.
    WrongName,
    /// Signed by the private authority, but over since 2021.
    Expired,
    /// For 127.0.0.1, but signed by itself and not by the private authority.
    SelfSigned,
}

/// What a server needs to speak TLS, and its clients to believe it.
#[derive(Clone)]
pub(crate) struct Tls {
    pub(crate) acceptor: TlsAcceptor,
    pub(crate) ca_pem: String,
}

impl Tls {
    /// A new authority and a certificate of the wanted kind.
    pub(crate) fn new(certificate: Certificate) -> Result<Self, StartError> {
        let authority = CertifiedIssuer::self_signed(authority_params()?, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let params = server_params(certificate)?;
        let shown = match certificate {
            Certificate::Valid | Certificate::WrongName | Certificate::Expired => {
                params.signed_by(&key, &authority)?
            }
            Certificate::SelfSigned => params.self_signed(&key)?,
        };
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_no_client_auth()
                .with_single_cert(vec![shown.der().clone()], key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), ca_pem: authority.pem() })
    }
}

fn authority_params() -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params.distinguished_name.push(rcgen::DnType::CommonName, "ems-sync-remotes test authority");
    Ok(params)
}

fn server_params(certificate: Certificate) -> Result<CertificateParams, rcgen::Error> {
    let names = match certificate {
        Certificate::WrongName => vec!["elsewhere.example".to_owned()],
        Certificate::Valid | Certificate::Expired | Certificate::SelfSigned => {
            vec!["127.0.0.1".to_owned(), "localhost".to_owned()]
        }
    };
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(rcgen::DnType::CommonName, "ems-sync-remotes");
    if certificate == Certificate::Expired {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    }
    Ok(params)
}
