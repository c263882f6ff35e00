//! `rack_attack`'s limits, per minute of the clock (contract, section 9).

use super::options::ChatwootSettings;
use super::refusal::Refusal;
use super::route::Route;

/// The counts of the current minute. All clients of a simulator share one address.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    minute: i64,
    requests: u32,
    searches: u32,
    metas: u32,
}

impl Throttle {
    /// Counts a request; refuses it when there were too many in this minute.
    pub(super) fn admit(
        &mut self,
        route: &Route,
        second: i64,
        settings: &ChatwootSettings,
    ) -> Result<(), Refusal> {
        if settings.safelisted {
            return Ok(());
        }
        let minute = second.div_euclid(60);
        if minute != self.minute {
            *self = Self { minute, ..Self::default() };
        }
        let mut passes = exceeds_not(&mut self.requests, settings.requests_per_minute);
        if *route == Route::ContactSearch {
            passes &= exceeds_not(&mut self.searches, settings.searches_per_minute);
        }
        if *route == Route::ConversationMeta {
            passes &= exceeds_not(&mut self.metas, settings.conversation_meta_per_minute);
        }
        if passes { Ok(()) } else { Err(Refusal::Throttled) }
    }
}

fn exceeds_not(count: &mut u32, limit: u32) -> bool {
    *count = count.saturating_add(1);
    *count <= limit
}
