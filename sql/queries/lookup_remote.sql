-- Entities whose record at target $1 has the remote id $2; $3 are the types that it may be of.
select r.entity_type, r.entity_id from sync.record r where r.target = $1 and r.entity_type = any ($3) and r.remote_id = $2
order by r.entity_type, r.entity_id desc
