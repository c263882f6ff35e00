-- Locks row $2 of the inbox of target $1 if it is due and nobody else has it, and tells what is known about whose it is.
select i.*,
       extract(epoch from clock_timestamp() - i.created_on)::float8 as age,
       (select r.entity_id from sync.record r
        where r.target = i.target and r.entity_type = i.entity_type and r.remote_id = i.remote_id
        order by r.tombstoned_on nulls first, r.entity_id limit 1) as known_id,
       (select r.entity_id from sync.record r
        where r.target = i.target and r.entity_type = i.entity_type and r.former_remote_id = i.remote_id
          and r.tombstoned_on is not null and r.gave_up_key is null
        order by r.entity_id limit 1) as forgotten_id,
       (select r.entity_id from sync.record r
        where r.target = i.target and r.entity_type = i.entity_type and r.former_remote_id = i.remote_id
          and r.tombstoned_on is null
        order by r.remote_id nulls first, r.entity_id limit 1) as former_id,
       -- What we know that it held as theirs.
       (select jsonb_agg(a.remote) from sync.record r join sync.agreed a using (target, entity_type, entity_id)
        where r.target = i.target and r.entity_type = i.entity_type and r.former_remote_id = i.remote_id) as former_holds,
       i.successor is not null and not exists (
           select from sync.record r
           where r.target = i.target and r.entity_type = i.entity_type and r.remote_id = i.successor) as has_successor,
       sync.inbox_parents(i.target, i.parents) as known_parents
from sync.inbox i
where i.inbox_id = $2 and i.target = $1
  and i.state in ('pending', 'waiting') and i.due_on <= clock_timestamp()
for update of i skip locked
