//! The calls of one piece of work, one after the other: what was sent, what was applied and what was found out meanwhile
//! decides what its end means.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use jiff::Timestamp;
use serde_json::Value;

use super::super::http::{Intent, Method};
use super::RunSignup;
use super::answer::Refusal;
use crate::remote::{Failure, FailureClass, PushResult, SendBefore};

/// Work that ended early.
#[derive(Debug)]
pub(super) enum Stop {
    /// Nothing was sent: too little time was left, or we are to be quiet.
    NotSent,
    /// RunSignup refused, or could not be asked.
    Refused(Refusal),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure.into())
    }
}

impl Stop {
    pub(super) fn new(class: FailureClass, text: impl Into<String>) -> Self {
        Failure::new(class, text).into()
    }

    /// RunSignup's code, if it is its refusal.
    pub(super) const fn code(&self) -> Option<i64> {
        match self {
            Self::Refused(refusal) => refusal.code,
            Self::NotSent => None,
        }
    }
}

/// A conversation with RunSignup about one thing.
pub(super) struct Talk<'a> {
    pub(super) client: &'a RunSignup,
    send_before: &'a SendBefore,
    /// A write was sent, whatever became of it.
    wrote: AtomicBool,
    /// A write was applied.
    applied: AtomicBool,
    /// The remote id that was found out; 0 before.
    found: AtomicI64,
    /// RunSignup's clock at its last answer, in Unix seconds; 0 before.
    answered: AtomicI64,
}

/// An answer that is a success.
pub(super) struct Answered {
    pub(super) body: Value,
    /// RunSignup's clock.
    pub(super) date: Option<Timestamp>,
}

impl<'a> Talk<'a> {
    pub(super) const fn new(client: &'a RunSignup, send_before: &'a SendBefore) -> Self {
        Self {
            client,
            send_before,
            wrote: AtomicBool::new(false),
            applied: AtomicBool::new(false),
            found: AtomicI64::new(0),
            answered: AtomicI64::new(0),
        }
    }

    fn hears(&self, answered: Answered) -> Value {
        if let Some(date) = answered.date {
            self.answered.store(date.as_second(), Ordering::Relaxed);
        }
        answered.body
    }

    /// RunSignup's clock, as its last answer in this conversation showed it.
    pub(super) fn server_time(&self) -> Option<Timestamp> {
        let seconds = self.answered.load(Ordering::Relaxed);
        (seconds != 0).then(|| Timestamp::from_second(seconds).ok())?
    }

    pub(super) async fn read(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, Stop> {
        self.client
            .call(Intent::Read, self.send_before, |http| {
                http.request(Method::Get, path).query(query)
            })
            .await
            .map(|answered| self.hears(answered))
    }

    /// A form whose field `request` is the percent-encoded JSON (contract, section 7).
    pub(super) async fn write(
        &self,
        path: &str,
        query: &[(&str, &str)],
        form: &[(&str, &str)],
        request: &Value,
    ) -> Result<Value, Stop> {
        let request = request.to_string();
        let mut fields = form.to_vec();
        fields.extend([("request_format", "json"), ("request", request.as_str())]);
        let written = self
            .client
            .call(Intent::Write, self.send_before, |http| {
                http.request(Method::Post, path).query(query).form(&fields)
            })
            .await;
        match &written {
            Ok(_) => {
                self.wrote.store(true, Ordering::Relaxed);
                self.applied.store(true, Ordering::Relaxed);
            }
            Err(Stop::Refused(refusal)) if !refusal.failure.unsent => {
                self.wrote.store(true, Ordering::Relaxed);
            }
            Err(_) => {}
        }
        written.map(|answered| self.hears(answered))
    }

    /// The id of what it is about is known now: a failure says it, too (obligation 9).
    pub(super) fn finds(&self, remote_id: i64) {
        self.found.store(remote_id, Ordering::Relaxed);
    }

    /// Something was written.
    pub(super) fn has_written(&self) -> bool {
        self.applied.load(Ordering::Relaxed)
    }

    /// What an early end means (obligations 3 and 4).
    pub(super) fn ended(&self, stop: Stop) -> PushResult {
        let wrote = self.wrote.load(Ordering::Relaxed);
        let failure = match stop {
            Stop::NotSent if !wrote => return PushResult::NotSent,
            Stop::NotSent => {
                let text = "No time was left to find out what became of a write";
                Failure::new(FailureClass::Ambiguous, text)
            }
            Stop::Refused(Refusal { failure, .. }) => failure,
        };
        // "Transient" would say that nothing was applied.
        let is_half_done = self.has_written() && failure.class == FailureClass::Transient;
        let class = if is_half_done { FailureClass::Ambiguous } else { failure.class };
        let unsent = failure.unsent && !wrote;
        let failure = Failure { class, unsent, ..failure };
        let found = self.found.load(Ordering::Relaxed);
        let is_known = found != 0 && class != FailureClass::StaleMapping;
        PushResult::Failed(if is_known { failure.with_found(&found.to_string()) } else { failure })
    }
}
