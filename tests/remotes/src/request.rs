//! One request as the remotes see it: read completely, decoded once.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::OnceLock;

use axum::extract::Query;
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{HeaderMap, Method, Uri};
use serde_json::Value;

use crate::in_flight::Concurrency;

/// A request whose body has arrived in full.
#[derive(Debug)]
pub struct Request {
    /// The HTTP method.
    pub method: Method,
    /// The path, still percent-encoded, without the query.
    pub path: String,
    /// The decoded query, in order.
    pub query: Vec<(String, String)>,
    /// All headers.
    pub headers: HeaderMap,
    /// The body; empty if it was larger than the server takes.
    pub body: Bytes,
    /// Whether the body was larger than the server takes.
    pub oversized: bool,
    /// How many requests the server was working on when this one arrived.
    pub concurrency: Concurrency,
    json: OnceLock<Option<Value>>,
}

/// The client went away while it was still sending.
#[derive(Debug, thiserror::Error)]
#[error("The client stopped before the request was complete")]
pub(crate) struct Incomplete(#[source] hyper::Error);

impl Request {
    /// A request that came inside another one.
    pub(crate) fn inner(method: Method, uri: &Uri, body: Bytes) -> Self {
        Self {
            method,
            path: uri.path().to_owned(),
            query: Query::try_from_uri(uri).map(|Query(pairs)| pairs).unwrap_or_default(),
            headers: HeaderMap::new(),
            body,
            oversized: false,
            concurrency: Concurrency::default(),
            json: OnceLock::new(),
        }
    }

    /// Reads `incoming` to its end; keeps at most `max_body_bytes` of the body.
    pub(crate) async fn read(
        incoming: hyper::Request<Incoming>,
        max_body_bytes: usize,
    ) -> Result<Self, Incomplete> {
        let (head, body) = incoming.into_parts();
        let (body, oversized) = read_body(body, max_body_bytes).await.map_err(Incomplete)?;
        let query = Query::try_from_uri(&head.uri).map(|Query(pairs)| pairs).unwrap_or_default();
        Ok(Self {
            method: head.method,
            path: head.uri.path().to_owned(),
            query,
            headers: head.headers,
            body,
            oversized,
            concurrency: Concurrency::default(),
            json: OnceLock::new(),
        })
    }

    /// The body as JSON, parsed on first use; `None` if it is not JSON.
    pub fn json(&self) -> Option<&Value> {
        self.json.get_or_init(|| serde_json::from_slice(&self.body).ok()).as_ref()
    }

    /// A header's value, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The first value of a query parameter.
    pub fn query_value(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The bearer token, if one was sent.
    pub fn bearer(&self) -> Option<&str> {
        let value = self.header(AUTHORIZATION.as_str())?;
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    }

    /// The media type of the body, without parameters.
    pub fn media_type(&self) -> Option<&str> {
        let value = self.header(CONTENT_TYPE.as_str())?;
        value.split(';').next().map(str::trim)
    }
}

/// Reads all frames; what exceeds the limit is read and thrown away, so that the client gets to
/// read its answer.
async fn read_body(mut body: Incoming, limit: usize) -> Result<(Bytes, bool), hyper::Error> {
    let mut kept = Vec::new();
    let mut oversized = false;
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let Ok(data) = frame?.into_data() else { continue };
        if oversized || kept.len() + data.len() > limit {
            oversized = true;
            kept.clear();
        } else {
            kept.extend_from_slice(&data);
        }
    }
    Ok((Bytes::from(kept), oversized))
}
