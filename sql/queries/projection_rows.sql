-- How many rows a projection has.
select count(*) from {projection} p
