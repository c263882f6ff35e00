-- A dead letter tells when its trouble began: with the first attempt that failed, not with the last.
alter table sync.record add column failing_since timestamptz;
comment on column sync.record.failing_since is 'When the first attempt of the cycle under way had failed. Null: none has.';
