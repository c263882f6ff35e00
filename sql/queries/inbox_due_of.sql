-- Which rows of the inbox of target $1 among $2 are due, and whether it is known whose they are.
select i.inbox_id,
       exists (select from sync.record r
               where r.target = i.target and r.entity_type = i.entity_type and r.remote_id = i.remote_id) as is_known
from sync.inbox i
where i.target = $1 and i.inbox_id = any ($2)
  and i.state in ('pending', 'waiting') and i.due_on <= clock_timestamp()
order by i.inbox_id
