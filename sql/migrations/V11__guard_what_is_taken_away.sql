-- The guard (G10) counts not only deletes but also what takes something away from a record that stays: a consent that is
-- withdrawn, a list that is left, a field that is blanked. So a record knows what its remote record holds, by name.
alter table sync.record
    add column holds    text[]  not null default '{}',
    add column consents text[]  not null default '{}',
    add column lessens  boolean not null default false;

comment on column sync.record.holds is 'Names of the projection''s columns that were not blank when the remote last confirmed what it holds.';
comment on column sync.record.consents is 'The consents among them (column `consents` of a projection): channels, lists.';
comment on column sync.record.lessens is
    'What is owed would blank a field or withdraw a consent that the remote record holds. Weighed by the guard like a delete.';
comment on column sync.record.delete_verdict is
    'Whether this deletion, or what it takes away, may be sent: let through by the guard, approved or rejected by a person. '
    'Null: not decided. Forgotten when nothing is to be taken away any more, so that a retry is not counted twice and the next one is.';

create index record_open_lessening on sync.record (target) where lessens and owed_gen > done_gen and delete_verdict is null;
