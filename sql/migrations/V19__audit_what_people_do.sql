-- What people did about single dead letters and conflicts, written with the change itself. Their orders to a target stand in
-- sync.target_event, their decisions about what the guard holds in sync.guard_decision; view sync.audit shows all of them.
create table sync.operator_event (
    operator_event_id bigint generated always as identity primary key,
    happened_on       timestamptz      not null default clock_timestamp(),
    target            text collate "C" not null,
    event             text collate "C" not null check (event in (
                          'dead_letter_replayed', 'dead_letter_discarded', 'conflict_adopted', 'conflict_dismissed')),
    number            bigint           not null,
    entity_type       text collate "C",
    entity_id         bigint,
    by                text             not null,
    database_role     text             not null default session_user
);
create index operator_event_happened on sync.operator_event (happened_on);
comment on table sync.operator_event is 'What people did about dead letters and conflicts: what, when, by whom. Nothing personal about whom it concerned.';
comment on column sync.operator_event.number is 'Of the dead letter or the conflict.';
comment on column sync.operator_event.entity_id is 'Null where nobody knows whose it is.';

-- It also returns whether the entity is gone: what is approved is a delete, or what a record loses. Made anew with the functions.
drop function if exists sync.guard_decide(text, boolean, boolean, text);
