-- A decision about a hold is about what was looked at. What has joined since is known by when it did.
alter table sync.record add column loses_since timestamptz;
comment on column sync.record.loses_since is
    'Since when what is owed deletes the remote record, or takes something away from it. Null: it does neither, or a version before this one owed it.';
alter table sync.guard add column partly_decided_on timestamptz;
comment on column sync.guard.partly_decided_on is
    'When a person last decided about a part of what is held: what had joined by then stays held. Null: about nothing of it.';
