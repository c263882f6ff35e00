//! Between deciding and pushing: the deletes of a batch that may not be sent are held, and so is what takes something away
//! from a record that stays.

use super::{Turn, Worker};
use crate::deliver::decision::{Decision, HoldReason};
use crate::deliver::guard;
use crate::deliver::record::{Claim, Holds};
use crate::remote::Remote;
use crate::store::{DeleteVerdict, StoreError, Weighed};

impl<R: Remote> Worker<R> {
    /// Turns the deletes that the guard does not let through into holds. Without a delete nothing is asked.
    pub(super) async fn guarded(&self, mut turns: Vec<Turn>) -> Result<Vec<Turn>, StoreError> {
        let deletes: Vec<_> = turns
            .iter()
            .filter(|turn| turn.takes_away())
            .map(|turn| {
                let is_gone = turn.seen.modified_on.is_none();
                let Claim { entity, owed_gen, holds, .. } = &turn.claim;
                let is_delete = matches!(turn.decision, Decision::Delete { .. });
                let whole = is_delete.then(|| Holds::WHOLE_RECORD.to_owned()).into_iter();
                let loses = whole.chain(holds.lost_in(&turn.seen.holds)).filter(|_| !is_gone);
                Weighed { entity: *entity, owed_gen: *owed_gen, is_gone, loses: loses.collect() }
            })
            .collect();
        if deletes.is_empty() {
            return Ok(turns);
        }
        let target = self.remote.target();
        let guarded = self.store.guard_deletes(target, &deletes, self.guard).await?;
        if let Some(counts) = guarded.tripped {
            tracing::error!(
                target.name = %target,
                guard.waiting = counts.waiting,
                guard.let_through = counts.let_through,
                guard.allowance = guard::allowance(counts.records, self.guard),
                "Too many deletions, unsubscribes and blanked fields at once: they are held until `ems-sync target approve {target}` or \
                 `ems-sync target reject {target}`"
            );
        }
        for turn in &mut turns {
            if !turn.takes_away() {
                continue;
            }
            // A record that is not there any more is no longer ours: its finish is fenced.
            let verdict = guarded.verdicts.get(&turn.claim.entity).copied();
            match verdict.unwrap_or(DeleteVerdict::Held) {
                DeleteVerdict::Send => {}
                DeleteVerdict::Held => turn.decision = Decision::Hold(HoldReason::Guard),
                DeleteVerdict::Rejected => {
                    turn.decision = Decision::Hold(HoldReason::DeleteRejected);
                }
            }
        }
        Ok(turns)
    }
}

impl Turn {
    /// It removes the remote record, or takes something away from it.
    fn takes_away(&self) -> bool {
        match self.decision {
            Decision::Delete { .. } => true,
            // A create that looks first may find the record that it had before a rebind.
            Decision::Update | Decision::Create { look_first: true, .. } => {
                self.claim.holds.is_lessened_by(&self.seen.holds)
            }
            Decision::Create { look_first: false, .. }
            | Decision::Skip(_)
            | Decision::Wait(_)
            | Decision::Hold(_) => false,
        }
    }
}
