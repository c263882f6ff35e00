-- A create may find that the record is there already, made by people: it is decided as what people say is, for the entity that wants it.
alter table sync.inbox add column wanted_by bigint;
comment on column sync.inbox.wanted_by is
    'The entity whose create found it there, and may not write over what it holds before that is decided.';
