-- The blast-radius guard (G10): what is owed as a delete, which deletes may be sent, and what people decided.
alter table sync.record
    add column gone boolean not null default false,
    add column delete_verdict text check (delete_verdict in ('let_through', 'approved', 'rejected'));

comment on column sync.record.gone is 'The projection had no row for it when it was last owed or decided: what is owed is a delete.';
comment on column sync.record.delete_verdict is
    'Whether this deletion may be sent: let through by the guard, approved or rejected by a person. Null: not decided. '
    'Forgotten when the entity is there again, so that a retry is not counted twice and the next deletion is.';

create index record_open_delete on sync.record (target) where gone and owed_gen > done_gen and delete_verdict is null;
create index record_held on sync.record (target) where state = 'held';

create table sync.guard (
    target            text primary key references sync.target (target),
    window_started_on timestamptz,
    let_through       bigint not null default 0,
    records           bigint not null default 0,
    tripped_on        timestamptz
);
insert into sync.guard (target) select target from sync.target;
comment on table sync.guard is 'The guard of each target, shared by all processes; its row is locked while deletes are weighed.';
comment on column sync.guard.window_started_on is 'When the window began: with the first delete after the window before it.';
comment on column sync.guard.let_through is 'Deletes that were let through in the window. What a person approved is not counted.';
comment on column sync.guard.records is 'The most records that the target was seen to hold in the window: what a share is a share of.';
comment on column sync.guard.tripped_on is 'Since when deletes are held; null while they are not.';

create table sync.guard_decision (
    decided_on    timestamptz not null default clock_timestamp(),
    target        text        not null,
    decision      text        not null check (decision in ('tripped', 'approved', 'rejected')),
    decided_by    text        not null,
    database_role text        not null default session_user,
    deletes       bigint      not null,
    by_type       jsonb       not null default '{}',
    primary key (target, decided_on, decision)
);
comment on table sync.guard_decision is 'Audit trail of the guard: when it tripped, and what people approved or rejected.';
