//! A token that a remote gives for credentials: renewed before it ends, by one request at a time, and a refusal of the
//! credentials told to all who wait.

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{Failure, FailureClass};

/// Refused credentials are not tried again in this time: until every process has seen that the target is disabled.
/// Accounts are locked after a few wrong tries.
const REFUSED_FOR: Duration = Duration::from_secs(1);

/// A bearer token and when to renew it, on our monotonic clock: a wrong wall clock neither renews too late nor for ever.
pub(super) struct Token {
    text: SecretString,
    renew_at: Instant,
}

impl Token {
    /// A token that is to be renewed after this.
    pub(super) fn new(text: String, renew_after: Duration) -> Self {
        Self { text: SecretString::from(text), renew_at: Instant::now() + renew_after }
    }

    pub(super) fn text(&self) -> &str {
        self.text.expose_secret()
    }
}

/// The token that was given last. Its lock is held while a login is under way, so that there is one at a time.
pub(super) struct LastLogin(Mutex<State>);

/// What the last login came to.
struct State {
    token: Option<Arc<Token>>,
    /// When it failed, and why.
    failed: Option<(Instant, Failure)>,
}

impl LastLogin {
    pub(super) const fn new() -> Self {
        Self(Mutex::const_new(State { token: None, failed: None }))
    }

    /// The token, by `log_in` when there is none or it is due. `asked` is since when the caller wants it: a login that
    /// failed after that is its answer too, or a batch would try a wrong password once per entity. `anew`: a refusal from
    /// before is no answer: a person may have corrected its reason by now.
    pub(super) async fn token(
        &self,
        asked: Instant,
        anew: bool,
        log_in: impl Future<Output = Result<Token, Failure>> + Send,
    ) -> Result<Arc<Token>, Failure> {
        let mut state = self.0.lock().await;
        if let Some(token) = state.token.as_ref().filter(|token| Instant::now() < token.renew_at) {
            return Ok(Arc::clone(token));
        }
        let is_answer_too = |(at, failure): &&(Instant, Failure)| {
            *at >= asked || (is_refusal(failure) && !anew && at.elapsed() < REFUSED_FOR)
        };
        if let Some((_, failure)) = state.failed.as_ref().filter(is_answer_too) {
            return Err(failure.clone());
        }
        match log_in.await {
            Ok(token) => {
                let token = Arc::new(token);
                state.token = Some(Arc::clone(&token));
                Ok(token)
            }
            Err(failure) => {
                let failure = of_the_target(failure);
                state.failed = Some((Instant::now(), failure.clone()));
                Err(failure)
            }
        }
    }

    /// Forgets a token that the server refused, unless another one has taken its place.
    pub(super) async fn forget(&self, refused: &Arc<Token>) {
        let mut state = self.0.lock().await;
        if state.token.as_ref().is_some_and(|token| Arc::ptr_eq(token, refused)) {
            state.token = None;
        }
    }
}

/// The credentials are wrong, and so they are in a moment.
const fn is_refusal(failure: &Failure) -> bool {
    matches!(failure.class, FailureClass::Authentication | FailureClass::Configuration)
}

/// A login says nothing about the entity that needed it: whatever else its failure looks like, a captive portal's page
/// or a proxy's 404, it is the target that can't be reached.
fn of_the_target(failure: Failure) -> Failure {
    let class = match failure.class {
        FailureClass::Transient
        | FailureClass::Throttled
        | FailureClass::Authentication
        | FailureClass::Configuration => failure.class,
        FailureClass::Ambiguous
        | FailureClass::Postponed
        | FailureClass::Rejected
        | FailureClass::StaleMapping
        | FailureClass::MissingParent
        | FailureClass::OurFault => FailureClass::Transient,
    };
    let text = format!("The login failed: {}", failure.text);
    Failure::new(class, text).with_retry_after(failure.retry_after)
}
