-- What changed in the EMS, written by capture triggers in the EMS's own transaction.
create table sync.outbox (
    id           bigserial primary key,
    entity_type  text        not null,
    entity_id    bigint      not null,
    source_table text        not null,
    op           text        not null check (op in ('insert', 'update', 'delete', 'truncate')),
    changed_on   timestamptz not null default clock_timestamp(),
    traceparent  text
) with (
    -- The table is emptied as fast as it fills: vacuum by churn, not by size.
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold    = 1000,
    -- Giving an emptied tail back takes an exclusive lock that EMS writers would wait for.
    vacuum_truncate                = off
);
comment on table sync.outbox is
    'Transactional outbox: one row per changed entity and statement. Claimed by deleting, never by a cursor over id.';
