-- A sweep that has never come to its end is late by when it was first begun. What was begun before this version counts from now on.
alter table sync.duty add column first_begun_on timestamptz not null default clock_timestamp();
-- One run after the other that fails late is no work under way.
alter table sync.duty add column failures integer not null default 0;
comment on column sync.duty.failures is 'Runs in a row that did not come to their end.';
comment on column sync.duty.first_begun_on is 'When it was first begun, whatever became of it.';
-- A target moves also where nothing has to be written.
alter table sync.record add column settled_on timestamptz;
comment on column sync.record.settled_on is
    'When a decision last came to its end: pushed, deleted, nothing to do, or refused for good. Null: none has since this column is there.';
