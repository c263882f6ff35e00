-- What walk $1 found and is not matched, $2 rows of it: what differs before what
-- the target ignores, and that before what waits.
select v.entity_type, v.entity_id, nullif(v.remote_id, '') as remote_id, v.finding, v.state, v.reason, v.fields
from sync.verify_row v
where v.run = $1 and v.finding <> 'matched'
order by v.finding = 'waiting', v.reason = 'ignored', v.entity_type, v.entity_id, v.remote_id
limit $2
