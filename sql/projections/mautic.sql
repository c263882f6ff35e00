-- What Mautic may see of a person (contract, section 2a). A column that is not selected here cannot leave the EMS.
--
-- Who: persons with an e-mail address. Without one there is no contact, and each retry would make another one.
-- What: name, e-mail address, telephone number, city, postal code, country, language, and what the person said about
-- e-mail and SMS, with the moment. No street, no date of birth, no gender; no province either: Mautic takes states from a
-- list of its own and refuses a contact with any other, so it is not sent.
--
-- Columns that every projection has: sql/projections/tagserver.sql. Values are as the EMS has them.
-- `consents` is brought nowhere: the channels that the person has not opted out of. The guard (G10) counts who loses one, so a
-- view that takes their place must say there what it says of e-mail and SMS.

create or replace view sync.mautic_person as
select p.id, greatest(p.modified_on, e.modified_on, s.modified_on) as modified_on, '{}'::text[] as parents,
       p.title, p.first_name, p.last_name, p.email, p.phone, p.city, p.postal_code, p.country, p.language,
       e.opted_in as email_opted_in, e.modified_on as email_preference_on,
       s.opted_in as sms_opted_in, s.modified_on as sms_preference_on,
       array_remove(array[case when e.opted_in is not false then 'email' end,
                          case when s.opted_in is not false then 'sms' end], null) as consents
from ems.person p
left join ems.contact_preference e on e.person_id = p.id and e.channel = 'EMAIL'
left join ems.contact_preference s on s.person_id = p.id and s.channel = 'SMS'
where p.email ~ '\S';
