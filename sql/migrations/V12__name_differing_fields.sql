-- A verify says which fields differ, by name.
alter table sync.verify_row add column fields text[] not null default '{}';
comment on column sync.verify_row.fields is 'Names of the fields in which the remote record differs, in the target''s words.';
