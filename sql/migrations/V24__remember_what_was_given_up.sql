-- Who gave a record up to the owner of its match key, and is shown no more before the owner has taken it over.
alter table sync.record add column gave_up_key bytea;
comment on column sync.record.gave_up_key is
    'The match key of the record that it left to the owner of that key: it may still carry its id there.';
create index record_gave_up on sync.record (target, gave_up_key) where gave_up_key is not null;
