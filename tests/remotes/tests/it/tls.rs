//! TLS: the private authority is believed, and nothing else is.

use ems_sync_remotes::Certificate;
use ems_sync_remotes::tagserver::{TagServer, TagServerOptions};

use crate::client::{Api, builder};

async fn api_with(certificate: Certificate) -> (ems_sync_remotes::Simulator<TagServer>, Api) {
    let mut options = TagServerOptions::default();
    options.server.tls = Some(certificate);
    let sim = TagServer::start(options).await.unwrap();
    let authority = reqwest::Certificate::from_pem(sim.ca_pem().unwrap().as_bytes()).unwrap();
    let http = builder().tls_certs_only([authority]).build().unwrap();
    let api = Api { http, ..Api::new(&sim) };
    (sim, api)
}

#[tokio::test]
async fn a_client_that_knows_the_authority_is_served() {
    let (sim, api) = api_with(Certificate::Valid).await;
    assert!(sim.base_url().starts_with("https://127.0.0.1:"));
    assert_eq!(api.get("/api/races").await.status, 200);
    api.organisation("1").await;
    let named = Api { base: sim.base_url().replace("127.0.0.1", "localhost"), ..api };
    assert_eq!(named.get("/api/races").await.status, 200);
}

#[tokio::test]
async fn a_client_that_does_not_know_it_refuses() {
    let (sim, api) = api_with(Certificate::Valid).await;
    let (_other, stranger) = api_with(Certificate::Valid).await;
    let stranger = Api { http: stranger.http, ..api };
    assert!(stranger.try_get("/api/races").await.unwrap_err().is_connect());
    assert_eq!(sim.counters().requests, 0);
}

#[tokio::test]
async fn certificates_that_must_be_refused_are_refused() {
    for certificate in [Certificate::WrongName, Certificate::Expired, Certificate::SelfSigned] {
        let (sim, api) = api_with(certificate).await;
        let refused = api.try_get("/api/races").await;
        assert!(refused.is_err_and(|error| error.is_connect()), "{certificate:?}");
        assert_eq!(sim.counters().requests, 0);
    }
}
