-- Consent that was taken back elsewhere becomes the EMS's own: an unsubscribe, a complaint, a bounce or a block at a remote.
-- Called by the inbound sweep in the transaction that stores a page. An EMS with other tables replaces this function.
--
-- What it does: the channel's contact preference becomes "not opted in", or the membership of the list becomes UNSUBSCRIBED; the
-- reason names the source ("mailchimp: unsubscribed"). It never gives a consent, and never changes anything else.
--
-- Whose word counts: the later one. What the EMS holds stands if it was written after the person said so at the remote. Where the
-- remote does not say when, the moment counts at which this restriction was first seen there (sync.consent_seen): it was there
-- at the latest then, and an opt-in that people enter in the EMS afterwards is a new decision, which the same old restriction,
-- seen again with every walk, must not revert. Should they restrict it there once more without a date, it looks the same; a
-- preference that says "no" in the EMS is how to be sure.
--
-- Where the EMS has no preference for the channel, one is made: without it "no" would not be known to the other remotes.
-- Where it has no membership of the list, nothing is done: there is nobody to be taken out, and a membership would bring the
-- person to the mailing remote.
--
-- p_rows: [{person, subject: {"channel": …} or {"list": …}, state, said_on}]. Returns how many rows of the EMS it changed.
create or replace function sync.take_consents(p_target text, p_rows jsonb) returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
declare
    changed bigint;
begin
    insert into sync.consent_seen as c (target, person_id, subject, state)
    select distinct on (x.person, x.subject::text) p_target, x.person, x.subject::text, x.state
    from jsonb_to_recordset(p_rows) as x (person bigint, subject jsonb, state text, said_on timestamptz)
    where x.said_on is null
    order by x.person, x.subject::text, x.state
    on conflict (target, person_id, subject) do update set state = excluded.state, seen_on = excluded.seen_on
    where c.state <> excluded.state;

    with given as (
        select distinct on (x.person, x.subject::text)
               x.person, x.subject ->> 'channel' as channel, x.subject ->> 'list' as list,
               p_target || ': ' || x.state as reason, coalesce(x.said_on, s.seen_on) as said_on
        from jsonb_to_recordset(p_rows) as x (person bigint, subject jsonb, state text, said_on timestamptz)
        left join sync.consent_seen s
               on s.target = p_target and s.person_id = x.person and s.subject = x.subject::text and x.said_on is null
        where exists (select from ems.person p where p.id = x.person)
        order by x.person, x.subject::text, said_on desc
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
