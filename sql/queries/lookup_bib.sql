-- Entities that a person may mean by the bib number $1.
select entity_type, entity_id from sync.lookup_bib($1)
