-- Consent that was taken back elsewhere becomes the EMS's own: an unsubscribe, a complaint, a bounce, a block or an archival
-- at a remote.
-- Called by the inbound sweep in the transaction that stores a page, through sql/functions/inbound_guard.sql. An EMS with other tables
-- replaces these functions.
--
-- What is done: the channel's contact preference becomes "not opted in", or the membership of the list becomes UNSUBSCRIBED; the
-- reason names the source ("mailchimp: unsubscribed"). They never give a consent, and never change anything else.
--
-- Whose word counts: the later one. What the EMS holds stands if it was written after the person said so at the remote. Where the
-- remote does not say when, the moment counts at which this restriction was first seen there (sync.consent_seen): it was there
-- at the latest then, and an opt-in that people enter in the EMS afterwards is a new decision, which the same old restriction,
-- seen again with every walk, must not revert. Once the remote shows no restriction, the next one is a new one.
--
-- Where the EMS has no preference for the channel, one is made: without it "no" would not be known to the other remotes.
-- Where it has no membership of the list, nothing is done: there is nobody to be taken out, and a membership would bring the
-- person to the mailing remote.
--
-- p_rows: [{person, subject: {"channel": …} or {"list": …}, state, said_on}].

-- Those rows that would change something in the EMS.
create or replace function sync.consents_open(p_rows jsonb) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $body$
    select coalesce(jsonb_agg(r.r), '[]')
    from jsonb_array_elements(p_rows) as r (r)
    cross join lateral jsonb_to_record(r.r) as x (person bigint, subject jsonb, said_on timestamptz)
    where exists (select from ems.person p where p.id = x.person)
      and (x.subject ->> 'channel' in ('EMAIL', 'SMS', 'PHONE', 'POST')
           and not exists (
               select from ems.contact_preference c
               where c.person_id = x.person and c.channel = x.subject ->> 'channel'
                 and (not c.opted_in or c.modified_on > x.said_on))
           or exists (
               select from ems.list_membership m
               where m.person_id = x.person and m.list_code = x.subject ->> 'list' and m.status in ('SUBSCRIBED', 'PENDING')
                 and m.modified_on <= x.said_on))
$body$;
comment on function sync.consents_open is 'Restrictions that would change something in the EMS.';

-- How many consents the EMS has of the channels and lists that the rows concern.
create or replace function sync.consents_there(p_rows jsonb) returns bigint
language sql stable
set search_path = pg_catalog, pg_temp
as $body$
    select (select count(*) from ems.contact_preference c
            where c.opted_in
              and c.channel in (select x.subject ->> 'channel' from jsonb_to_recordset(p_rows) as x (subject jsonb)))
         + (select count(*) from ems.list_membership m
            where m.status in ('SUBSCRIBED', 'PENDING')
              and m.list_code in (select x.subject ->> 'list' from jsonb_to_recordset(p_rows) as x (subject jsonb)))
$body$;
comment on function sync.consents_there is 'How many consents there are of the channels and lists that these restrictions concern.';

-- Has the EMS take the rows. Returns how many rows of the EMS it changed.
create or replace function sync.take_consents(p_target text, p_rows jsonb) returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
declare
    changed bigint;
begin
    with given as (
        select distinct on (x.person, x.subject::text)
               x.person, x.subject ->> 'channel' as channel, x.subject ->> 'list' as list,
               p_target || ': ' || x.state as reason, x.said_on
        from jsonb_to_recordset(p_rows) as x (person bigint, subject jsonb, state text, said_on timestamptz)
        where exists (select from ems.person p where p.id = x.person)
        order by x.person, x.subject::text, x.said_on desc
    ), channels as (
        update ems.contact_preference c set opted_in = false, reason = g.reason
        from given g
        where c.person_id = g.person and c.channel = g.channel and c.opted_in and c.modified_on <= g.said_on
        returning 1
    ), lists as (
        update ems.list_membership m set status = 'UNSUBSCRIBED'
        from given g
        where m.person_id = g.person and m.list_code = g.list and m.status in ('SUBSCRIBED', 'PENDING')
          and m.modified_on <= g.said_on
        returning 1
    ), new_channels as (
        insert into ems.contact_preference (person_id, channel, opted_in, reason)
        select g.person, g.channel, false, g.reason
        from given g
        where g.channel in ('EMAIL', 'SMS', 'PHONE', 'POST')
        order by g.person, g.channel
        on conflict (person_id, channel) do nothing
        returning 1
    )
    select (select count(*) from channels) + (select count(*) from lists) + (select count(*) from new_channels) into changed;
    return changed;
end
$body$;
comment on function sync.take_consents is 'Takes in consents that people took back at a remote: only restricts, and only what is not newer in the EMS.';

-- Forgets what is left of persons that the EMS has not any more: the restrictions that were seen, held or rejected, and the values of
-- conflicts, which stay listed without them: p_gone_days after they were noted, so that a person at the desk can still read what lost.
-- Returns how many rows it concerned, at most p_limit of each kind.
create or replace function sync.purge_gone_persons(p_target text, p_gone_days float8, p_limit bigint) returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
declare
    v_rows  bigint;
    v_total bigint := 0;
begin
    delete from sync.consent_seen c where c.ctid = any (array(
        select o.ctid from sync.consent_seen o
        where o.target = p_target and not exists (select from ems.person p where p.id = o.person_id)
        limit p_limit for update skip locked));
    get diagnostics v_rows = row_count;
    v_total := v_total + v_rows;
    delete from sync.consent_held c where c.ctid = any (array(
        select o.ctid from sync.consent_held o
        where o.target = p_target and not exists (select from ems.person p where p.id = o.person_id)
        limit p_limit for update skip locked));
    get diagnostics v_rows = row_count;
    v_total := v_total + v_rows;
    with gone as (
        select o.conflict_id from sync.conflict o
        where o.target = p_target and o.entity_type = 'person' and o.entity_id is not null
          and o.seen_on < clock_timestamp() - p_gone_days * interval '1 day'
          and not exists (select from ems.person p where p.id = o.entity_id)
          and jsonb_path_exists(o.fields, '$[*] ? (@.ems_value != null || @.remote_value != null)')
        limit p_limit for update skip locked
    )
    update sync.conflict c set fields = (
        select jsonb_agg(f.f || '{"ems_value": null, "remote_value": null}' order by f.nr)
        from jsonb_array_elements(c.fields) with ordinality as f (f, nr))
    from gone g
    where c.conflict_id = g.conflict_id;
    get diagnostics v_rows = row_count;
    return v_total + v_rows;
end
$body$;
comment on function sync.purge_gone_persons is 'Forgets what is left of persons that the EMS has not any more.';
