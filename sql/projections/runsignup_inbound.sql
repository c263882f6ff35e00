-- What the EMS takes in from RunSignup. Registrations become participants with their persons, events there races, a race there
-- with its day an event. These functions, and nothing else of the worker, write to the EMS what RunSignup says; an EMS with other
-- tables replaces them. They run with the rights of the worker, in one transaction with its own records.
--
-- p_fields has the keys of the registration (event, race) in RunSignup's words, as the worker pushes them, and those named below.
-- A key that is absent says nothing; null says that RunSignup has nothing there.
--
-- What can be read here by those who answer for the data:
--   taken from a registration: names, e-mail, phone, date of birth, gender, postal address, bib, team, giveaway (as shirt size), when
--     it was made, and whether it is paid. Nothing else is asked for: no emergency contact, no medical answer, no question but EMS ID.
--   a person is recognised by the id of the RunSignup user where that is known and the first name or the date of birth bears it out,
--     by the EMS id that the registration carries, or by date of birth and both names; never by e-mail alone.
--   team, giveaway and payment are taken when a registration becomes known here: what is blank is completed. Later changes of these
--     at RunSignup are not taken: they would write over what people have corrected here.
--   nothing is deleted: who was taken out there is WITHDRAWN here.
--   a person who was here before is not overwritten when the registration is recognised, only completed; nor is a participant
--     (p_fields.completes), except that who was withdrawn is registered, for the race that the registration is for.
--
-- When does an empty field there empty the field here? RunSignup can't hold everything that the EMS has: a bib is a number, a state
-- has two letters, phones and states of other countries may be refused, and an e-mail address is never changed by us. Then its
-- field is empty because of that, and says nothing. What tells the two apart is the value here: where it is one that RunSignup
-- can hold, people there have emptied the field; where it is not, the field here stays. So an e-mail address is never emptied.
-- A value that is the same but for its spelling (leading zeros, capitals, spaces, seconds) is not overwritten either.

-- A text as the worker compares it: NFC, without spaces around it, 1,000 characters at most; blank is null.
create or replace function sync.runsignup_text(p_text text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select nullif(regexp_replace(left(regexp_replace(normalize(p_text, NFC), '^\s+|\s+$', '', 'g'), 1000), '\s+$', ''), '')
$$;

-- A name as two people are told apart by it.
create or replace function sync.runsignup_name(p_text text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select lower(regexp_replace(sync.runsignup_text(p_text), '\s+', ' ', 'g'))
$$;

-- A bib as RunSignup keeps it: a number without leading zeros.
create or replace function sync.runsignup_bib(p_text text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select case when b.bib ~ '^[0-9]+$' then coalesce(nullif(ltrim(b.bib, '0'), ''), '0') else b.bib end
    from (select sync.runsignup_text(p_text) as bib) b
$$;

-- A phone as the worker compares it: E.164 where it can be told, ten digits being American; of anything else the digits.
create or replace function sync.runsignup_phone(p_text text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select case when p.digits = '' then null
                when btrim(p_text) like '+%' then '+' || p.digits
                when length(p.digits) = 10 then '+1' || p.digits
                when p.digits ~ '^1[0-9]{10}$' then '+' || p.digits
                else p.digits end
    from (select regexp_replace(p_text, '[^0-9]', '', 'g') as digits) p
$$;

-- What a field of the EMS becomes. p_here: its value; p_as_there: the same as RunSignup writes it; p_holds: whether RunSignup can
-- hold that value at all (see above).
create or replace function sync.runsignup_taken(p_fields jsonb, p_key text, p_here text, p_as_there text, p_holds boolean)
returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select case
        when not p_fields ? p_key then p_here
        when p_fields ->> p_key is not distinct from p_as_there then p_here
        when p_fields ->> p_key is null then case when p_holds then null else p_here end
        else p_fields ->> p_key
    end
$$;

-- --- Registrations ------------------------------------------------------------------------------
-- Besides: race (the EMS race), person (the EMS person that it was recognised as, when a participant is created),
-- event_participant (the EMS id that it carries), user_id (who it is there), registered_on, team, shirt_size, paid, completes (only
-- what is missing is taken), adopts (a person adopts a conflict: these fields and no others, as they were seen then; as in the other functions).

-- Which RunSignup user a person is, as the worker's record of the person says: written down unless another one is known.
create or replace function sync.runsignup_is_user(p_person bigint, p_fields jsonb) returns void
language sql
set search_path = pg_catalog, pg_temp
as $body$
    insert into sync.record as r (target, entity_type, entity_id, remote_id, state, due_on)
    select 'runsignup', 'person', p_person, p_fields ->> 'user_id', 'synced', 'infinity'
    where p_person is not null and p_fields ->> 'user_id' is not null
    on conflict (target, entity_type, entity_id) do update set remote_id = excluded.remote_id where r.remote_id is null
$body$;
comment on function sync.runsignup_is_user is 'Writes down which RunSignup user a person is, unless that is known.';

create or replace function sync.runsignup_lock_event_participant(p_id bigint) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
begin
    perform from ems.person p
    where p.id = (select ep.person_id from ems.event_participant ep where ep.id = p_id)
    for update;
    perform from ems.event_participant ep where ep.id = p_id for update;
    return found;
end
$body$;
comment on function sync.runsignup_lock_event_participant is
    'Locks a person, then the participant: what an apply writes. Whether the participant is there.';

-- Who a registration is that nobody knows: the participant in the race's event of the person that is its user, or whose EMS id it
-- carries, if the name or the date of birth bears it out; else those in it that are the same person; else the persons themselves.
-- A user alone is not enough: one may have registered another of the family.
create or replace function sync.runsignup_match_event_participant(p_fields jsonb)
returns table (entity_type text, entity_id bigint)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $body$
declare
    given_event  bigint := (select r.event_id from ems.race r where r.id = (p_fields ->> 'race')::bigint);
    given_first  text   := sync.runsignup_name(p_fields ->> 'first_name');
    given_last   text   := sync.runsignup_name(p_fields ->> 'last_name');
    given_born   date   := (p_fields ->> 'dob')::date;
    users        bigint[] := array(
        select p.id from ems.person p
        where p.id = any (array(
                  select r.entity_id from sync.record r
                  where r.target = 'runsignup' and r.entity_type = 'person' and r.remote_id = p_fields ->> 'user_id'))
          and (sync.runsignup_name(p.first_name) = given_first or p.date_of_birth = given_born)
        order by p.id);
    persons      bigint[];
begin
    return query
    select 'event_participant', ep.id
    from ems.event_participant ep
    where ep.event_id = given_event and ep.person_id = any (users)
    order by ep.id;
    if found then
        return;
    end if;
    return query
    select 'event_participant', ep.id
    from ems.event_participant ep
    join ems.person p on p.id = ep.person_id
    where ep.id = (p_fields ->> 'event_participant')::bigint and ep.event_id = given_event
      and (sync.runsignup_name(p.last_name) = given_last or p.date_of_birth = given_born);
    if found then
        return;
    end if;
    persons := users;
    if cardinality(persons) = 0 then
        persons := array(
            select p.id from ems.person p
            where p.date_of_birth = given_born
              and sync.runsignup_name(p.first_name) = given_first and sync.runsignup_name(p.last_name) = given_last
            order by p.id);
    end if;
    return query
    select 'event_participant', ep.id
    from ems.event_participant ep
    where ep.event_id = given_event and ep.person_id = any (persons)
    order by ep.id;
    if found then
        return;
    end if;
    return query select 'person', person.id from unnest(persons) as person (id);
end
$body$;
comment on function sync.runsignup_match_event_participant is
    'Who a new registration may be: by its user or the EMS id that it carries, else by date of birth and both names. Never by e-mail alone.';

-- The person of a registration: what RunSignup says of one who is there. p_only_blanks: only completes what is missing.
create or replace function sync.runsignup_apply_person(p_id bigint, p_fields jsonb, p_only_blanks boolean) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
begin
    update ems.person p set
        first_name = n.first_name, last_name = n.last_name, email = n.email, phone = n.phone, date_of_birth = n.date_of_birth,
        gender = n.gender, address_line = n.address_line, city = n.city, province = n.province,
        postal_code = n.postal_code, country = n.country
    from (
        select o.id,
               case when p_only_blanks then o.first_name else coalesce(nullif(t.first_name, ''), o.first_name) end as first_name,
               case when p_only_blanks then o.last_name else coalesce(nullif(t.last_name, ''), o.last_name) end as last_name,
               case when p_only_blanks then coalesce(o.email, t.email) else t.email end as email,
               case when p_only_blanks then coalesce(o.phone, t.phone) else t.phone end as phone,
               case when p_only_blanks then coalesce(o.date_of_birth, t.born) else t.born end as date_of_birth,
               case when p_only_blanks then coalesce(nullif(o.gender, 'UNKNOWN'), t.gender) else t.gender end as gender,
               case when p_only_blanks then coalesce(o.address_line, t.address_line) else t.address_line end as address_line,
               case when p_only_blanks then coalesce(o.city, t.city) else t.city end as city,
               case when p_only_blanks then coalesce(o.province, t.province) else t.province end as province,
               case when p_only_blanks then coalesce(o.postal_code, t.postal_code) else t.postal_code end as postal_code,
               case when p_only_blanks then coalesce(o.country, t.country) else t.country end as country
        from ems.person o
        cross join lateral (
            select sync.runsignup_taken(p_fields, 'first_name', o.first_name, sync.runsignup_text(o.first_name), false) as first_name,
                   sync.runsignup_taken(p_fields, 'last_name', o.last_name, sync.runsignup_text(o.last_name), false) as last_name,
                   sync.runsignup_taken(p_fields, 'email', o.email, lower(sync.runsignup_text(o.email)), false) as email,
                   sync.runsignup_taken(p_fields, 'phone', o.phone, sync.runsignup_phone(o.phone),
                                        sync.runsignup_phone(o.phone) ~ '^\+1[0-9]{10}$') as phone,
                   sync.runsignup_taken(p_fields, 'dob', o.date_of_birth::text, o.date_of_birth::text, true)::date as born,
                   case when not p_fields ? 'gender' then o.gender
                        when p_fields ->> 'gender' = 'M' then 'MALE'
                        when p_fields ->> 'gender' = 'F' then 'FEMALE'
                        when o.gender is null then null
                        else 'UNKNOWN' end as gender,
                   sync.runsignup_taken(p_fields, 'street', o.address_line, sync.runsignup_text(o.address_line), true) as address_line,
                   sync.runsignup_taken(p_fields, 'city', o.city, sync.runsignup_text(o.city), true) as city,
                   sync.runsignup_taken(p_fields, 'state', o.province, sync.runsignup_state(o.province),
                                        sync.runsignup_holds_state(o.province, o.country)) as province,
                   sync.runsignup_taken(p_fields, 'zipcode', o.postal_code, sync.runsignup_text(o.postal_code), true) as postal_code,
                   case when coalesce(p_fields ->> 'country_code', 'XX') ~ '^[A-Z]{2}$' then
                       sync.runsignup_taken(p_fields, 'country_code', o.country, sync.runsignup_state(o.country), true)
                   else o.country end as country
        ) t
        where o.id = p_id
    ) n
    where p.id = n.id
      and (p.first_name, p.last_name, p.email, p.phone, p.date_of_birth, p.gender, p.address_line, p.city, p.province, p.postal_code,
           p.country)
          is distinct from (n.first_name, n.last_name, n.email, n.phone, n.date_of_birth, n.gender, n.address_line, n.city, n.province,
           n.postal_code, n.country::char(2));
end
$body$;
comment on function sync.runsignup_apply_person is 'Writes what a registration says of its person: names, e-mail, phone, birth, gender, address.';

-- A state or country as RunSignup writes it: two letters are capitals, anything else is as it is.
create or replace function sync.runsignup_state(p_text text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select case when s.state ~ '^[A-Za-z]{2}$' then upper(s.state) else s.state end
    from (select sync.runsignup_text(p_text) as state) s
$$;

-- Whether RunSignup surely holds a state: it has two letters, and its country is one whose states RunSignup knows.
create or replace function sync.runsignup_holds_state(p_state text, p_country text) returns boolean
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(sync.runsignup_text(p_state) ~ '^[A-Za-z]{2}$' and coalesce(upper(p_country), 'US') in ('US', 'CA'), false)
$$;

create or replace function sync.runsignup_apply_event_participant(p_id bigint, p_fields jsonb) returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
declare
    adopts      boolean := coalesce((p_fields ->> 'adopts')::boolean, false);
    -- Whoever adopts a conflict has its fields only: the race is named as RunSignup names it.
    given_race  bigint := coalesce((p_fields ->> 'race')::bigint, (
        select min(r.entity_id) from sync.record r
        where adopts and r.target = 'runsignup' and r.entity_type = 'race' and r.remote_id = p_fields ->> 'event_id'));
    given_event bigint := (select r.event_id from ems.race r where r.id = given_race);
    the_person  bigint := (p_fields ->> 'person')::bigint;
    completes   boolean := coalesce((p_fields ->> 'completes')::boolean, false);
    -- Its record is known here: what is told besides was taken then.
    is_known    boolean := exists (
        select from sync.record r
        where r.target = 'runsignup' and r.entity_type = 'event_participant' and r.entity_id = p_id and r.remote_id is not null);
    made        bigint;
begin
    if (p_fields ? 'race' or adopts and p_fields ? 'event_id') and given_event is null then
        raise exception 'The race of the registration is not there' using errcode = 'foreign_key_violation', column = 'race_id';
    end if;
    if p_id is not null then
        perform sync.runsignup_apply_person(ep.person_id, p_fields, completes) from ems.event_participant ep where ep.id = p_id;
        update ems.event_participant ep set
            event_id = n.event_id, race_id = n.race_id, number = n.number, status = n.status, team = n.team,
            shirt_size = n.shirt_size, paid = n.paid
        from (
            select o.id,
                   case when k.keeps then o.event_id else coalesce(given_event, o.event_id) end as event_id,
                   case when k.keeps then o.race_id else coalesce(given_race, o.race_id) end as race_id,
                   case when completes and sync.runsignup_text(o.number) is not null then o.number
                        else sync.runsignup_taken(p_fields, 'bib_num', o.number, sync.runsignup_bib(o.number),
                                                  sync.runsignup_bib(o.number) ~ '^[0-9]{1,15}$') end as number,
                   -- Who was taken out and stands again there is registered again; an old conflict says nothing about that.
                   case when o.status = 'WITHDRAWN' and not adopts then 'REGISTERED' else o.status end as status,
                   case when is_known and not completes then o.team else coalesce(o.team, p_fields ->> 'team') end as team,
                   case when is_known and not completes then o.shirt_size else coalesce(o.shirt_size, p_fields ->> 'shirt_size') end
                       as shirt_size,
                   o.paid or (completes or not is_known) and coalesce((p_fields ->> 'paid')::boolean, false) as paid
            from ems.event_participant o
            cross join lateral (select completes and o.race_id is not null and o.status <> 'WITHDRAWN' as keeps) k
            where o.id = p_id
        ) n
        where ep.id = n.id
          and (ep.event_id, ep.race_id, ep.number, ep.status, ep.team, ep.shirt_size, ep.paid)
              is distinct from (n.event_id, n.race_id, n.number, n.status, n.team, n.shirt_size, n.paid);
        perform sync.runsignup_is_user(ep.person_id, p_fields) from ems.event_participant ep where ep.id = p_id;
        return p_id;
    end if;
    if sync.runsignup_text(p_fields ->> 'first_name') is null or sync.runsignup_text(p_fields ->> 'last_name') is null then
        raise exception 'A registration without a name' using errcode = 'not_null_violation', column = 'first_name, last_name';
    end if;
    if the_person is not null then
        perform from ems.person p where p.id = the_person for update;
        perform sync.runsignup_apply_person(the_person, p_fields, true);
    else
        insert into ems.person (first_name, last_name, gender)
        values (p_fields ->> 'first_name', p_fields ->> 'last_name', 'UNKNOWN') returning id into the_person;
        perform sync.runsignup_apply_person(the_person, p_fields, false);
    end if;
    insert into ems.event_participant (event_id, person_id, race_id, number, status, registered_on, team, shirt_size, paid)
    values (given_event, the_person, given_race, p_fields ->> 'bib_num', 'REGISTERED', (p_fields ->> 'registered_on')::timestamptz,
            p_fields ->> 'team', p_fields ->> 'shirt_size', coalesce((p_fields ->> 'paid')::boolean, false))
    returning id into made;
    perform sync.runsignup_is_user(the_person, p_fields);
    return made;
end
$body$;
comment on function sync.runsignup_apply_event_participant is
    'Writes a registration: creates a participant (and a person, unless recognised), or changes those that are there.';

-- Somebody was refunded, deferred or taken out there. A disqualified participant has started, and stays what it is.
create or replace function sync.runsignup_remove_event_participant(p_id bigint, p_reason text) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
begin
    update ems.event_participant ep set status = 'WITHDRAWN'
    where ep.id = p_id and ep.status not in ('WITHDRAWN', 'DISQUALIFIED');
    return exists (select from ems.event_participant ep where ep.id = p_id and ep.status = 'WITHDRAWN');
end
$body$;
comment on function sync.runsignup_remove_event_participant is
    'Withdraws a participant whose registration was taken out at RunSignup; false where the participant stays as it is.';

-- --- Events -------------------------------------------------------------------------------------
-- Besides: organisation_id (who owns what is created), day, starts_on, ends_on, contact_url. RunSignup's race is one brand for all
-- its years, so its name is that of each of them.

create or replace function sync.runsignup_lock_event(p_id bigint) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
begin
    perform from ems.event e where e.id = p_id for update;
    return found;
end
$body$;
comment on function sync.runsignup_lock_event is 'Locks an event. Whether it is there.';

create or replace function sync.runsignup_match_event(p_fields jsonb) returns table (entity_type text, entity_id bigint)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $body$
begin
    -- Its zone is not known.
    if not p_fields ? 'starts_on' then
        return;
    end if;
    return query
    select 'event', e.id
    from ems.event e
    where e.organisation_id = coalesce((p_fields ->> 'organisation_id')::bigint, e.organisation_id)
      and sync.runsignup_name(e.name) = sync.runsignup_name(p_fields ->> 'name')
      and (e.start_date_time at time zone (p_fields ->> 'timezone'))::date = (p_fields ->> 'day')::date
    order by e.id;
end
$body$;
comment on function sync.runsignup_match_event is 'Events of the same name on the same day, of the configured organisation if there is one.';

-- Without an owner no event is created. Of one that is there the begin is not touched: its races tell theirs.
create or replace function sync.runsignup_apply_event(p_id bigint, p_fields jsonb) returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
declare
    made bigint;
begin
    if p_id is not null then
        update ems.event e set
            name = n.name, timezone = n.timezone, address = n.address, city = n.city, province = n.province,
            postal_code = n.postal_code, country = n.country, status = n.status
        from (
            select o.id,
                   coalesce(sync.runsignup_taken(p_fields, 'name', o.name, sync.runsignup_text(o.name), false), o.name) as name,
                   sync.runsignup_taken(p_fields, 'timezone', o.timezone, sync.runsignup_text(o.timezone), false) as timezone,
                   sync.runsignup_taken(p_fields, 'street', o.address, sync.runsignup_text(o.address), true) as address,
                   sync.runsignup_taken(p_fields, 'city', o.city, sync.runsignup_text(o.city), true) as city,
                   sync.runsignup_taken(p_fields, 'state', o.province, sync.runsignup_state(o.province),
                                        sync.runsignup_holds_state(o.province, o.country)) as province,
                   sync.runsignup_taken(p_fields, 'zipcode', o.postal_code, sync.runsignup_text(o.postal_code), true) as postal_code,
                   case when coalesce(p_fields ->> 'country_code', 'XX') ~ '^[A-Z]{2}$' then
                       sync.runsignup_taken(p_fields, 'country_code', o.country, sync.runsignup_state(o.country), true)
                   else o.country end as country,
                   -- A draft is one, or is one no more. What is cancelled or over here stays so.
                   case when (p_fields ->> 'draft')::boolean and o.status = 'PUBLISHED' then 'DRAFT'
                        when not (p_fields ->> 'draft')::boolean and o.status = 'DRAFT' then 'PUBLISHED'
                        else o.status end as status
            from ems.event o where o.id = p_id
        ) n
        where e.id = n.id
          and (e.name, e.timezone, e.address, e.city, e.province, e.postal_code, e.country, e.status)
              is distinct from (n.name, n.timezone, n.address, n.city, n.province, n.postal_code, n.country::char(2), n.status);
        return p_id;
    end if;
    if p_fields ->> 'organisation_id' is null then
        return null;
    end if;
    insert into ems.event (organisation_id, name, start_date_time, end_date_time, timezone, address, city, province, postal_code,
                           country, contact_url, status)
    values ((p_fields ->> 'organisation_id')::bigint, p_fields ->> 'name', (p_fields ->> 'starts_on')::timestamptz,
            (p_fields ->> 'ends_on')::timestamptz, p_fields ->> 'timezone', p_fields ->> 'street', p_fields ->> 'city',
            p_fields ->> 'state', p_fields ->> 'zipcode',
            case when p_fields ->> 'country_code' ~ '^[A-Z]{2}$' then p_fields ->> 'country_code' end, p_fields ->> 'contact_url',
            case when (p_fields ->> 'draft')::boolean then 'DRAFT' else 'PUBLISHED' end)
    returning id into made;
    return made;
end
$body$;
comment on function sync.runsignup_apply_event is 'Writes an event: name, zone, address, draft or published; creates it for the configured organisation.';

create or replace function sync.runsignup_remove_event(p_id bigint, p_reason text) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select false
$$;
comment on function sync.runsignup_remove_event is 'Nothing that goes at RunSignup takes an event of the EMS along.';

-- --- Races --------------------------------------------------------------------------------------
-- Besides: event (the EMS event), starts_on (start_time is what a clock there shows), distance_meters, fee, currency.

-- The event may begin with its races.
create or replace function sync.runsignup_lock_race(p_id bigint) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
begin
    perform from ems.event e where e.id = (select r.event_id from ems.race r where r.id = p_id) for update;
    perform from ems.race r where r.id = p_id for update;
    return found;
end
$body$;
comment on function sync.runsignup_lock_race is 'Locks an event, then one of its races. Whether the race is there.';

create or replace function sync.runsignup_match_race(p_fields jsonb) returns table (entity_type text, entity_id bigint)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $body$
begin
    return query
    select 'race', r.id
    from ems.race r
    where r.event_id = (p_fields ->> 'event')::bigint
      and sync.runsignup_name(r.name) = sync.runsignup_name(p_fields ->> 'name')
    order by r.id;
end
$body$;
comment on function sync.runsignup_match_race is 'Races of the same name in the same event.';

-- A distance that RunSignup does not tell beyond doubt is 0 until somebody enters it: people's entries do not wait for it.
create or replace function sync.runsignup_apply_race(p_id bigint, p_fields jsonb) returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
declare
    given_start timestamptz := (p_fields ->> 'starts_on')::timestamptz;
    the_event   bigint;
    old_start   timestamptz;
    made        bigint;
begin
    if p_id is not null then
        select r.event_id, coalesce(r.start_time, e.start_date_time),
               -- Whoever adopts a conflict has its fields only: the time of day there.
               coalesce(given_start, case when (p_fields ->> 'adopts')::boolean
                                          then (p_fields ->> 'start_time')::timestamp at time zone e.timezone end)
        into the_event, old_start, given_start
        from ems.race r join ems.event e on e.id = r.event_id where r.id = p_id;
        if p_fields ? 'start_time' and given_start is null and (p_fields ->> 'adopts')::boolean then
            raise exception 'The start can''t be told without the zone of the event' using errcode = 'not_null_violation', column = 'timezone';
        end if;
        -- RunSignup shows minutes. A start is said together with its time of day there, or not at all.
        if not p_fields ? 'start_time' or date_trunc('minute', old_start) = given_start then
            given_start := null;
        end if;
        -- An event that began with this race still does.
        if given_start is not null then
            update ems.event e set start_date_time = least(given_start, (
                select min(r.start_time) from ems.race r where r.event_id = e.id and r.id <> p_id))
            where e.id = the_event and date_trunc('minute', e.start_date_time) = date_trunc('minute', old_start)
              and exists (select from ems.race r where r.id = p_id and r.start_time is not null);
        end if;
        update ems.race r set name = n.name, start_time = n.start_time
        from (
            select o.id, coalesce(given_start, o.start_time) as start_time,
                   coalesce(sync.runsignup_taken(p_fields, 'name', o.name, sync.runsignup_text(o.name), false), o.name) as name
            from ems.race o where o.id = p_id
        ) n
        where r.id = n.id and (r.name, r.start_time) is distinct from (n.name, n.start_time);
        return p_id;
    end if;
    insert into ems.race (event_id, name, distance_meters, start_time, fee, currency)
    values ((p_fields ->> 'event')::bigint, p_fields ->> 'name', coalesce((p_fields ->> 'distance_meters')::integer, 0), given_start,
            (p_fields ->> 'fee')::numeric, p_fields ->> 'currency')
    returning id into made;
    return made;
end
$body$;
comment on function sync.runsignup_apply_race is 'Writes a race: name and start; creates it with distance and fee where these are told.';

create or replace function sync.runsignup_remove_race(p_id bigint, p_reason text) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select false
$$;
comment on function sync.runsignup_remove_race is 'Nothing that goes at RunSignup takes a race of the EMS along.';
