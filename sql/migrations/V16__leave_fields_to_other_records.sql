-- What a record can't hold because another record of the target has it (a telephone number) is tried again when that one changes.
alter table sync.record add column left_to text;
comment on column sync.record.left_to is 'The remote id of a record that has something which this one should hold and can not have besides.';
create index record_left_to on sync.record (target, entity_type, left_to) where left_to is not null;
