-- The version that a projection shows of the entity with id $1; no row when it shows none.
select p.modified_on from {projection} p where p.id = $1
