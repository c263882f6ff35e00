-- A write whose answer was lost may have brought a key to the target that the entity does not want any more by now: whoever wants
-- it must wait for that record, as for any other that holds it.
alter table sync.record add column may_hold bytea[] not null default '{}';
comment on column sync.record.may_hold is 'Keys that its remote record may hold besides: the entity wanted them when a write was sent that nothing has confirmed.';
create index record_may_hold on sync.record using gin (may_hold) where may_hold <> '{}';
