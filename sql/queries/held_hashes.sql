-- What the records of target $1 and type $2 with ids $3 hold.
select r.entity_id, r.data_hash, r.owed_gen = r.done_gen and not r.in_doubt as is_settled, r.state = 'skipped' as is_skipped, r.wanted_key
from sync.record r
where r.target = $1 and r.entity_type = $2 and r.entity_id = any ($3)
