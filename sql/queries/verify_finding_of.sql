-- What walk $1 found of entity $3 of type $2.
select v.entity_type, v.entity_id, nullif(v.remote_id, '') as remote_id, v.finding, v.state, v.reason, v.fields
from sync.verify_row v
where v.run = $1 and v.entity_type = $2 and v.entity_id = $3
order by v.remote_id
