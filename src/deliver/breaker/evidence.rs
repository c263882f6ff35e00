//! What the verdicts of some pushes say together: pure.

use crate::deliver::settle::Verdict;
use crate::entity::EntityRef;

/// What some pushes say about the target, in the order in which they ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Evidence {
    /// Pushes that were served.
    pub served: u32,
    /// Entities whose push could not reach the target, or met one that could serve nobody; each once.
    pub failed: Vec<EntityRef>,
    /// Those of them that failed after the last success.
    pub streak: Vec<EntityRef>,
}

impl Evidence {
    /// What these verdicts say.
    #[must_use]
    pub fn of<'a>(verdicts: impl IntoIterator<Item = (EntityRef, &'a Verdict)>) -> Self {
        let mut evidence = Self::default();
        for (entity, verdict) in verdicts {
            match verdict {
                Verdict::Served => {
                    evidence.served = evidence.served.saturating_add(1);
                    evidence.streak.clear();
                }
                Verdict::Unreachable => {
                    note(&mut evidence.failed, entity);
                    note(&mut evidence.streak, entity);
                }
                Verdict::Neutral | Verdict::Pause(_) | Verdict::Refused(_) => {}
            }
        }
        evidence
    }

    /// It says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.served == 0 && self.failed.is_empty()
    }

    /// Both together, this one first.
    #[must_use]
    pub fn and_then(mut self, later: Self) -> Self {
        self.served = self.served.saturating_add(later.served);
        if later.served > 0 {
            self.streak.clear();
        }
        later.streak.iter().for_each(|entity| note(&mut self.streak, *entity));
        later.failed.iter().for_each(|entity| note(&mut self.failed, *entity));
        self
    }
}

fn note(entities: &mut Vec<EntityRef>, entity: EntityRef) {
    if !entities.contains(&entity) {
        entities.push(entity);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::entity::EntityType;

    fn person(id: i64) -> EntityRef {
        EntityRef::new(EntityType::Person, id)
    }

    fn of(verdicts: &[(i64, Verdict)]) -> Evidence {
        Evidence::of(verdicts.iter().map(|(id, verdict)| (person(*id), verdict)))
    }

    #[test]
    fn an_entity_that_fails_again_and_again_counts_once() {
        let evidence = of(&[(1, Verdict::Unreachable), (1, Verdict::Unreachable)]);
        assert_eq!((evidence.failed, evidence.streak), (vec![person(1)], vec![person(1)]));
    }

    #[test]
    fn a_success_ends_a_streak_and_forgets_no_failure() {
        let evidence =
            of(&[(1, Verdict::Unreachable), (2, Verdict::Served), (3, Verdict::Unreachable)]);
        assert_eq!(evidence.served, 1);
        assert_eq!(
            (evidence.failed, evidence.streak),
            (vec![person(1), person(3)], vec![person(3)])
        );
    }

    fn verdicts() -> impl Strategy<Value = Vec<(i64, Verdict)>> {
        let verdict = prop_oneof![
            Just(Verdict::Served),
            Just(Verdict::Unreachable),
            Just(Verdict::Neutral),
            Just(Verdict::Pause(None)),
        ];
        prop::collection::vec((0..6_i64, verdict), 0..12)
    }

    proptest! {
        #[test]
        fn evidence_in_parts_says_the_same_as_in_one(a in verdicts(), b in verdicts()) {
            let whole = of(&[a.clone(), b.clone()].concat());
            prop_assert_eq!(of(&a).and_then(of(&b)), whole);
        }
    }
}
