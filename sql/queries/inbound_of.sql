-- What comes back from target $1 of entity $3 of type $2: its open conflicts, and what was taken in of its remote record.
select array(select c.conflict_id from sync.conflict c
             where c.target = $1 and c.entity_type = $2 and c.entity_id = $3 and c.closed_on is null order by 1) as conflicts,
       i.state, i.state_reason, nullif(i.due_on, 'infinity') as due_on, i.last_error
from (values (1)) as one (one)
left join sync.record r on r.target = $1 and r.entity_type = $2 and r.entity_id = $3
left join sync.inbox i on i.target = $1 and i.entity_type = $2 and i.remote_id = r.remote_id and i.state <> 'done'
