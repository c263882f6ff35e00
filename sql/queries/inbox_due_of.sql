-- Which rows of the inbox of target $1 among $2 are due, and whether they may become something new: nobody knows whose they are, and
-- they lack no parent.
select i.inbox_id,
       i.shape = 'stands'
           and not exists (
               select from sync.record r
               where r.target = i.target and r.entity_type = i.entity_type and r.remote_id = i.remote_id)
           and not exists (
               select from jsonb_to_recordset(i.parents) as p (entity_type text, remote_id text, required boolean)
               where p.required and not exists (
                   select from sync.record r
                   where r.target = i.target and r.entity_type = p.entity_type and r.remote_id = p.remote_id)) as may_be_new
from sync.inbox i
where i.target = $1 and i.inbox_id = any ($2)
  and i.state in ('pending', 'waiting') and i.due_on <= clock_timestamp()
order by i.inbox_id
