-- What Chatwoot may see of a person: name, e-mail address, phone number, city, country and language, nothing else. Only persons
-- whom support could hear from or write to: those with an e-mail address or a phone number. A column that is not selected here
-- cannot leave the EMS. An EMS with other tables replaces this view and keeps its columns.

create or replace view sync.chatwoot_person as
select p.id, p.modified_on, '{}'::text[] as parents,
       p.first_name, p.last_name, p.email, p.phone, p.city, p.country, p.language
from ems.person p
where p.email ~ '\S' or p.phone ~ '\S';
