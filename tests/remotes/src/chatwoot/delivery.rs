//! Webhook requests: signed, sent once, and forgotten whatever comes of it (contract, section 6).

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use tokio::net::TcpStream;
use uuid::Uuid;

use super::jobs::Event;
use super::options::ChatwootSettings;
use super::webhook::Webhook;

/// How long a receiver may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A request to a webhook's receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The webhook's row.
    pub webhook_id: i64,
    /// Where it goes.
    pub url: String,
    /// What it tells.
    pub event: String,
    /// All headers, in order.
    pub headers: Vec<(String, String)>,
    /// The body, byte by byte as it was signed.
    pub body: String,
    /// Whether the filter against private addresses stops it, silently.
    pub blocked: bool,
}

/// What became of a delivery. Chatwoot itself does not care.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// What was sent.
    pub delivery: Delivery,
    /// The receiver's status; `None` if it was blocked, failed or took too long.
    pub status: Option<u16>,
}

/// The hexadecimal HMAC-SHA256 of `"<timestamp>.<body>"`, as after `sha256=`.
pub fn signature(secret: &str, timestamp: i64, body: &str) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return String::new();
    };
    mac.update(format!("{timestamp}.{body}").as_bytes());
    mac.finalize().into_bytes().iter().fold(String::new(), |mut text, byte| {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl Delivery {
    /// The request that tells `webhook` of `event` at `second`.
    pub(super) fn new(
        webhook: &Webhook,
        event: &Event,
        second: i64,
        settings: &ChatwootSettings,
    ) -> Self {
        let body = event.payload.to_string();
        let mut headers = vec![
            ("Content-Type".to_owned(), "application/json".to_owned()),
            ("X-Chatwoot-Delivery".to_owned(), Uuid::new_v4().to_string()),
        ];
        if settings.sign_webhooks {
            let signature = signature(&webhook.secret, second, &body);
            headers.push(("X-Chatwoot-Timestamp".to_owned(), second.to_string()));
            headers.push(("X-Chatwoot-Signature".to_owned(), format!("sha256={signature}")));
        }
        Self {
            webhook_id: webhook.id,
            url: webhook.url.clone(),
            event: event.name.to_owned(),
            headers,
            body,
            blocked: !settings.allow_private_network && is_private(&webhook.url),
        }
    }

    /// Sends it, once.
    pub async fn send(self) -> Sent {
        let status = if self.blocked {
            None
        } else {
            tokio::time::timeout(TIMEOUT, self.post()).await.ok().flatten()
        };
        Sent { delivery: self, status }
    }

    /// The receiver's status, if there is an answer. Plain HTTP only.
    async fn post(&self) -> Option<u16> {
        let uri: hyper::Uri = self.url.parse().ok()?;
        let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http"))?;
        let address = (authority.host(), authority.port_u16().unwrap_or(80));
        let stream = TcpStream::connect(address).await.ok()?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        let path = uri.path_and_query().map_or("/", hyper::http::uri::PathAndQuery::as_str);
        let mut request = hyper::Request::post(path).header("Host", authority.as_str());
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = request.body(self.body.clone()).ok()?;
        // It ends when the sender is dropped.
        tokio::spawn(connection);
        Some(sender.send_request(request).await.ok()?.status().as_u16())
    }
}

/// Whether a URL leads to a loopback or private address.
fn is_private(url: &str) -> bool {
    let Ok(uri) = url.parse::<hyper::Uri>() else { return true };
    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => {
            address.is_loopback()
                || address.is_private()
                || address.is_link_local()
                || address.is_unspecified()
        }
        Ok(IpAddr::V6(address)) => {
            address.is_loopback() || address.is_unspecified() || address.is_unique_local()
        }
        Err(_) => host == "localhost",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_contracts_test_vector() {
        let body = r#"{"event":"contact_updated","id":42}"#;
        assert_eq!(
            signature("whsec_test", 1_700_000_000, body),
            "3baa408dea921b3538cc9cf3856e2612bd11761b662beee33b1a31fc50faf27e"
        );
    }

    #[test]
    fn private_addresses_are_known() {
        for url in
            ["http://127.0.0.1:1/x", "http://localhost/", "http://10.1.2.3/", "http://[::1]/"]
        {
            assert!(is_private(url), "{url}");
        }
        assert!(!is_private("https://sync.example.org/hooks"));
    }
}
