-- Whoever is told that their action goes on learns from the audit trail also that it came to nothing.
alter table sync.operator_event drop constraint operator_event_event_check;
alter table sync.operator_event
    add column detail text,
    alter column target drop not null,
    alter column number drop not null,
    add constraint operator_event_event_check check (event in (
        'dead_letter_replayed', 'dead_letter_discarded', 'conflict_adopted', 'conflict_dismissed', 'action_refused', 'action_failed'));
comment on column sync.operator_event.detail is 'Of an action that was not done: which, and why. Nothing personal.';
