-- What a target may see of the entities after id $1, $2 of them.
select p.id, p.modified_on, p.parents, to_jsonb(p) - 'id' - 'modified_on' - 'parents' as fields
from {projection} p
where p.id > $1
order by p.id
limit $2
