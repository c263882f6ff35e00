-- In how many entities each field differs, by walk $1, without what the target ignores.
select f.name as field, count(distinct (v.entity_type, v.entity_id)) as entities
from sync.verify_row v, unnest(v.fields) as f (name)
where v.run = $1 and v.reason <> 'ignored'
group by f.name
order by f.name
