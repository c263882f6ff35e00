-- One row per target and entity: what is owed, what was pushed, and whose turn it is.
-- Each target has its own table; sync.record reads them together.
create sequence sync.fence;
comment on sequence sync.fence is 'Fencing tokens of leases, one sequence for all targets.';

create table sync.record (
    -- Collation "C": whoever locks several records does it in key order, in SQL and in the program alike.
    target             text collate "C" not null,
    entity_type        text collate "C" not null,
    -- No foreign key: the row must outlive the entity, or its remote record could never be removed.
    entity_id          bigint      not null,

    remote_id          text,
    data_hash          bytea,
    remote_hash        bytea,
    rejected_hash      bytea,
    match_key          bytea,

    entity_synced_on   timestamptz,
    entity_modified_on timestamptz,
    seen_modified_on   timestamptz,
    remote_synced_on   timestamptz,

    owed_gen           bigint      not null default 0,
    done_gen           bigint      not null default 0,
    owed_on            timestamptz,
    last_owed_on       timestamptz,
    cause              text        not null default 'sweep',
    lane               text        not null default 'live' check (lane in ('live', 'bulk')),
    traceparent        text,

    state              text        not null default 'pending' check (state in
        ('synced', 'pending', 'waiting', 'leased', 'retrying', 'parked', 'held', 'rejected', 'skipped', 'dead_letter')),
    state_reason       text,
    last_error         text,
    attempts           integer     not null default 0,
    failures           integer     not null default 0,
    dead_lettered_on   timestamptz,

    due_on             timestamptz not null default clock_timestamp(),
    read_back_on       timestamptz,
    read_back_step     smallint    not null default 0,

    lease_owner        uuid,
    lease_until        timestamptz,
    fence              bigint,
    in_doubt           boolean     not null default false,
    intent_on          timestamptz,

    parents            text[]      not null default '{}',
    waiting_on         text,
    tombstoned_on      timestamptz,
    created_on         timestamptz not null default clock_timestamp(),

    primary key (target, entity_type, entity_id),
    check (done_gen <= owed_gen),
    check ((lease_owner is null) = (lease_until is null)),
    check ((waiting_on is not null) = (state = 'waiting'))
) partition by list (target);

create table sync.tagserver_record partition of sync.record for values in ('tagserver');
create table sync.mautic_record    partition of sync.record for values in ('mautic');
create table sync.mailchimp_record partition of sync.record for values in ('mailchimp');
create table sync.runsignup_record partition of sync.record for values in ('runsignup');
create table sync.chatwoot_record  partition of sync.record for values in ('chatwoot');

create index record_due on sync.record (target, due_on) where owed_gen > done_gen;
create index record_read_back on sync.record (target, read_back_on) where read_back_on is not null;
create index record_waiting on sync.record (target, waiting_on) where waiting_on is not null;
create index record_parents on sync.record using gin (parents);
create index record_remote on sync.record (target, entity_type, remote_id) where remote_id is not null;
create index record_match on sync.record (target, match_key) where match_key is not null;
create index record_dead on sync.record (target, dead_lettered_on) where dead_lettered_on is not null;

do $$
declare
    partition regclass;
begin
    for partition in select inhrelid::regclass from pg_inherits where inhparent = 'sync.record'::regclass loop
        execute format('alter table %s set (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05)', partition);
    end loop;
end $$;

comment on table sync.record is 'Sync records: one per target and entity. Owed means owed_gen > done_gen.';
comment on column sync.record.remote_id is 'The id at the remote; canonical JSON where the target needs several.';
comment on column sync.record.data_hash is 'SHA-256 of what we want the remote to hold, as last pushed.';
comment on column sync.record.remote_hash is 'SHA-256 of what the remote says that it holds: from its answers and read-backs.';
comment on column sync.record.rejected_hash is 'The data hash that the remote rejected last; not pushed again unchanged.';
comment on column sync.record.match_key is 'Hash of the normalised e-mail, for addresses that several persons share.';
comment on column sync.record.entity_synced_on is 'When the entity was last pushed.';
comment on column sync.record.entity_modified_on is 'The version that was pushed: the greatest modified_on of the rows its projection reads.';
comment on column sync.record.seen_modified_on is 'The version that the last decision looked at, pushed or not.';
comment on column sync.record.remote_synced_on is 'When a change was last pulled from the remote; bi-directional targets only.';
comment on column sync.record.owed_gen is 'Raised whenever the target may be behind on the entity.';
comment on column sync.record.done_gen is 'The owed_gen that the last settled decision began with.';
comment on column sync.record.owed_on is 'The oldest change that is not pushed yet.';
comment on column sync.record.due_on is 'The only gate: no claim before it. Infinity when rejected or held.';
comment on column sync.record.in_doubt is 'A write may have happened that no answer confirmed: no hash proves anything.';
comment on column sync.record.intent_on is 'Since when a create may exist at the remote whose id we do not know.';
comment on column sync.record.read_back_on is 'When an ambiguous write is to be looked at once more.';
comment on column sync.record.fence is 'Fencing token of the last lease; a finish with an older one changes nothing.';
comment on column sync.record.parents is 'The entities that this one names, as type:id.';
comment on column sync.record.waiting_on is 'The entity that must come first, as type:id; set exactly while waiting.';
comment on column sync.record.tombstoned_on is 'When the entity was found to be gone from the EMS.';
