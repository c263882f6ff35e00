-- Who walks a stream now, and what becomes of a walk that failed.
alter table sync.cursor
    add column position_on  timestamptz,
    add column walker       uuid,
    add column walker_until timestamptz,
    add column again_on     timestamptz,
    add column failures     integer not null default 0;
comment on column sync.cursor.position_on is 'When the walk came to its position: an old one is given up, and the walk begun anew.';
comment on column sync.cursor.walker is 'The process that walks it now: a page of any other one is not stored.';
comment on column sync.cursor.walker_until is 'When another process may go on with the walk.';
comment on column sync.cursor.again_on is 'When a walk that ended early is gone on with, before its usual turn.';
comment on column sync.cursor.failures is 'Times in a row that a walk of it has ended early.';

-- Remote records that are to be read one by one: what a webhook named, and what a full walk has not shown.
create table sync.to_read (
    target      text collate "C" not null,
    entity_type text collate "C" not null,
    remote_id   text        not null,
    stream      text        not null,
    cause       text        not null check (cause in ('hinted', 'missing')),
    asked_gen   bigint      not null default 1,
    asked_on    timestamptz not null default clock_timestamp(),
    due_on      timestamptz not null default clock_timestamp(),
    attempts    integer     not null default 0,
    primary key (target, entity_type, remote_id)
);
create index to_read_due on sync.to_read (target, due_on);
comment on table sync.to_read is 'Remote records that are to be read one by one, because a webhook named them or a full walk did not show them.';
comment on column sync.to_read.asked_gen is 'Raised when it is asked for again, so that a read that began before does not settle it.';
comment on column sync.to_read.due_on is 'Not before then; while it is read, when another process may.';

-- Webhooks that were heeded, as digests, for as long as their signature is accepted: a repeated one has no effect.
create table sync.hook_seen (
    target  text        not null,
    digest  bytea       not null,
    seen_on timestamptz not null default clock_timestamp(),
    primary key (target, digest)
);
create index hook_seen_old on sync.hook_seen (seen_on);
comment on table sync.hook_seen is 'Digests of the webhooks of the last minutes, so that a repeated one has no effect. Nothing of their contents.';

-- Since when a remote shows a restriction that it does not date.
create table sync.consent_seen (
    target    text collate "C" not null,
    person_id bigint      not null,
    subject   text collate "C" not null,
    state     text        not null,
    seen_on   timestamptz not null default clock_timestamp(),
    primary key (target, person_id, subject)
);
comment on table sync.consent_seen is 'Since when a remote shows a restriction that it does not date: a later opt-in in the EMS is not reverted by it.';
