-- Locks conflict $1 while it is open.
select c.target, c.entity_type, c.entity_id, c.remote_id, c.reason, c.fields, c.candidates, c.candidate_type, c.ems_modified_on
from sync.conflict c
where c.conflict_id = $1 and c.closed_on is null
for update of c
