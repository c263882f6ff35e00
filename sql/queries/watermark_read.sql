-- How far the sweep of target $1 and type $2 has read.
select w.modified_on, w.orphan_id, w.audit_id
from sync.watermark w
where w.target = $1 and w.entity_type = $2
