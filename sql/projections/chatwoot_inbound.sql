-- What Chatwoot's people may change in the EMS, and how: of a person name, e-mail address, phone number, city and country, and the
-- metadata of conversations. Nothing else of what Chatwoot says is looked at, and nothing is ever deleted. Together with
-- sync.take_consents (a blocked contact) these functions are all that writes to the EMS for Chatwoot; an EMS with other tables
-- replaces them.
--
-- p_fields: {field: text or null} of the contact or conversation; `completes`: only what is missing is taken; `adopts`: a person adopts a conflict; `let_go`: we made the contact for somebody and let it go since. A field that is absent is left as it is, null clears. An attribute
-- of a contact that is no text is shown as false: nothing is taken from it.

-- A text in the form in which two of them are compared: NFC, blanks folded, without blanks around it.
create or replace function sync.chatwoot_plain(p_text text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $body$
    select btrim(regexp_replace(normalize(coalesce(p_text, '')), '\s+', ' ', 'g'));
$body$;
comment on function sync.chatwoot_plain is 'A text without the differences that do not count.';

-- First and last name of a full name, given those that the EMS has. Chatwoot has one name only, so:
-- 1. What is the same name stays as it is, also where Chatwoot holds only its first 255 characters.
-- 2. If the last name still ends it, what stands before is the first name (`Thandi Nkosi`, `Thandi Mary Nkosi`).
-- 3. Else, if the first name still begins it, what follows is the last name (`Maria van der Merwe`).
-- 4. Else the first word is the first name, and the rest the last name.
-- 5. One word is one of the two names if it is that already, else the first name.
-- A name is never blanked: a part without words stays as it is. A part that only differs by blanks does, too.
create or replace function sync.chatwoot_names(p_name text, inout first_name text, inout last_name text)
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $body$
declare
    new_name  text := sync.chatwoot_plain(p_name);
    old_first text := sync.chatwoot_plain(first_name);
    old_last  text := sync.chatwoot_plain(last_name);
    old_name  text := btrim(old_first || ' ' || old_last);
    words     text[] := regexp_split_to_array(new_name, ' ');
    n_words   integer := cardinality(words);
    n_first   integer := cardinality(regexp_split_to_array(old_first, ' '));
    n_last    integer := cardinality(regexp_split_to_array(old_last, ' '));
    n_before  integer;
begin
    if new_name in ('', old_name, btrim(left(old_name, 255))) then
        return;
    end if;
    if n_words = 1 then
        if lower(new_name) = lower(old_last) and old_last <> '' then
            last_name := new_name;
        else
            first_name := new_name;
        end if;
        return;
    end if;
    n_before := case
        when old_last <> '' and n_words > n_last
             and lower(array_to_string(words[n_words - n_last + 1:], ' ')) = lower(old_last) then n_words - n_last
        when old_first <> '' and n_words > n_first
             and lower(array_to_string(words[:n_first], ' ')) = lower(old_first) then n_first
        else 1
    end;
    if old_first <> array_to_string(words[:n_before], ' ') then
        first_name := array_to_string(words[:n_before], ' ');
    end if;
    if old_last <> array_to_string(words[n_before + 1:], ' ') then
        last_name := array_to_string(words[n_before + 1:], ' ');
    end if;
end
$body$;
comment on function sync.chatwoot_names is 'First and last name of a full name, given those that there are. Blanks neither.';

-- The country that a contact was given: of its two fields the one that says something else than the EMS. Chatwoot's pages write the
-- country's name into the one and its code into the other; only codes are taken.
create or replace function sync.chatwoot_country(p_fields jsonb, p_country text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $body$
    with said as (
        select upper(btrim(p_fields ->> 'country_code')) as code, upper(btrim(p_fields ->> 'country')) as name
    )
    select case
        when p_fields ?& array['country_code', 'country'] and code is null and name is null then null
        when code ~ '^[A-Z]{2}$' and code is distinct from upper(btrim(p_country)) then code
        when name ~ '^[A-Z]{2}$' and name is distinct from upper(btrim(p_country)) then name
        else p_country
    end
    from said;
$body$;
comment on function sync.chatwoot_country is 'The country that a contact was given, as a code, or the one that there is.';

-- A number that Chatwoot takes (E.164). Of others it holds nothing, so that its null says nothing about them.
create or replace function sync.chatwoot_takes_phone(p_phone text) returns boolean
language sql immutable
set search_path = pg_catalog, pg_temp
as $body$
    select coalesce(btrim(p_phone) ~ '^\+[1-9][0-9]{1,14}$', false);
$body$;
comment on function sync.chatwoot_takes_phone is 'Whether Chatwoot could hold this phone number.';

-- Locks what an apply writes.
create or replace function sync.chatwoot_lock_person(p_id bigint) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
begin
    perform from ems.person p where p.id = p_id for update;
    return found;
end
$body$;
comment on function sync.chatwoot_lock_person is 'Locks the person for an apply. Whether it is there.';

-- Whose a contact is that nobody knows: the person whose id it carries (only we write that); else persons with exactly its e-mail
-- address, of the same name. Never by the address alone, which
-- families share, nor by the phone number. Which of several, people decide.
create or replace function sync.chatwoot_match_person(p_fields jsonb) returns table (entity_type text, entity_id bigint)
language sql stable
set search_path = pg_catalog, pg_temp
as $body$
    with carried as (
        select p.id from ems.person p where p.id = (p_fields ->> 'person')::bigint
    )
    select 'person', c.id from carried c
    union all
    select 'person', p.id
    from ems.person p
    where not exists (select from carried)
      and lower(p.email) = lower(btrim(p_fields ->> 'email'))
      and btrim(p_fields ->> 'email') <> ''
      and lower(sync.chatwoot_plain(p.first_name || ' ' || p.last_name)) = lower(sync.chatwoot_plain(p_fields ->> 'name'))
    order by 2;
$body$;
comment on function sync.chatwoot_match_person is 'Persons that a contact may be: the one whose id it carries, or same e-mail address and same name.';

-- Writes what a contact says to its person; with p_id null makes one, if this EMS wants that.
--
-- THE POLICY OF THE REFERENCE EMS: a contact becomes a person if it has a first and a last name, is not blocked, and its e-mail
-- address (without one, its phone number) is nobody's yet. An EMS that wants no persons from its support desk returns null
-- where p_id is null; one that wants all of them drops the conditions. Language and consent are not touched: nobody is opted in.
create or replace function sync.chatwoot_apply_person(p_id bigint, p_fields jsonb) returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
declare
    held   ems.person;
    wanted ems.person;
    given_email text := nullif(btrim(p_fields ->> 'email'), '');
    given_phone text := nullif(btrim(p_fields ->> 'phone_number'), '');
    given_city  text;
begin
    if p_fields -> 'city' = 'false' then
        p_fields := p_fields - 'city';
    end if;
    given_city := nullif(sync.chatwoot_plain(p_fields ->> 'city'), '');
    if p_id is null then
        select n.first_name, n.last_name into wanted.first_name, wanted.last_name
        from sync.chatwoot_names(p_fields ->> 'name', '', '') n;
        if wanted.first_name = '' or wanted.last_name = ''
           or coalesce(p_fields ->> 'blocked', '') = 'true'
           -- We made it for somebody who is gone, or has another one now; people would have written another address.
           or coalesce(p_fields ->> 'let_go', '') = 'true'
           or given_email is null and given_phone is null
           or exists (select from ems.person p where lower(p.email) = lower(given_email))
           or given_email is null and exists (select from ems.person p where btrim(p.phone) = given_phone)
        then
            return null;
        end if;
        insert into ems.person (first_name, last_name, email, phone, city, country)
        values (wanted.first_name, wanted.last_name, given_email, given_phone, given_city, sync.chatwoot_country(p_fields, null))
        returning id into p_id;
        return p_id;
    end if;

    select p.* into held from ems.person p where p.id = p_id;
    if not found then
        return null;
    end if;
    wanted := held;
    if p_fields ? 'name' then
        select n.first_name, n.last_name into wanted.first_name, wanted.last_name
        from sync.chatwoot_names(p_fields ->> 'name', held.first_name, held.last_name) n;
    end if;
    -- What differs by case and blanks only is the same: Chatwoot has normal forms, the EMS what was entered.
    if p_fields ? 'email' and lower(normalize(coalesce(btrim(held.email), ''))) <> lower(coalesce(given_email, '')) then
        wanted.email := given_email;
    end if;
    -- Without a number a contact says that there is none only if it could have the person's: not one in another form, nor
    -- one that somebody else's contact has.
    if p_fields ? 'phone_number' and coalesce(btrim(held.phone), '') <> coalesce(given_phone, '')
       and (given_phone is not null
            or sync.chatwoot_takes_phone(held.phone)
               and not exists (select from ems.person p where btrim(p.phone) = btrim(held.phone) and p.id <> p_id))
    then
        wanted.phone := given_phone;
    end if;
    if p_fields ? 'city'
       and btrim(left(btrim(normalize(coalesce(held.city, ''))), 255)) <> coalesce(btrim(p_fields ->> 'city'), '')
    then
        wanted.city := given_city;
    end if;
    wanted.country := sync.chatwoot_country(p_fields, held.country);
    if (p_fields ->> 'completes')::boolean then
        wanted.first_name := held.first_name;
        wanted.last_name := held.last_name;
        if btrim(held.email) <> '' then wanted.email := held.email; end if;
        if btrim(held.phone) <> '' then wanted.phone := held.phone; end if;
        if btrim(held.city) <> '' then wanted.city := held.city; end if;
        if btrim(held.country) <> '' then wanted.country := held.country; end if;
    end if;

    if wanted is distinct from held then
        update ems.person p
        set first_name = wanted.first_name, last_name = wanted.last_name, email = wanted.email, phone = wanted.phone, city = wanted.city,
            country = wanted.country
        where p.id = p_id;
    end if;
    return p_id;
end
$body$;
comment on function sync.chatwoot_apply_person is
    'Writes a contact''s name, e-mail address, phone number, city and country to its person. What is the same is not written.';

-- Locks what an apply writes.
create or replace function sync.chatwoot_lock_conversation(p_id bigint) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
begin
    perform from ems.conversation c where c.id = p_id for update;
    return found;
end
$body$;
comment on function sync.chatwoot_lock_conversation is 'Locks the conversation for an apply. Whether it is there.';

-- The conversation itself, where the EMS has it and the sync does not know that.
create or replace function sync.chatwoot_match_conversation(p_fields jsonb) returns table (entity_type text, entity_id bigint)
language sql stable
set search_path = pg_catalog, pg_temp
as $body$
    select 'conversation', c.id
    from ems.conversation c
    where c.source = p_fields ->> 'source' and c.external_id = p_fields ->> 'external_id';
$body$;
comment on function sync.chatwoot_match_conversation is 'The conversation with this id at its source.';

-- Writes the metadata of a conversation; with p_id null makes it. Whom it is with is written once that is known.
create or replace function sync.chatwoot_apply_conversation(p_id bigint, p_fields jsonb) returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
declare
    held   ems.conversation;
    wanted ems.conversation;
begin
    if p_id is null then
        insert into ems.conversation (source, external_id)
        values (p_fields ->> 'source', p_fields ->> 'external_id')
        returning id into p_id;
    end if;
    select c.* into held from ems.conversation c where c.id = p_id;
    if not found then
        return null;
    end if;
    wanted := held;
    if p_fields ? 'status' then wanted.status := p_fields ->> 'status'; end if;
    if p_fields ? 'inbox' then wanted.inbox := p_fields ->> 'inbox'; end if;
    if p_fields ? 'assignee' then wanted.assignee := p_fields ->> 'assignee'; end if;
    if p_fields ? 'last_activity_at' then wanted.last_activity_at := (p_fields ->> 'last_activity_at')::timestamptz; end if;
    if p_fields ? 'labels' then
        wanted.labels := array(select jsonb_array_elements_text(p_fields -> 'labels'));
    end if;
    if p_fields ->> 'person' is not null then wanted.person_id := (p_fields ->> 'person')::bigint; end if;

    if wanted is distinct from held then
        update ems.conversation c
        set status = wanted.status, inbox = wanted.inbox, assignee = wanted.assignee, last_activity_at = wanted.last_activity_at,
            labels = wanted.labels, person_id = wanted.person_id
        where c.id = p_id;
    end if;
    return p_id;
end
$body$;
comment on function sync.chatwoot_apply_conversation is
    'Writes a conversation''s metadata: status, inbox, labels, who is in charge, last activity, whom it is with.';
