-- What MailChimp may see of a person (contract, sections 2, 6 and 11). A column that is not selected here cannot leave the
-- EMS: of a person the name, the e-mail address and the language; of each membership of a list its status and labels; and
-- whether they want e-mail at all. No date of birth, no address, no phone, nothing of health or identity.
--
-- Only persons with an e-mail address and at least one membership are shown; whoever loses either is taken out of the lists.
-- Lists that are not configured are left out by the worker, which knows the configuration.
--
-- Every projection has: id (the EMS id), modified_on (the greatest of all rows it reads), parents (none here), then the
-- fields. When a wish was expressed is needed to tell a fresh opt-in from an old one; it is brought nowhere.
-- `consents` is brought nowhere either: the lists that the person is to get mail from. The guard (G10) counts who loses one.
-- An EMS with other tables replaces this view and keeps its columns.

create or replace view sync.mailchimp_person as
select p.id,
       greatest(p.modified_on, m.modified_on, e.modified_on) as modified_on,
       '{}'::text[] as parents,
       p.first_name, p.last_name, p.email, p.language,
       m.memberships,
       e.opted_in as email_opted_in, e.modified_on as email_opted_in_on,
       case when e.opted_in is not false then m.consents else '{}' end as consents
from ems.person p
cross join lateral (
    select max(l.modified_on) as modified_on,
           jsonb_object_agg(l.list_code, jsonb_build_object(
               'status', l.status, 'labels', l.labels, 'modified_on', l.modified_on)) as memberships,
           coalesce(array_agg('list:' || l.list_code order by l.list_code)
                    filter (where l.status in ('SUBSCRIBED', 'PENDING')), '{}') as consents
    from ems.list_membership l
    where l.person_id = p.id
) m
left join ems.contact_preference e on e.person_id = p.id and e.channel = 'EMAIL'
where btrim(p.email) <> '' and m.memberships is not null;
