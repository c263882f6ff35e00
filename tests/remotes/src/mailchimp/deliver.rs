//! Webhooks are sent when a test asks for it: once each, over plain HTTP.

use hyper::client::conn::http1;
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::server::MailChimp;
use super::webhook::Delivery;
use crate::Simulator;

/// Why a webhook did not reach its receiver.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// Its URL cannot be spoken to over plain HTTP.
    #[error("The URL is no plain HTTP URL with a host")]
    Url,
    /// There is nobody.
    #[error("The receiver cannot be reached")]
    Connect(#[from] std::io::Error),
    /// The request cannot be made.
    #[error("The request cannot be made")]
    Request(#[from] hyper::http::Error),
    /// The receiver gave no answer.
    #[error("The receiver did not answer")]
    Answer(#[from] hyper::Error),
}

impl Delivery {
    /// Posts it; may be repeated, as MailChimp does.
    ///
    /// # Errors
    /// If the receiver did not answer.
    pub async fn send(&self) -> Result<StatusCode, DeliveryError> {
        let uri: Uri = self.url.parse().map_err(|_| DeliveryError::Url)?;
        let authority = uri.authority().ok_or(DeliveryError::Url)?;
        if uri.scheme_str() != Some("http") {
            return Err(DeliveryError::Url);
        }
        let stream =
            TcpStream::connect((authority.host(), authority.port_u16().unwrap_or(80))).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::post(path).header("Host", authority.as_str());
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = request.body(self.body.clone())?;
        // The connection ends with its sender.
        let (answer, ended) = tokio::join!(
            async move { sender.send_request(request).await.map(|answer| answer.status()) },
            connection
        );
        // An answer counts, however the connection ended.
        answer.map_err(|error| ended.err().unwrap_or(error).into())
    }
}

impl Simulator<MailChimp> {
    /// Sends what the webhooks owe, in order; what became of each.
    pub async fn deliver_webhooks(&self) -> Vec<(Delivery, Result<StatusCode, DeliveryError>)> {
        let mut results = Vec::new();
        for delivery in self.take_webhooks() {
            let result = delivery.send().await;
            results.push((delivery, result));
        }
        results
    }
}
