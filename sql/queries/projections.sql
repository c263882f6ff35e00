-- What a target may see of the entities with ids $1.
select p.id, p.modified_on, p.parents, to_jsonb(p) - 'id' - 'modified_on' - 'parents' as fields
from {projection} p
where p.id = any ($1)
