//! Short words for how pushes ended, and how long anything may take.

use std::collections::BTreeMap;
use std::time::Duration;

use ems_sync::entity::{EntityRef, EntityType};
use ems_sync::remote::{Action, Push, PushResult};

/// Nothing here takes this long unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How a push ended, in one word: `held`, `adopted`, `gone`, `unsettled`, `not_sent`, or the class of its failure.
pub(crate) fn word(result: &PushResult) -> &'static str {
    match result {
        PushResult::Held { written: true, .. } => "held",
        PushResult::Held { written: false, .. } => "adopted",
        PushResult::Differs(_) => "differs",
        PushResult::Gone => "gone",
        PushResult::Unsettled => "unsettled",
        PushResult::NotSent => "not_sent",
        PushResult::Failed(failure) => failure.class.name(),
    }
}

/// The words of many results, with how often each stands there.
pub(crate) fn words(results: &BTreeMap<i64, PushResult>) -> BTreeMap<&'static str, usize> {
    let mut words = BTreeMap::new();
    for result in results.values() {
        *words.entry(word(result)).or_default() += 1;
    }
    words
}

/// The push of an entity to which person `by` has given up the address that both want.
pub(crate) fn given_up(mut push: Push, by: i64) -> Push {
    let by = EntityRef::new(EntityType::Person, by);
    if let Action::Create { wire, .. } | Action::Update { wire, .. } = &mut push.action {
        wire.given_up_by.push(by);
    }
    push
}
