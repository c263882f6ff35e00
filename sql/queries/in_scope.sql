-- Whether a projection has a row with id $1.
select exists (select 1 from {projection} p where p.id = $1)
