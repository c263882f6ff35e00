-- What each target is bound to: this database and one remote account. Made by the first successful contact, never by
-- a migration, so that a clone carries the fingerprint of where it came from.
create table sync.binding (
    target     text primary key references sync.target,
    database   bytea,
    login      bytea,
    instance   bytea,
    bound_on   timestamptz,
    bound_by   text,
    held_on    timestamptz,
    held_parts text[],
    check ((database is null) = (login is null) and (database is null) = (bound_on is null)),
    check ((held_on is null) = (held_parts is null))
);
insert into sync.binding (target) select target from sync.target;
comment on table sync.binding is 'The place that each target is bound to, as digests, and whether it is held because they differ.';
comment on column sync.binding.database is 'Digest of the database: system identifier, oid and name.';
comment on column sync.binding.login is 'Digest of what identifies our login at the remote.';
comment on column sync.binding.instance is 'Digest of what the remote says it is, where it says so.';
comment on column sync.binding.held_parts is 'What differed when the target was held: database, login, instance, epoch.';

-- Beside what people and the breaker decide, so that whoever sends sees all of it at once.
alter table sync.target add column held_on timestamptz;
comment on column sync.target.held_on is 'Since when it is held because it is not where it was bound; sync.binding says what differs.';

create table sync.binding_event (
    id          bigint generated always as identity primary key,
    target      text        not null,
    happened_on timestamptz not null default clock_timestamp(),
    event       text        not null check (event in ('bound', 'held', 'rebound')),
    parts       text[]      not null default '{}',
    done_by     text        not null,
    role        text        not null default session_user
);
comment on table sync.binding_event is 'Who bound, held and rebound a target, and when.';

-- Raised and flushed here, then kept at the broker: a broker that knows a greater one has seen a later life of this
-- database than the one that is running.
create table sync.epoch (
    only_row  boolean     primary key default true check (only_row),
    epoch     bigint      not null,
    raised_on timestamptz not null
);
insert into sync.epoch (epoch, raised_on) values (0, '-infinity');
comment on table sync.epoch is 'How far this database has come; compared with the broker''s copy.';

-- Scratch of a running `verify`: what it has seen of the remote, so that the worker's memory stays bounded.
create unlogged table sync.verify_row (
    run         uuid   not null,
    entity_type text   not null,
    entity_id   bigint not null,
    remote_id   text   not null default '',
    finding     text   not null check (finding in ('matched', 'missing', 'different', 'orphaned', 'waiting')),
    state       text   not null,
    reason      text   not null,
    seen_on     timestamptz not null default clock_timestamp(),
    primary key (run, entity_type, entity_id, remote_id)
);
comment on table sync.verify_row is 'What a running verify found so far; emptied when it ends.';

create index record_tombstoned on sync.record (target, tombstoned_on) where tombstoned_on is not null;
