-- How many records of types $3 a complete walk through stream $2 of target $1 has not shown, and of how many.
select (select count(*) from sync.missing($1, $2, $3)) as missing,
       (select count(*) from sync.record r where r.target = $1 and r.entity_type = any ($3) and r.remote_id <> '{}') as records
