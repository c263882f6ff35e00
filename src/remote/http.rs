//! The HTTP edge of all clients: the only module that names reqwest.
//!
//! Connections are kept, bounded and verified: HTTPS only unless allowed, TLS 1.2 and up, the system's roots and
//! the configured CA, no redirect, no proxy from the environment, no retry, capped bodies. An error never holds a
//! URL, since URLs may hold keys.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use tokio::time::Instant;

use super::SendBefore;
use super::budget::{Budget, OwnBudget, Permit};
use super::failure::{Failure, FailureClass};
use crate::limits;
use crate::trace::Span;

/// A client keeps a pause by itself for so long at most: until every process has read it from the shared state, which a
/// person may overrule.
const QUIET_MAX: Duration = Duration::from_secs(3);

/// What the HTTP edge needs to know about one target.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// Where the contract's paths begin, without a trailing slash.
    pub base_url: String,
    /// PEM file of a CA that is trusted besides the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// Whether a plain `http://` base URL is accepted.
    pub allow_http: bool,
    /// Requests under way at once.
    pub concurrency: usize,
    /// Requests per second, if bounded.
    pub requests_per_second: Option<NonZeroU32>,
    /// The deadline of one request, its answer included.
    pub timeout: Duration,
    /// The budget that is shared with others; without one the two bounds hold for this client alone.
    pub budget: Option<Arc<dyn Budget>>,
}

/// Why a client can't be built from its settings.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The CA file holds no usable certificate.
    #[error("The CA file holds no certificate in PEM form")]
    Ca,
    /// The TLS library refused the settings.
    #[error("TLS can't be set up")]
    Rustls(#[from] rustls::Error),
    /// The HTTP library refused the settings.
    #[error("The HTTP client can't be set up")]
    Client(#[source] reqwest::Error),
}

/// Whether a request changes something: decides what a lost answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Intent {
    Read,
    Write,
}

/// An answer, whole: its body was read to the end within the deadline and the size bound.
pub(super) struct Answer {
    pub(super) status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }

    /// The JSON body; `None` where it is not JSON. The parser's error is dropped: it may quote the body.
    pub(super) fn json(&self) -> Option<Value> {
        let content_type = self.headers.get(CONTENT_TYPE)?.to_str().ok()?;
        content_type.contains("json").then(|| serde_json::from_slice(&self.body).ok()).flatten()
    }

    /// Whether the body is empty.
    pub(super) const fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    /// The server's clock when it answered.
    pub(super) fn date(&self) -> Option<Timestamp> {
        let text = self.headers.get(DATE)?.to_str().ok()?;
        jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp())
    }

    /// `Retry-After`, in either form (RFC 9110 section 10.2.3), measured from the server's own clock.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let text = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        if let Ok(seconds) = text.parse::<u64>() {
            return Some(Duration::from_secs(seconds));
        }
        let until = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
        let now = self.date().unwrap_or_else(Timestamp::now);
        Some(until.duration_since(now).try_into().unwrap_or_default())
    }
}

/// A bounded HTTP client of one target.
pub(super) struct Http {
    client: reqwest::Client,
    base_url: String,
    /// Its host, for traces.
    host: String,
    timeout: Duration,
    budget: Arc<dyn Budget>,
    /// The server asked for a pause until then.
    quiet_until: Mutex<Option<Instant>>,
}

impl Http {
    pub(super) fn new(settings: &HttpSettings) -> Result<Self, TlsError> {
        Self::build(settings, true)
    }

    /// One that sends no `Accept-Encoding`.
    pub(super) fn without_compression(settings: &HttpSettings) -> Result<Self, TlsError> {
        Self::build(settings, false)
    }

    fn build(settings: &HttpSettings, accepts_gzip: bool) -> Result<Self, TlsError> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls_config(settings.ca_pem.as_deref())?)
            .https_only(!settings.allow_http)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .gzip(accepts_gzip)
            .connect_timeout(limits::HTTP_CONNECT_TIMEOUT.min(settings.timeout))
            .timeout(settings.timeout)
            .pool_idle_timeout(limits::HTTP_POOL_IDLE)
            .pool_max_idle_per_host(settings.concurrency)
            .tcp_nodelay(true)
            .user_agent(concat!("ems-sync/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(TlsError::Client)?;
        let own = || OwnBudget::new(settings.concurrency, settings.requests_per_second);
        Ok(Self {
            client,
            base_url: settings.base_url.trim_end_matches('/').to_owned(),
            host: host(&settings.base_url),
            timeout: settings.timeout,
            budget: settings.budget.clone().unwrap_or_else(|| Arc::new(own())),
            quiet_until: Mutex::new(None),
        })
    }

    /// Whether the server wants to be left alone. Its pause is shared with all processes through Postgres; this one
    /// keeps quiet at once, also for the requests that waited for a slot.
    pub(super) fn is_quiet(&self) -> bool {
        let until = *self.quiet_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    fn keep_quiet(&self, answer: &Answer) {
        let asked = answer.retry_after().filter(|_| answer.status == 429);
        if let Some(asked) = asked {
            self.be_quiet_for(asked);
        }
    }

    /// The server wants to be left alone; for remotes that say so by something else than `Retry-After`.
    pub(super) fn be_quiet_for(&self, asked: Duration) {
        let until = Instant::now() + asked.min(QUIET_MAX);
        let mut quiet_until = self.quiet_until.lock().unwrap_or_else(PoisonError::into_inner);
        *quiet_until = Some(quiet_until.map_or(until, |before| before.max(until)));
    }

    /// Where the contract's paths begin.
    pub(super) fn base_url(&self) -> &str {
        &self.base_url
    }

    pub(super) const fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(super) fn request(&self, method: Method, path: &str) -> Request {
        let (method, name) = match method {
            Method::Get => (reqwest::Method::GET, "GET"),
            Method::Post => (reqwest::Method::POST, "POST"),
            Method::Put => (reqwest::Method::PUT, "PUT"),
            Method::Patch => (reqwest::Method::PATCH, "PATCH"),
            Method::Delete => (reqwest::Method::DELETE, "DELETE"),
        };
        Request { builder: self.client.request(method, format!("{}{path}", self.base_url)), name }
    }

    /// Waits for a free slot under the target's budget. Held while a request is under way, or several in a row. `None`
    /// when nothing may be sent any more.
    pub(super) async fn slot(&self, send_before: &SendBefore) -> Option<Slot> {
        let permit = tokio::select! {
            permit = self.budget.slot() => permit,
            () = send_before.passes() => return None,
        };
        Some(Slot { permit, send_before: send_before.clone(), has_turn: AtomicBool::new(false) })
    }

    /// Waits until a request may be sent within the slot: [`Http::send`] then sends at once. `false` when nothing may be
    /// sent any more, or not now because the server wants to be left alone.
    pub(super) async fn ready(&self, slot: &Slot) -> bool {
        let may_send = || !slot.send_before.has_passed() && !self.is_quiet();
        if !may_send() {
            return false;
        }
        if !slot.is_ready() {
            let has_turn = tokio::select! {
                has_turn = slot.permit.turn() => has_turn,
                () = slot.send_before.passes() => false,
            };
            slot.has_turn.store(has_turn, Ordering::Relaxed);
        }
        slot.is_ready() && may_send()
    }

    /// Sends a request within a slot and reads its whole answer.
    pub(super) async fn send(
        &self,
        slot: &Slot,
        intent: Intent,
        request: Request,
    ) -> Result<Answer, Failure> {
        if !slot.is_ready() && !self.ready(slot).await {
            return Err(Failure::new(FailureClass::Transient, "No slot in time").unsent());
        }
        slot.has_turn.store(false, Ordering::Relaxed);
        let mut span = Span::request(&slot.send_before.trace, request.name, &self.host);
        let result = self.exchange(intent, request).await;
        match &result {
            Ok(answer) => span.answered(answer.status),
            Err(failure) => span.unanswered(failure.class.name()),
        }
        result
    }

    async fn exchange(&self, intent: Intent, request: Request) -> Result<Answer, Failure> {
        let response = request.builder.send().await.map_err(|e| lost(intent, &e))?;
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let mut body = Vec::new();
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|e| lost(intent, &e))?;
            if body.len() + chunk.len() > limits::RESPONSE_BYTES_MAX {
                return Err(Failure::new(
                    after_sending(intent),
                    "The answer is longer than is read",
                ));
            }
            body.extend_from_slice(&chunk);
        }
        let answer = Answer { status, headers, body };
        self.keep_quiet(&answer);
        Ok(answer)
    }
}

/// The methods that the contracts use.
#[derive(Debug, Clone, Copy)]
pub(super) enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

/// A request that was not sent yet.
pub(super) struct Request {
    builder: reqwest::RequestBuilder,
    /// The method's.
    name: &'static str,
}

impl Request {
    fn with(self, more: impl FnOnce(reqwest::RequestBuilder) -> reqwest::RequestBuilder) -> Self {
        Self { builder: more(self.builder), ..self }
    }

    pub(super) fn query(self, pairs: &[(&str, &str)]) -> Self {
        self.with(|builder| builder.query(pairs))
    }

    pub(super) fn bearer(self, token: &str) -> Self {
        self.with(|builder| builder.bearer_auth(token))
    }

    /// RFC 7617.
    pub(super) fn basic(self, username: &str, password: &SecretString) -> Self {
        self.with(|builder| builder.basic_auth(username, Some(password.expose_secret())))
    }

    /// A header whose value is a secret: it is left out of any `Debug` text.
    pub(super) fn secret_header(self, name: &'static str, value: &SecretString) -> Self {
        self.with(|builder| match HeaderValue::from_str(value.expose_secret()) {
            Ok(mut value) => {
                value.set_sensitive(true);
                builder.header(name, value)
            }
            // The request can't be built, which its sending tells.
            Err(_) => builder.header(name, "\n"),
        })
    }

    pub(super) fn json(self, body: &Value) -> Self {
        self.with(|builder| builder.json(body))
    }

    /// `application/x-www-form-urlencoded`.
    pub(super) fn form(self, pairs: &[(&str, &str)]) -> Self {
        self.with(|builder| builder.form(pairs))
    }
}

/// Permission to have one request under way at a time.
pub(super) struct Slot {
    permit: Box<dyn Permit>,
    send_before: SendBefore,
    /// The next request has its turn.
    has_turn: AtomicBool,
}

impl Slot {
    fn is_ready(&self) -> bool {
        self.has_turn.load(Ordering::Relaxed) && self.permit.reaches()
    }
}

/// The host of a URL, without credentials and port.
fn host(url: &str) -> String {
    let host = reqwest::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    host.unwrap_or_default()
}

/// The class of a failure after the request may have left.
pub(super) const fn after_sending(intent: Intent) -> FailureClass {
    match intent {
        Intent::Read => FailureClass::Transient,
        Intent::Write => FailureClass::Ambiguous,
    }
}

/// A request without a whole answer. Before the connection stood nothing can have been applied.
fn lost(intent: Intent, error: &reqwest::Error) -> Failure {
    if error.is_connect() {
        return Failure::new(FailureClass::Transient, format!("No connection: {}", causes(error)))
            .unsent();
    }
    if error.is_builder() {
        return Failure::new(FailureClass::OurFault, "The request could not be built");
    }
    let what = if error.is_timeout() { "No answer in time" } else { "The answer was lost" };
    Failure::new(after_sending(intent), format!("{what}: {}", causes(error)))
}

/// The chain of causes below reqwest's own text, which may hold the URL.
fn causes(error: &reqwest::Error) -> String {
    let mut texts = Vec::new();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        texts.push(cause.to_string());
        source = cause.source();
    }
    texts.dedup();
    texts.join(": ")
}

/// The system's roots and, where configured, one more CA.
fn tls_config(ca_pem: Option<&[u8]>) -> Result<rustls::ClientConfig, TlsError> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(pem) = ca_pem {
        let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(|_| TlsError::Ca)?;
        let (added, _) = roots.add_parsable_certificates(certificates);
        if added == 0 {
            return Err(TlsError::Ca);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
