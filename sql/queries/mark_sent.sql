-- Notes what target $1 is about to be sent by the holder of the leases ($2): types $3, ids $4, hashes $5. The last eight are kept.
with going as (
    select r.entity_type, r.entity_id,
           array_append(array_remove(r.sent_hashes, decode(w.hash, 'hex')), decode(w.hash, 'hex')) as hashes
    from unnest($3::text[], $4::bigint[], $5::text[]) as w (entity_type, entity_id, hash)
    join sync.record r on r.target = $1 and r.entity_type = w.entity_type and r.entity_id = w.entity_id
    where r.lease_owner = $2
    order by r.entity_type, r.entity_id
    for update of r
)
update sync.record r set sent_hashes = g.hashes[greatest(cardinality(g.hashes) - 7, 1):]
from going g
where r.target = $1 and r.entity_type = g.entity_type and r.entity_id = g.entity_id
