-- The version that a projection shows of the entity with id $1, and the consents that it shows (null where it has no such column);
-- no row when it shows none.
select p.modified_on, case when jsonb_typeof(f.fields -> 'consents') = 'array'
                           then array(select jsonb_array_elements_text(f.fields -> 'consents')) end as consents
from {projection} p
cross join lateral (select to_jsonb(p) as fields) f
where p.id = $1
