-- What people order of a whole target stands in the audit trail, too: before it is done, so that what was interrupted does.
alter table sync.operator_event drop constraint operator_event_event_check;
alter table sync.operator_event
    add constraint operator_event_event_check check (event in (
        'dead_letter_replayed', 'dead_letter_discarded', 'conflict_adopted', 'conflict_dismissed', 'action_refused', 'action_failed',
        'repair_ordered', 'resync_ordered', 'missing_accepted'));
comment on column sync.operator_event.detail is 'Of an action that was not done: which, and why. Of an order: what of. Nothing personal.';
