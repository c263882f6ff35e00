//! How many requests a client may have under way, and how many it may send per second.
//!
//! The client asks and waits; who else draws on the same budget is not its business. The budget that all processes share
//! stands in [`crate::deliver::budget`]; [`OwnBudget`] is that of a client that is alone.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits;

/// The budget of a target. Whoever asks first is served first. Waiting has no end of its own: the asker bounds it, and
/// gives up by dropping the future.
pub trait Budget: fmt::Debug + Send + Sync + 'static {
    /// Waits for a slot.
    fn slot(&self) -> BoxFuture<'_, Box<dyn Permit>>;
}

/// A slot: one request at a time may be under way in it. Given back by its drop.
pub trait Permit: Send + Sync {
    /// Waits for the moment in which one request may be sent. `false`: the slot was lost, nothing may be sent in it.
    fn turn(&self) -> BoxFuture<'_, bool>;

    /// Whether a request that is sent now will have ended before the slot can be another's.
    fn reaches(&self) -> bool;
}

/// The budget of one client alone.
pub struct OwnBudget {
    slots: Arc<Semaphore>,
    rate: Option<Arc<DefaultDirectRateLimiter>>,
}

impl OwnBudget {
    /// So many requests at once, and so many per second, if that is bounded.
    #[must_use]
    pub fn new(concurrency: usize, requests_per_second: Option<NonZeroU32>) -> Self {
        let quota = requests_per_second.map(Quota::per_second);
        Self {
            slots: Arc::new(Semaphore::new(concurrency.clamp(1, limits::CONCURRENCY_MAX))),
            rate: quota.map(|quota| Arc::new(RateLimiter::direct(quota))),
        }
    }
}

impl fmt::Debug for OwnBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnBudget").field("free", &self.slots.available_permits()).finish()
    }
}

impl Budget for OwnBudget {
    fn slot(&self) -> BoxFuture<'_, Box<dyn Permit>> {
        let slot = async {
            let slot = Arc::clone(&self.slots).acquire_owned().await.ok();
            let permit: Box<dyn Permit> = Box::new(OwnPermit { slot, rate: self.rate.clone() });
            permit
        };
        slot.boxed()
    }
}

struct OwnPermit {
    slot: Option<OwnedSemaphorePermit>,
    rate: Option<Arc<DefaultDirectRateLimiter>>,
}

impl Permit for OwnPermit {
    fn turn(&self) -> BoxFuture<'_, bool> {
        let turn = async {
            if let Some(rate) = &self.rate {
                rate.until_ready().await;
            }
            self.reaches()
        };
        turn.boxed()
    }

    fn reaches(&self) -> bool {
        self.slot.is_some()
    }
}
