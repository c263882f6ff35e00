-- How contents stand that a push to target $1 has found: $2 is [{entity_type, remote_id, wanted_by, hash (hex)}], wanted_by as in
-- sync.take_in.
-- is_decided: exactly this was decided, with what lost of it kept, or it is what the record says or what we pushed. What came to nothing
-- because nobody wanted it is not decided for who wants it. Else due_ms: in how many milliseconds it is decided, as far as that is known.
-- is_known: it is the record of an entity.
select x.entity_type, x.remote_id,
       coalesce(decode(x.hash, 'hex') in (r.remote_hash, r.data_hash), false)
           or coalesce(i.state in ('done', 'held', 'rejected') and i.hash = decode(x.hash, 'hex')
                           and (i.state <> 'done' or x.wanted_by is null or i.wanted_by = x.wanted_by), false) as is_decided,
       r.entity_id is not null as is_known,
       greatest(0, extract(epoch from i.due_on - clock_timestamp()) * 1000)::float8 as due_ms
from jsonb_to_recordset($2) as x (entity_type text, remote_id text, wanted_by bigint, hash text)
left join sync.record r on r.target = $1 and r.entity_type = x.entity_type and r.remote_id = x.remote_id
left join sync.inbox i on i.target = $1 and i.entity_type = x.entity_type and i.remote_id = x.remote_id
