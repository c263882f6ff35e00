-- A decision about a hold is about what would be lost, by name: a loss that grows is not what was decided.
alter table sync.record add column loses text[];
comment on column sync.record.loses is
    'What it is owed, or was decided, to lose, by name (sync.loses). Null: not known, decided or owed by a version before this one.';
-- Made anew with the functions: its columns have changed.
drop view if exists sync.held_record;
