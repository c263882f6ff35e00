-- Makes those of the rows $2 of the inbox of target $1 due that wait for a parent that has come by now, for the removal of a record that
-- is gone by now, or for a push that has ended: whoever did that may not have seen them wait. Returns them.
with over as (
    select i.inbox_id
    from sync.inbox i
    where i.target = $1 and i.inbox_id = any ($2) and i.state in ('pending', 'waiting')
      and case i.state_reason
          when 'waiting_for_parent' then not exists (
              select from jsonb_to_recordset(sync.inbox_parents(i.target, i.parents)) as p (id bigint, required boolean)
              where p.id is null and p.required)
          when 'waiting_for_removal' then not exists (
              select from sync.record r
              where r.target = i.target and r.entity_type = split_part(i.waits_for, ':', 1)
                and r.entity_id = split_part(i.waits_for, ':', 2)::bigint
                and r.remote_id <> i.remote_id)
          when 'pushed_now' then not exists (
              select from sync.record r
              where r.target = i.target and r.entity_type = split_part(i.waits_for, ':', 1)
                and r.entity_id = split_part(i.waits_for, ':', 2)::bigint and r.lease_owner is not null)
          end
    order by i.inbox_id
    for update of i skip locked
)
update sync.inbox i set state = 'pending', state_reason = null, waits_for = null, due_on = clock_timestamp()
from over o
where i.inbox_id = o.inbox_id
returning i.entity_type, i.inbox_id
