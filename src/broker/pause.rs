//! A moment in which nothing is published to a target's queues, because a consumer leaves: what a quorum queue sends while it is
//! told of the cancellation, it takes back and delivers again.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use crate::limits;
use crate::target::Target;

/// Which targets' queues are not published to now; shared by all publishers of a process.
#[derive(Debug, Clone, Default)]
pub struct Pause(Arc<Mutex<HashMap<Target, Instant>>>);

impl Pause {
    /// From now on nothing is published to this target's queues, for [`limits::PUBLISHING_PAUSED_FOR`].
    pub fn begin(&self, target: Target) {
        let until = Instant::now() + limits::PUBLISHING_PAUSED_FOR;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(target, until);
    }

    /// Waits until none of these targets is paused.
    pub async fn over(&self, targets: impl Iterator<Item = Target>) {
        let targets: BTreeSet<Target> = targets.collect();
        while let Some(until) = self.until(&targets) {
            tokio::time::sleep_until(until).await;
        }
    }

    fn until(&self, targets: &BTreeSet<Target>) -> Option<Instant> {
        let mut paused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        paused.retain(|_, until| Instant::now() < *until);
        targets.iter().filter_map(|target| paused.get(target).copied()).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_up_its_target_only_and_for_a_moment() {
        let pause = Pause::default();
        let began = Instant::now();
        pause.begin(Target::Mautic);
        pause.over([Target::TagServer, Target::Chatwoot].into_iter()).await;
        assert_eq!(began.elapsed(), std::time::Duration::ZERO);
        pause.over(Target::ALL.into_iter()).await;
        assert_eq!(began.elapsed(), limits::PUBLISHING_PAUSED_FOR);
        pause.over(Target::ALL.into_iter()).await;
        assert_eq!(began.elapsed(), limits::PUBLISHING_PAUSED_FOR, "it is over");
    }
}
