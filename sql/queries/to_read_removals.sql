-- Rows $2 of the inbox of target $1 wait for the removal of another record: has that one read by itself, or its stream walked where $5
-- wait to be read already. $3, $4: entity types and the streams that show them.
select count(sync.hint($1, o.stream, o.entity_type, o.remote_id, $5))
from (
    select distinct s.stream, r.entity_type, r.remote_id
    from sync.inbox i
    join sync.record r on r.target = i.target and r.entity_type = split_part(i.waits_for, ':', 1)
                      and r.entity_id = split_part(i.waits_for, ':', 2)::bigint
    join unnest($3::text[], $4::text[]) as s (entity_type, stream) on s.entity_type = r.entity_type
    where i.target = $1 and i.inbox_id = any ($2) and i.state = 'waiting' and i.state_reason = 'waiting_for_removal'
      and r.remote_id <> i.remote_id
    order by r.entity_type, r.remote_id, s.stream
) o
