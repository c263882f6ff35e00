-- Only used when sql/migrations has not created the outbox.
create schema if not exists sync;
create table if not exists sync.outbox (
    id           bigserial primary key,
    entity_type  text not null,
    entity_id    bigint not null,
    source_table text not null,
    op           text not null,
    changed_on   timestamptz not null default clock_timestamp(),
    traceparent  text
);
