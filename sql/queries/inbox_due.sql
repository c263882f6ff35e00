-- Rows of the inbox of target $1 that are due, oldest first, $2 at most.
select i.entity_type, i.inbox_id
from sync.inbox i
where i.target = $1 and i.state in ('pending', 'waiting') and i.due_on <= clock_timestamp()
order by i.due_on
limit $2
