-- The guard (G10) of removals at a remote: a whole race that is taken out there by mistake must not withdraw everybody.
alter table sync.inbound_guard drop constraint inbound_guard_what_check;
alter table sync.inbound_guard add constraint inbound_guard_what_check check (what in ('consents', 'removals'));
insert into sync.inbound_guard (target, what) select target, 'removals' from sync.target;

alter table sync.inbox add column verdict text check (verdict in ('let_through', 'approved'));
comment on column sync.inbox.verdict is 'Whether this removal may be taken: let through by the guard, or approved by a person. Null: it is weighed.';
