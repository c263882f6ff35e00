//! The words of a fault script. They are JSON on the control API: see `README.md`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Offline, Operation, Reimage};

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// The request is applied late. Adds up with later rules, which are still looked at.
    Delay {
        /// Milliseconds.
        ms: u64,
    },
    /// This status instead of the remote's own.
    Status {
        /// The status.
        code: u16,
        /// Additional headers.
        #[serde(default)]
        headers: Vec<(String, String)>,
        /// The body: text as it is, anything else as JSON; without one, the remote's usual body.
        #[serde(default)]
        body: Option<Value>,
        /// Whether the request is applied all the same.
        #[serde(default)]
        applied: bool,
    },
    /// Nothing is applied; the connection is reset without an answer.
    Drop,
    /// Applied, then the connection is closed without an answer.
    CommitThenDrop,
    /// Nothing is applied, nothing is answered; the connection is closed after `ms`, if given,
    /// or when the client gives up.
    Hang {
        /// Milliseconds.
        #[serde(default)]
        ms: Option<u64>,
    },
    /// Applied, then as `Hang`.
    CommitThenHang {
        /// Milliseconds.
        #[serde(default)]
        ms: Option<u64>,
    },
    /// Status 200 with nonsense.
    Garbage {
        /// Which nonsense.
        what: Garbage,
        /// Whether the request is applied all the same.
        #[serde(default)]
        applied: bool,
    },
    /// Applied and answered, but the body trickles.
    SlowBody {
        /// The size of a piece.
        chunk_bytes: usize,
        /// The pause before each piece, in milliseconds.
        pause_ms: u64,
    },
    /// The request's token is revoked; the remote then answers as it does.
    RevokeToken,
    /// All tokens are revoked; the remote then answers as it does.
    NewSecret,
    /// The server is another one from now on; the remote then answers as it does.
    Reimage {
        /// How it comes back.
        #[serde(default)]
        how: Reimage,
    },
    /// The server goes offline; this request is not applied.
    Offline {
        /// In which way.
        #[serde(default)]
        mode: Offline,
        /// For how long in milliseconds; without, until it is told otherwise.
        #[serde(default)]
        ms: Option<u64>,
    },
}

/// The nonsense of [`Fault::Garbage`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Garbage {
    /// A page for people, as of a captive portal.
    Html,
    /// The right answer, its second half missing, with a fitting `Content-Length`.
    TruncatedJson,
    /// The right answer, its second half missing, the connection closed.
    CutOff,
    /// `[]`.
    EmptyList,
    /// Nothing at all.
    EmptyBody,
    /// A well-formed success that shows somebody else's record.
    StrangersRecord,
}

impl Fault {
    /// A status with the remote's usual body, not applied.
    pub fn status(code: u16) -> Self {
        Self::Status { code, headers: Vec::new(), body: None, applied: false }
    }

    /// 429 with `Retry-After`.
    pub fn throttled(retry_after_seconds: u64) -> Self {
        let headers = vec![("Retry-After".to_owned(), retry_after_seconds.to_string())];
        Self::Status { code: 429, headers, body: None, applied: false }
    }

    /// A delay.
    pub fn delay(delay: Duration) -> Self {
        Self::Delay { ms: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX) }
    }

    /// Nonsense, not applied.
    pub fn garbage(what: Garbage) -> Self {
        Self::Garbage { what, applied: false }
    }

    /// Its name in journal and counters: the `kind` on the control API.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Delay { .. } => "delay",
            Self::Status { .. } => "status",
            Self::Drop => "drop",
            Self::CommitThenDrop => "commit_then_drop",
            Self::Hang { .. } => "hang",
            Self::CommitThenHang { .. } => "commit_then_hang",
            Self::Garbage { .. } => "garbage",
            Self::SlowBody { .. } => "slow_body",
            Self::RevokeToken => "revoke_token",
            Self::NewSecret => "new_secret",
            Self::Reimage { .. } => "reimage",
            Self::Offline { .. } => "offline",
        }
    }
}

/// Which requests a rule is for; what is not named matches everything.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct When {
    /// The HTTP method.
    pub method: Option<String>,
    /// The route's template.
    pub route: Option<String>,
    /// The resource.
    pub resource: Option<String>,
    /// One of our ids that the request touches.
    pub external_id: Option<String>,
    /// What the request is meant to do.
    pub operation: Option<Operation>,
    /// Only requests that change records.
    pub writes: bool,
    /// From the nth request on that matches all of the above, counted from 1.
    pub nth: Option<u64>,
    /// With this probability, by the simulator's seeded dice.
    pub probability: Option<f64>,
}

/// A fault, when it strikes, and how often.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Which requests.
    #[serde(default)]
    pub when: When,
    /// What goes wrong.
    pub fault: Fault,
    /// How often; `None` (null) is for ever. Once, if it is not said.
    #[serde(default = "once", deserialize_with = "times")]
    pub times: Option<u64>,
}

fn once() -> Option<u64> {
    Some(1)
}

fn times<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Option::deserialize(deserializer)
}

impl Rule {
    /// `fault`, once, for the next request whatever it is.
    pub fn new(fault: Fault) -> Self {
        Self { when: When::default(), fault, times: once() }
    }

    /// Only with this HTTP method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.when.method = Some(method.to_ascii_uppercase());
        self
    }

    /// Only on this route template.
    #[must_use]
    pub fn route(mut self, route: &str) -> Self {
        self.when.route = Some(route.to_owned());
        self
    }

    /// Only for this resource.
    #[must_use]
    pub fn resource(mut self, resource: impl AsRef<str>) -> Self {
        self.when.resource = Some(resource.as_ref().to_owned());
        self
    }

    /// Only if this id of ours is touched.
    #[must_use]
    pub fn external_id(mut self, external_id: impl ToString) -> Self {
        self.when.external_id = Some(external_id.to_string());
        self
    }

    /// Only for this operation.
    #[must_use]
    pub fn operation(mut self, operation: Operation) -> Self {
        self.when.operation = Some(operation);
        self
    }

    /// Only for requests that change records.
    #[must_use]
    pub fn writes(mut self) -> Self {
        self.when.writes = true;
        self
    }

    /// Not before the nth match, counted from 1.
    #[must_use]
    pub fn nth(mut self, nth: u64) -> Self {
        self.when.nth = Some(nth);
        self
    }

    /// Only with this probability.
    #[must_use]
    pub fn probability(mut self, probability: f64) -> Self {
        self.when.probability = Some(probability);
        self
    }

    /// This often.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// For ever, or until it is removed.
    #[must_use]
    pub fn unlimited(mut self) -> Self {
        self.times = None;
        self
    }
}
