-- Entities that a person may mean by the e-mail address $1.
select entity_type, entity_id from sync.lookup_email($1)
