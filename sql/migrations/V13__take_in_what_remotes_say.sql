-- What was pulled from a remote and is not applied yet: one row per remote record, the newest snapshot of it. Messages in
-- <prefix>.<target>.inbound only name such rows. Contents may be personal: they are dropped as soon as they are decided about.
create table sync.inbox (
    inbox_id     bigint generated always as identity primary key,
    target       text collate "C" not null,
    entity_type  text collate "C" not null,
    remote_id    text        not null,
    entity_id    bigint,
    shape        text        not null check (shape in ('stands', 'removed', 'gone', 'unreadable')),
    body         jsonb,
    extra        jsonb,
    parents      jsonb       not null default '[]',
    hash         bytea,
    reason       text,
    successor    text,
    modified_on  timestamptz,
    requested_on timestamptz not null,
    seen_gen     bigint      not null default 1,

    state        text        not null default 'pending' check (state in ('pending', 'waiting', 'held', 'rejected', 'done')),
    state_reason text,
    last_error   text,
    attempts     integer     not null default 0,
    due_on       timestamptz not null default clock_timestamp(),
    created_on   timestamptz not null default clock_timestamp(),
    decided_on   timestamptz,

    unique (target, entity_type, remote_id)
);
create index inbox_due on sync.inbox (target, due_on) where state in ('pending', 'waiting');
create index inbox_open on sync.inbox (target, state) where state <> 'done';

comment on table sync.inbox is 'What was pulled and is not applied yet: the newest snapshot of each remote record.';
comment on column sync.inbox.entity_id is 'The EMS id that the remote record carries, if any.';
comment on column sync.inbox.shape is 'unreadable: what it holds is not what the remote''s contract has; it is rejected, and taken in when it can be read.';
comment on column sync.inbox.body is 'What it holds, in the normal form of what we push. Null once it is decided.';
comment on column sync.inbox.hash is 'Hash of the body, comparable with data_hash and remote_hash. Kept of what was decided, so that it is not decided again.';
comment on column sync.inbox.modified_on is 'When it was changed there, corrected by the difference between both clocks; null where the remote does not tell.';
comment on column sync.inbox.requested_on is 'When the request that showed it began: what was pushed since is newer.';
comment on column sync.inbox.seen_gen is 'Raised by every newer snapshot: a decision about an older one is not written.';

-- Where each walk stands. The cursor moves only when all pages of a walk are stored.
create table sync.cursor (
    target        text        not null,
    stream        text        not null,
    cursor        jsonb,
    position      jsonb,
    walk          bigint      not null default 0,
    walk_is_full  boolean     not null default false,
    walk_began_on timestamptz,
    full_on       timestamptz,
    pulled_on     timestamptz,
    clock_ahead_ms bigint,
    hinted_on     timestamptz,
    last_error    text,
    held_reason   text,
    primary key (target, stream)
);
comment on table sync.cursor is 'How far each remote has been read, per stream.';
comment on column sync.cursor.position is 'Where the walk that is under way stands; null between walks.';
comment on column sync.cursor.full_on is 'When a walk over everything was complete last.';
comment on column sync.cursor.clock_ahead_ms is 'By how much the remote''s clock is ahead of the database''s.';
comment on column sync.cursor.hinted_on is 'A webhook said that something has changed; null once a walk has begun after it.';
comment on column sync.cursor.held_reason is 'Why what a full walk did not show is not looked at: too much of it. A person decides.';

-- What a full walk has shown, so that what it has not shown can be looked at by itself.
create table sync.walk_seen (
    target      text   not null,
    stream      text   not null,
    walk        bigint not null,
    entity_type text collate "C" not null,
    remote_id   text   not null,
    primary key (target, stream, walk, entity_type, remote_id)
);
comment on table sync.walk_seen is 'Remote ids that the full walk under way has shown.';

-- What lost: a remote change that met a newer or unpushed EMS change, or one of which nobody knows whose it is.
create table sync.conflict (
    conflict_id      bigint generated always as identity primary key,
    target           text collate "C" not null,
    entity_type      text collate "C" not null,
    entity_id        bigint,
    remote_id        text        not null,
    reason           text        not null,
    -- [{"field", "ems_value", "remote_value"}]
    fields           jsonb       not null default '[]',
    candidates       bigint[]    not null default '{}',
    remote_hash      bytea,
    ems_modified_on    timestamptz,
    remote_modified_on timestamptz,
    seen_on          timestamptz not null default clock_timestamp(),
    closed_on        timestamptz,
    closed_by        text,
    outcome          text check (outcome in ('adopted', 'dismissed', 'superseded')),
    check ((closed_on is null) = (outcome is null))
);
create unique index conflict_open on sync.conflict (target, entity_type, remote_id, remote_hash) nulls not distinct
    where closed_on is null;
create index conflict_entity on sync.conflict (target, entity_type, entity_id);
create index conflict_closed on sync.conflict (closed_on) where closed_on is not null;
comment on table sync.conflict is 'Remote changes that lost, with both values, and remote records of which nobody knows whose they are.';
comment on column sync.conflict.reason is
    'unpushed, ems_newer: the EMS won. tombstone: it is deleted in the EMS. ambiguous: several candidates. refused: the EMS does not take it.';

-- What both sides held when they last agreed, as a digest per field: which side changed what since (merge = "fields").
create table sync.agreed (
    target      text collate "C" not null,
    entity_type text collate "C" not null,
    entity_id   bigint not null,
    ems         jsonb  not null,
    remote      jsonb  not null,
    primary key (target, entity_type, entity_id)
);
comment on table sync.agreed is 'What both sides held when they last agreed: a digest per field, no values.';

-- What a decision about a snapshot has to know of the record besides.
alter table sync.record
    add column former_remote_id  text,
    add column sent_on           timestamptz,
    add column sent_hashes       bytea[] not null default '{}',
    add column taken_modified_on timestamptz;
comment on column sync.record.former_remote_id is
    'The remote id that it had last: a snapshot that is older than a delete must not bring the entity back.';
comment on column sync.record.sent_on is
    'When a request of ours about it ended last, whatever came of it, or what was taken in was asked for: a snapshot that is older is read anew.';
comment on column sync.record.sent_hashes is
    'What was sent and is not confirmed: seen in a snapshot, it is our own write. Emptied when nothing of it can land any more.';
comment on column sync.record.taken_modified_on is
    'The version that the EMS had after it took a change of this target: no change of its own.';
create index record_former on sync.record (target, entity_type, former_remote_id)
    where former_remote_id is not null;

-- What both sides agreed on goes with the record.
alter table sync.agreed add foreign key (target, entity_type, entity_id) references sync.record on delete cascade;

alter table sync.inbox
    add column waits_for text,
    add column chosen    jsonb;
comment on column sync.inbox.waits_for is 'The entity, as type:id, whose push or removal makes it due.';
comment on column sync.inbox.chosen is 'Whose it is, as a person chose among several: {"<entity type>": <EMS id>}.';
create index inbox_waits_for on sync.inbox (target, waits_for) where waits_for is not null;
create index inbox_waits_for_parent on sync.inbox using gin (parents jsonb_path_ops) where state = 'waiting';

alter table sync.conflict add column candidate_type text collate "C";
comment on column sync.conflict.candidate_type is 'What the candidates are.';

-- Whoever makes something new of a remote record locks it, so that two records of one person do not become two persons.
create table sync.newcomer ();
comment on table sync.newcomer is 'Never holds anything: locked while a remote record that nobody knows becomes something in the EMS.';
