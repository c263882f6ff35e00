//! Ten requests at the same moment, for all keys and apps of the account together. There is no
//! rate header and no `Retry-After`, and the refusal is not always JSON.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::StatusCode;

use super::options::{MailChimpSettings, ThrottledAnswer};
use super::problem::{Problem, bare};
use crate::Response;

/// Counts who is inside.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    inside: Arc<AtomicUsize>,
    refused: AtomicUsize,
}

/// One place inside; free again when it is dropped, which is when the server is done: not when
/// the client gives up.
#[derive(Debug)]
pub(super) struct Pass(Arc<AtomicUsize>);

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Throttle {
    /// Takes a place; tells how many are taken now.
    pub(super) fn enter(&self) -> (Pass, usize) {
        let inside = 1 + self.inside.fetch_add(1, Ordering::AcqRel);
        (Pass(Arc::clone(&self.inside)), inside)
    }

    /// The next refusal.
    pub(super) fn refusal(&self, settings: &MailChimpSettings) -> Response {
        let count = self.refused.fetch_add(1, Ordering::Relaxed);
        let turn = match settings.throttled_answer {
            ThrottledAnswer::Problem => 0,
            ThrottledAnswer::BareForbidden => 1,
            ThrottledAnswer::BareTooManyRequests => 2,
            ThrottledAnswer::Alternating => count % 3,
        };
        match turn {
            0 => Problem::too_many_requests().into_response(true),
            1 => bare(StatusCode::FORBIDDEN),
            _ => bare(StatusCode::TOO_MANY_REQUESTS),
        }
    }
}
