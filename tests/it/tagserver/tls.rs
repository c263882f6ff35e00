//! Who is spoken to: the right host, by a certificate that is believed, before a byte of a request leaves.

use ems_sync::remote::tagserver::TagServer;
use ems_sync::remote::{PushResult, Remote as _, TlsError};
use ems_sync_remotes::Certificate;
use ems_sync_remotes::tagserver::TagServerOptions;
use secrecy::SecretString;

use super::bench::{Bench, delete, settings, word, words};

async fn bench(
    certificate: Certificate,
    change: impl FnOnce(&mut ems_sync::remote::HttpSettings),
) -> Bench {
    let mut options = TagServerOptions::default();
    options.server.tls = Some(certificate);
    Bench::with(options, |http| {
        http.allow_http = false;
        change(http);
    })
    .await
}

#[tokio::test]
async fn a_server_of_the_configured_authority_is_served() {
    let bench = bench(Certificate::Valid, |_| {}).await;
    assert!(bench.settings.base_url.starts_with("https://"));
    assert_eq!(word(&bench.one(bench.create(1, "Club")).await), "held");
    bench.client.probe().await.unwrap();
    bench.assert_no_violation();
}

#[tokio::test]
async fn a_certificate_that_is_not_believed_gets_no_byte_of_a_request() {
    let without_authority = |http: &mut ems_sync::remote::HttpSettings| http.ca_pem = None;
    for bench in [
        bench(Certificate::WrongName, |_| {}).await,
        bench(Certificate::Expired, |_| {}).await,
        bench(Certificate::SelfSigned, |_| {}).await,
        bench(Certificate::Valid, without_authority).await,
    ] {
        for push in [bench.create(1, "Club"), delete(1, 17)] {
            let PushResult::Failed(failure) = bench.one(push).await else { panic!("accepted") };
            assert_eq!(failure.class.name(), "transient", "{failure}");
            assert!(failure.unsent, "{failure}");
            assert!(!failure.text.contains("/api"), "no URL: {failure}");
        }
        assert!(bench.client.probe().await.is_err());
        assert_eq!(bench.sim.journal(), []);
    }
}

#[tokio::test]
async fn another_authoritys_certificate_is_not_believed() {
    let (ours, other) =
        (bench(Certificate::Valid, |_| {}).await, bench(Certificate::Valid, |_| {}).await);
    let authority = settings(&other.sim).ca_pem;
    let mixed = bench_with_authority(&ours, authority);
    assert_eq!(word(&mixed.one(mixed.create(1, "Club")).await), "transient");
    assert_eq!(ours.sim.journal(), []);
}

fn bench_with_authority(bench: &Bench, ca_pem: Option<Vec<u8>>) -> Bench {
    let settings = ems_sync::remote::HttpSettings { ca_pem, ..bench.settings.clone() };
    let client = super::bench::client(&settings, "ems-sync-password");
    Bench { sim: std::sync::Arc::clone(&bench.sim), settings, client }
}

#[tokio::test]
async fn plain_http_is_refused_unless_it_is_allowed() {
    let bench = Bench::with(TagServerOptions::default(), |http| http.allow_http = false).await;
    assert!(bench.settings.base_url.starts_with("http://"));
    let results = bench.many((1..=3).map(|id| bench.create(id, "Club")).collect()).await;
    assert!(!words(&results).contains_key("held"), "{results:?}");
    assert!(bench.client.probe().await.is_err());
    let counters = bench.sim.counters();
    assert_eq!((counters.requests, counters.connections), (0, 0));
}

#[tokio::test]
async fn a_ca_file_without_a_certificate_is_an_error_at_the_start() {
    let bench = bench(Certificate::Valid, |_| {}).await;
    let garbled = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec();
    for pem in [b"".to_vec(), b"no certificate".to_vec(), garbled] {
        let settings =
            ems_sync::remote::HttpSettings { ca_pem: Some(pem), ..bench.settings.clone() };
        let password = SecretString::from("ems-sync-password".to_owned());
        let refused = TagServer::new(&settings, "ems-sync".to_owned(), password);
        assert!(matches!(refused, Err(TlsError::Ca)));
    }
}
