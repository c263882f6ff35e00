-- A decision about a hold is about what would be lost, by name: a loss that grows is not what was decided.
alter table sync.record add column loses text[];
comment on column sync.record.loses is
    'What it is owed, or was decided, to lose, by name (sync.loses). Null: not known, decided or owed by a version before this one.';
-- Of what a version before this one let through or had approved nobody knows what was to be lost: it is weighed anew.
update sync.record set delete_verdict = null
where lessens and owed_gen > done_gen and delete_verdict in ('let_through', 'approved');
