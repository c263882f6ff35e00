//! The endpoints over real connections, without database and broker.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::broker::Broker;

const TOKEN: &str = "a-token-of-some-length";

/// Database and broker are not there: whatever needs them fails at once.
async fn listening(token: Option<&str>) -> SocketAddr {
    rustls::crypto::ring::default_provider().install_default().ok();
    let store = Store::new(&"postgres://nobody@127.0.0.1:1/none".into(), "test").unwrap();
    let broker = Broker::new("amqp://127.0.0.1:1".into(), "test".to_owned());
    let api = Api {
        store,
        publisher: Arc::new(Publisher::new(broker, "test")),
        enabled: vec![Target::TagServer],
        token: token.map(SecretString::from),
    };
    let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, guarded(open(api))).await });
    address
}

/// Status code and whole answer, headers in lower case.
async fn get_from(address: SocketAddr, path: &str, authorization: Option<&str>) -> (u16, String) {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let credentials =
        authorization.map(|value| format!("Authorization: {value}\r\n")).unwrap_or_default();
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{credentials}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let code = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (code, answer.to_lowercase())
}

#[tokio::test]
async fn a_process_is_alive_without_database_and_broker() {
    let address = listening(None).await;
    let (code, answer) = get_from(address, "/livez", None).await;
    assert_eq!(code, 200);
    for header in
        ["cache-control: no-store", "x-content-type-options: nosniff", "x-frame-options: deny"]
    {
        assert!(answer.contains(header), "{answer}");
    }
    let (code, answer) = get_from(address, "/elsewhere", None).await;
    assert_eq!(code, 404);
    assert!(answer.contains("content-security-policy: default-src 'none'"), "{answer}");
}

#[tokio::test]
async fn there_is_no_api_without_a_configured_token() {
    let address = listening(None).await;
    for path in ["/api/v1/status", "/api/v1/explain/person/5"] {
        assert_eq!(get_from(address, path, Some("Bearer ")).await.0, 404, "{path}");
        assert_eq!(get_from(address, path, None).await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn the_api_opens_for_the_token_and_for_nothing_else() {
    let address = listening(Some(TOKEN)).await;
    for path in ["/api/v1/status", "/api/v1/explain/person/5"] {
        for wrong in
            [None, Some("Bearer"), Some("Bearer wrong"), Some("Basic a-token-of-some-length")]
        {
            let (code, answer) = get_from(address, path, wrong).await;
            assert_eq!(code, 401, "{path} {wrong:?}");
            assert!(answer.contains("www-authenticate: bearer"), "{answer}");
        }
        let right = format!("Bearer {TOKEN}");
        let (code, answer) = get_from(address, path, Some(&right)).await;
        assert_eq!(code, 503, "it is let in, and the database is not there");
        assert!(!answer.contains("127.0.0.1:1") && !answer.contains("nobody"), "{answer}");
    }
}

#[tokio::test]
async fn what_is_no_entity_is_told_so() {
    let address = listening(Some(TOKEN)).await;
    let right = format!("bearer {TOKEN}");
    for path in ["/api/v1/explain/runner/5", "/api/v1/explain/person/five"] {
        assert_eq!(get_from(address, path, Some(&right)).await.0, 400, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_hangs_is_given_up() {
    let routes = Router::new().route("/hang", get(std::future::pending::<&'static str>));
    let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, guarded(routes)).await });
    assert_eq!(get_from(address, "/hang", None).await.0, 503);
}

#[test]
fn a_token_is_the_same_only_when_every_character_is() {
    assert!(is_same(TOKEN, TOKEN));
    for other in ["", "a-token-of-some-lengt", "a-token-of-some-length ", "A-token-of-some-length"]
    {
        assert!(!is_same(other, TOKEN), "{other:?}");
    }
}
