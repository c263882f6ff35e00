-- What the guard holds of type $2 at target $1, $3 at most, the undecided first: the entity is gone (a delete), or what its
-- remote record would lose, by the names of its fields and consents.
select h.entity_type, h.entity_id, h.remote_id, h.gone, h.kept, h.owed_on,
       case when h.gone then '{}'::text[] else array(
           select c.name from unnest(h.consents) as c (name) where sync.lessens('{}', array[c.name], to_jsonb(p))
           union all
           select f.name from unnest(h.holds) as f (name) where sync.lessens(array[f.name], '{}', to_jsonb(p))) end as loses
from sync.held_record h
left join {projection} p on p.id = h.entity_id
where h.target = $1 and h.entity_type = $2
order by h.kept, h.entity_id
limit $3
