//! What is to be done for one entity at one target: the outbound table of `docs/design.md` section 6.
//!
//! Pure and total. The order of the tests is the order of the table.

use crate::deliver::record::WaitFor;
use crate::entity::EntityRef;
use crate::hash::ContentHash;

/// What the EMS shows of the entity, as far as the decision needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ems {
    /// No projection row: deleted, or out of scope.
    Gone {
        /// A child's record still has a remote id.
        child: Option<EntityRef>,
    },
    /// A parent has no remote id yet, so the content can't be written down.
    Orphan {
        /// That parent.
        parent: EntityRef,
    },
    /// The content can't be expressed in the target's words.
    Unmappable,
    /// It exists at the target only within others, which bring its remote id.
    Carried,
    /// The target's record of it, or of a parent, is the target's own and not known: nothing is pushed. What has a record there
    /// all the same waits for its parent, so that it is seen: nothing is removed because a parent's record is not known.
    OutOfScope {
        /// That parent.
        parent: Option<EntityRef>,
    },
    /// Another entity with the same match key owns the one record that there may be.
    Shared {
        /// The entity's own record, if there is one, holds another key: it is not the one that the owner may have.
        holds_another: bool,
    },
    /// It owns the match key, but another entity's record holds it at the target still.
    KeyHeld {
        /// Who holds it.
        holder: EntityRef,
    },
    /// The content, as its hash.
    Present {
        /// What the target should hold.
        hash: ContentHash,
        /// An older one of its kind and parent that is owed, where the target wants that one first.
        older: Option<EntityRef>,
    },
}

/// What the sync record says, as it was before the claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts about a record, each a column"
)]
pub struct Known {
    /// The remote id is known.
    pub has_remote_id: bool,
    /// A create may exist whose id we don't know.
    pub has_intent: bool,
    /// That create, if any, is older than the target's settle time: not found means not there.
    pub intent_is_settled: bool,
    /// It gave its record up to the owner of its match key, who may not have taken it over: it may be there still, with its id.
    pub gave_up: bool,
    /// And nobody wants that key any more.
    pub left_behind: bool,
    /// A write may have happened that no answer confirmed.
    pub in_doubt: bool,
    /// What was pushed last.
    pub data_hash: Option<ContentHash>,
    /// What the remote rejected last.
    pub rejected_hash: Option<ContentHash>,
    /// A person asked for it, so a rejected content is tried again.
    pub insisted: bool,
}

/// The result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Bring it into being, or adopt what is there.
    Create {
        /// A create may have been sent before, or a record of before may have been left: look first.
        look_first: bool,
        /// If that look finds nothing, nothing is there.
        absence_is_proof: bool,
    },
    /// Make the remote record hold the new content.
    Update,
    /// Nothing is to be sent.
    Skip(SkipReason),
    /// Remove the remote record.
    Delete {
        /// Its id is known; otherwise it is looked up by our key.
        id_is_known: bool,
    },
    /// Another entity must come first.
    Wait(WaitFor),
    /// A person must decide.
    Hold(HoldReason),
}

/// Why nothing is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SkipReason {
    /// It is gone, and never was at the remote.
    Nothing,
    /// The remote holds this content already.
    Unchanged,
    /// The remote rejected exactly this content.
    Rejected,
    /// Another entity owns the one record that there may be of its e-mail address. A remote id that it has is given up:
    /// the owner adopts the record.
    SharedEmail,
    /// It exists at the remote only within others.
    Carried,
    /// Its record, or a parent's, is the target's own and not known.
    OutOfScope,
}

impl SkipReason {
    /// The name that stands in records and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Unchanged => "unchanged",
            Self::Rejected => "rejected",
            Self::SharedEmail => "shared_email",
            Self::Carried => "carried",
            Self::OutOfScope => "out_of_scope",
        }
    }
}

/// Why a person must decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HoldReason {
    /// The content can't be expressed in the target's words.
    Unmappable,
    /// Its delete is one of too many at once ([`crate::deliver::guard`]).
    Guard,
    /// A person wants the remote record to stay.
    DeleteRejected,
}

impl HoldReason {
    /// The name that stands in records and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unmappable => "unmappable",
            Self::Guard => "guard",
            Self::DeleteRejected => "delete_rejected",
        }
    }
}

impl Decision {
    /// The name that stands in metrics and the audit trail.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Update => "update",
            Self::Skip(_) => "skip",
            Self::Delete { .. } => "delete",
            Self::Wait(_) => "wait",
            Self::Hold(_) => "hold",
        }
    }
}

/// Decides.
#[must_use]
pub fn decide(ems: Ems, known: Known) -> Decision {
    match ems {
        Ems::Gone { child } => gone(child, known),
        Ems::Orphan { parent } => Decision::Wait(WaitFor::Parent(parent)),
        Ems::Unmappable => Decision::Hold(HoldReason::Unmappable),
        Ems::Carried => Decision::Skip(SkipReason::Carried),
        Ems::Shared { holds_another: true } if known.has_remote_id => {
            Decision::Delete { id_is_known: true }
        }
        // A create of ours may have been applied, with whatever address it had then.
        Ems::Shared { .. } if (known.has_intent || known.left_behind) && !known.has_remote_id => {
            Decision::Delete { id_is_known: false }
        }
        Ems::OutOfScope { parent: Some(parent) } if known.has_remote_id => {
            Decision::Wait(WaitFor::Parent(parent))
        }
        Ems::OutOfScope { .. } => Decision::Skip(SkipReason::OutOfScope),
        Ems::Shared { .. } => Decision::Skip(SkipReason::SharedEmail),
        Ems::KeyHeld { holder } => Decision::Wait(WaitFor::Holder(holder)),
        Ems::Present { hash, older } => present(hash, older, known),
    }
}

const fn gone(child: Option<EntityRef>, known: Known) -> Decision {
    if !known.has_remote_id && !known.has_intent && !known.left_behind {
        return Decision::Skip(SkipReason::Nothing);
    }
    match child {
        Some(child) => Decision::Wait(WaitFor::Child(child)),
        None => Decision::Delete { id_is_known: known.has_remote_id },
    }
}

fn present(hash: ContentHash, older: Option<EntityRef>, known: Known) -> Decision {
    let was_rejected = known.rejected_hash == Some(hash) && !known.insisted;
    if !known.has_remote_id {
        // A rejected create may still have been sent before in another form: only a clean record is skipped.
        if was_rejected && !known.has_intent {
            return Decision::Skip(SkipReason::Rejected);
        }
        if let Some(older) = older {
            return Decision::Wait(WaitFor::Sibling(older));
        }
        return Decision::Create {
            look_first: known.has_intent || known.gave_up,
            absence_is_proof: known.intent_is_settled,
        };
    }
    if known.data_hash == Some(hash) && !known.in_doubt {
        return Decision::Skip(SkipReason::Unchanged);
    }
    if was_rejected {
        return Decision::Skip(SkipReason::Rejected);
    }
    Decision::Update
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::entity::EntityType;
    use crate::target::Target;

    fn hash(n: u32) -> ContentHash {
        ContentHash::of(Target::TagServer, 1, &json!(n))
    }

    const PARENT: EntityRef = EntityRef::new(EntityType::Event, 7);
    const CHILD: EntityRef = EntityRef::new(EntityType::Tag, 9);
    const OLDER: EntityRef = EntityRef::new(EntityType::Tag, 1);

    /// Every record that can exist, against every view of the EMS: 2^7 × 9 × 12 cases against the table as it is
    /// written in the design, restated here line by line.
    #[test]
    fn the_decision_is_the_tables_for_every_combination() {
        let hashes = [None, Some(hash(1)), Some(hash(2))];
        let mut cases = 0;
        for bits in 0..128_u32 {
            let bit = |n: u32| bits & (1 << n) != 0;
            for data_hash in hashes {
                for rejected_hash in hashes {
                    let known = Known {
                        has_remote_id: bit(0),
                        has_intent: bit(1),
                        intent_is_settled: bit(2),
                        in_doubt: bit(3),
                        insisted: bit(4),
                        gave_up: bit(5),
                        left_behind: bit(6),
                        data_hash,
                        rejected_hash,
                    };
                    for ems in [
                        Ems::Gone { child: None },
                        Ems::Gone { child: Some(CHILD) },
                        Ems::Orphan { parent: PARENT },
                        Ems::Unmappable,
                        Ems::Carried,
                        Ems::OutOfScope { parent: None },
                        Ems::OutOfScope { parent: Some(PARENT) },
                        Ems::Shared { holds_another: false },
                        Ems::Shared { holds_another: true },
                        Ems::KeyHeld { holder: OLDER },
                        Ems::Present { hash: hash(1), older: None },
                        Ems::Present { hash: hash(1), older: Some(OLDER) },
                    ] {
                        cases += 1;
                        assert_eq!(
                            decide(ems, known),
                            by_the_table(ems, known),
                            "{ems:?} {known:?}"
                        );
                    }
                }
            }
        }
        assert_eq!(cases, 128 * 9 * 12);
    }

    /// The table of the design, one line per `if`, in its order and its words.
    fn by_the_table(ems: Ems, known: Known) -> Decision {
        let is_gone = matches!(ems, Ems::Gone { .. });
        let child = if let Ems::Gone { child } = ems { child } else { None };
        let (hash, older) = match ems {
            Ems::Present { hash, older } => (Some(hash), older),
            Ems::Gone { .. }
            | Ems::Orphan { .. }
            | Ems::Unmappable
            | Ems::Carried
            | Ems::OutOfScope { .. }
            | Ems::Shared { .. }
            | Ems::KeyHeld { .. } => (None, None),
        };
        if is_gone && !known.has_remote_id && !known.has_intent && !known.left_behind {
            return Decision::Skip(SkipReason::Nothing);
        }
        if let Some(child) = child {
            return Decision::Wait(WaitFor::Child(child));
        }
        if is_gone {
            return Decision::Delete { id_is_known: known.has_remote_id };
        }
        if let Ems::Orphan { parent } = ems {
            return Decision::Wait(WaitFor::Parent(parent));
        }
        if ems == Ems::Unmappable {
            return Decision::Hold(HoldReason::Unmappable);
        }
        if ems == Ems::Carried {
            return Decision::Skip(SkipReason::Carried);
        }
        if let Ems::OutOfScope { parent } = ems {
            if let Some(parent) = parent
                && known.has_remote_id
            {
                return Decision::Wait(WaitFor::Parent(parent));
            }
            return Decision::Skip(SkipReason::OutOfScope);
        }
        if ems == (Ems::Shared { holds_another: true }) && known.has_remote_id {
            return Decision::Delete { id_is_known: true };
        }
        if let Ems::Shared { .. } = ems {
            if (known.has_intent || known.left_behind) && !known.has_remote_id {
                return Decision::Delete { id_is_known: false };
            }
            return Decision::Skip(SkipReason::SharedEmail);
        }
        if let Ems::KeyHeld { holder } = ems {
            return Decision::Wait(WaitFor::Holder(holder));
        }
        let same_as_rejected = hash == known.rejected_hash && !known.insisted;
        if !known.has_remote_id && (!same_as_rejected || known.has_intent) {
            if let Some(older) = older {
                return Decision::Wait(WaitFor::Sibling(older));
            }
            return Decision::Create {
                look_first: known.has_intent || known.gave_up,
                absence_is_proof: known.intent_is_settled,
            };
        }
        if known.has_remote_id && hash == known.data_hash && !known.in_doubt {
            return Decision::Skip(SkipReason::Unchanged);
        }
        if same_as_rejected {
            return Decision::Skip(SkipReason::Rejected);
        }
        Decision::Update
    }

    const SYNCED: Known = Known {
        has_remote_id: true,
        has_intent: false,
        intent_is_settled: false,
        gave_up: false,
        left_behind: false,
        in_doubt: false,
        data_hash: None,
        rejected_hash: None,
        insisted: false,
    };

    /// A → B → lost commit → A: in doubt, the old hash proves nothing.
    #[test]
    fn a_record_in_doubt_is_pushed_again_even_with_the_same_hash() {
        let known = Known { data_hash: Some(hash(1)), ..SYNCED };
        assert_eq!(
            decide(Ems::Present { hash: hash(1), older: None }, known),
            Decision::Skip(SkipReason::Unchanged)
        );
        let known = Known { in_doubt: true, ..known };
        assert_eq!(decide(Ems::Present { hash: hash(1), older: None }, known), Decision::Update);
    }

    #[test]
    fn a_delete_never_forgets_a_create_that_may_have_been_sent() {
        let known = Known { has_remote_id: false, has_intent: true, ..SYNCED };
        assert_eq!(
            decide(Ems::Gone { child: None }, known),
            Decision::Delete { id_is_known: false }
        );
    }
}
