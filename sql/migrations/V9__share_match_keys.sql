-- Addresses that several entities share: at most one of them has a record at the target. `match_key` is what a record
-- holds there, `wanted_key` what the entity is to have; they differ while a change is under way.
alter table sync.record add column wanted_key bytea;
comment on column sync.record.match_key is 'The key (hash of the normalised e-mail) that its remote record holds, as far as confirmed.';
comment on column sync.record.wanted_key is 'The key that the entity is to have. The lowest id among those that want a key owns it.';
create index record_wanted on sync.record (target, wanted_key) where wanted_key is not null;
