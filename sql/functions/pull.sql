-- The walks through what a remote holds (src/inbound/pull.rs). One process at a time walks a stream: it has a lease, and a page
-- is stored only for who has it, in one transaction with what the page brought (sql/functions/inbox.sql).

-- Begins a walk for p_walker, or goes on with the one under way: unless its position is older than p_position_kept seconds, or
-- p_anew asks for a new and full one. Nothing is returned while another process walks.
--
-- A walk is full if it is the first, or the last full one was complete longer than p_full_every seconds ago. A full one forgets which
-- records of its types (p_types) the EMS made nothing of: what stood in the way (an organisation, a policy) may be otherwise now, so
-- each is decided anew when it is shown.
drop function if exists sync.begin_walk(text, text, uuid, boolean, float8, float8, float8);
create or replace function sync.begin_walk(
    p_target        text,
    p_stream        text,
    p_walker        uuid,
    p_anew          boolean,
    p_full_every    float8,
    p_position_kept float8,
    p_lease         float8,
    p_types         text[]
) returns table (cursor_was jsonb, position_is jsonb, is_full boolean, ahead_ms bigint)
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
declare
    c   sync.cursor;
    now constant timestamptz := clock_timestamp();
begin
    insert into sync.cursor (target, stream) values (p_target, p_stream) on conflict do nothing;
    select * into strict c from sync.cursor x where x.target = p_target and x.stream = p_stream for update;
    if c.walker <> p_walker and c.walker_until > now then
        return;
    end if;
    if p_anew or c.position is null or c.position_on < now - p_position_kept * interval '1 second' then
        c.walk := c.walk + 1;
        c.walk_is_full := p_anew or c.full_on is null or c.full_on < now - p_full_every * interval '1 second';
        c.walk_began_on := now;
        c.position := null;
        -- What is hinted at from now on may be on a page that was read before.
        c.hinted_on := null;
        delete from sync.walk_seen s where s.target = p_target and s.stream = p_stream;
        if c.walk_is_full then
            delete from sync.inbox i
            where i.target = p_target and i.entity_type = any (p_types) and i.state = 'done' and i.state_reason = 'not_ours';
        end if;
    end if;
    update sync.cursor x set
        walk = c.walk, walk_is_full = c.walk_is_full, walk_began_on = c.walk_began_on, position = c.position,
        hinted_on = c.hinted_on, again_on = null, walker = p_walker, walker_until = now + p_lease * interval '1 second'
    where x.target = p_target and x.stream = p_stream;
    return query select c.cursor, c.position, c.walk_is_full, c.clock_ahead_ms;
end
$body$;
comment on function sync.begin_walk is 'Begins a walk through a stream of a remote, or goes on with the one under way.';

-- Moves a walk past a page: its position (null at the end), the remote's clock, and the records that the page showed.
-- False: another process has the walk; then nothing of the page may be kept.
create or replace function sync.move_walk(
    p_target   text,
    p_stream   text,
    p_walker   uuid,
    p_position jsonb,
    p_ahead_ms bigint,
    p_types    text[],
    p_ids      text[],
    p_lease    float8
) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
begin
    update sync.cursor c set
        position = p_position, position_on = clock_timestamp(), clock_ahead_ms = p_ahead_ms,
        walker_until = clock_timestamp() + p_lease * interval '1 second', failures = 0, last_error = null
    where c.target = p_target and c.stream = p_stream and c.walker = p_walker;
    if not found then
        return false;
    end if;
    insert into sync.walk_seen (target, stream, walk, entity_type, remote_id)
    select p_target, p_stream, c.walk, s.entity_type, s.remote_id
    from sync.cursor c, unnest(p_types, p_ids) as s (entity_type, remote_id)
    where c.target = p_target and c.stream = p_stream
    on conflict do nothing;
    return true;
end
$body$;
comment on function sync.move_walk is 'Moves a walk past a page; false when another process has it.';

-- What a complete walk has not shown, of the records of these types that have a remote id. Left out: what was pushed or taken in
-- since it began, which may have come onto a page that was read before, and what is gone from the EMS, which is deleted there anyway.
create or replace function sync.missing(p_target text, p_stream text, p_types text[])
returns table (entity_type text, remote_id text)
language sql stable
set search_path = pg_catalog, pg_temp
as $body$
    select r.entity_type, r.remote_id
    from sync.cursor c
    join sync.record r on r.target = c.target
    where c.target = p_target and c.stream = p_stream and r.entity_type = any (p_types)
      and r.remote_id <> '{}' and not r.gone
      and coalesce(greatest(r.entity_synced_on, r.remote_synced_on) < c.walk_began_on, true)
      and not exists (
          select from sync.walk_seen s
          where s.target = c.target and s.stream = c.stream and s.walk = c.walk
            and s.entity_type = r.entity_type and s.remote_id = r.remote_id)
$body$;
comment on function sync.missing is 'Records of these types that the walk has not shown.';

-- Ends a complete walk: the next one begins at p_cursor. p_shows_all: it has shown everything that there is; then p_held says why
-- what is missing is not looked at, and without it each missing record is to be read by itself.
create or replace function sync.end_walk(
    p_target    text,
    p_stream    text,
    p_walker    uuid,
    p_cursor    jsonb,
    p_shows_all boolean,
    p_types     text[],
    p_held      text
) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
begin
    if p_shows_all and p_held is null then
        insert into sync.to_read (target, entity_type, remote_id, stream, cause)
        select p_target, m.entity_type, m.remote_id, p_stream, 'missing' from sync.missing(p_target, p_stream, p_types) m
        on conflict do nothing;
        -- What was decided of a record that is not shown any more need not be remembered: should it be shown again, it is decided anew.
        delete from sync.inbox i using sync.cursor c
        where c.target = p_target and c.stream = p_stream and i.target = p_target and i.entity_type = any (p_types)
          and i.state = 'done' and i.decided_on < c.walk_began_on
          and not exists (
              select from sync.walk_seen s
              where s.target = p_target and s.stream = p_stream and s.walk = c.walk
                and s.entity_type = i.entity_type and s.remote_id = i.remote_id);
    end if;
    update sync.cursor c set
        position = null, position_on = null, cursor = coalesce(p_cursor, c.cursor), pulled_on = clock_timestamp(),
        full_on = case when c.walk_is_full or p_shows_all then c.walk_began_on else c.full_on end,
        held_reason = case when p_shows_all then p_held else c.held_reason end,
        walker = null, walker_until = null
    where c.target = p_target and c.stream = p_stream and c.walker = p_walker;
    delete from sync.walk_seen s where s.target = p_target and s.stream = p_stream;
end
$body$;
comment on function sync.end_walk is 'Ends a complete walk, and asks for what it has not shown.';

-- Says that something has changed at a remote. With an id the record is read by itself; without one, or with too many that wait
-- to be read already, the stream is walked.
create or replace function sync.hint(
    p_target      text,
    p_stream      text,
    p_entity_type text,
    p_remote_id   text,
    p_waiting_max bigint
) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
begin
    if p_remote_id is not null
       and (select count(*) from (select from sync.to_read t where t.target = p_target and t.cause = 'hinted' limit p_waiting_max) w)
           < p_waiting_max then
        insert into sync.to_read as t (target, entity_type, remote_id, stream, cause)
        values (p_target, p_entity_type, p_remote_id, p_stream, 'hinted')
        on conflict (target, entity_type, remote_id) do update set
            asked_gen = t.asked_gen + 1, due_on = clock_timestamp(), attempts = 0;
    else
        insert into sync.cursor as c (target, stream, hinted_on) values (p_target, p_stream, clock_timestamp())
        on conflict (target, stream) do update set hinted_on = coalesce(c.hinted_on, excluded.hinted_on);
    end if;
end
$body$;
comment on function sync.hint is 'Says that something has changed at a remote: a record, or something of a stream.';

-- Heeds a webhook unless it was heeded before, by any of its digests: by whichever process it came. False: it was.
-- The digests are forgotten after p_window seconds, when its signature is not accepted any more. So the table holds at most what
-- comes within the window from who knows the secret.
create or replace function sync.heed_hook(
    p_target      text,
    p_digests     bytea[],
    p_window      float8,
    p_stream      text,
    p_entity_type text,
    p_remote_id   text,
    p_waiting_max bigint
) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
declare
    is_new boolean;
begin
    delete from sync.hook_seen s where s.ctid = any (array(
        select o.ctid from sync.hook_seen o
        where o.seen_on < clock_timestamp() - p_window * interval '1 second' limit 1000 for update skip locked));
    with added as (
        insert into sync.hook_seen (target, digest)
        select p_target, d.digest from unnest(p_digests) as d (digest) order by d.digest
        on conflict do nothing
        returning 1
    )
    select count(*) = cardinality(p_digests) into is_new from added;
    if is_new then
        perform sync.hint(p_target, p_stream, p_entity_type, p_remote_id, p_waiting_max);
    end if;
    return is_new;
end
$body$;
comment on function sync.heed_hook is 'Heeds a webhook, once: a hint that something has changed.';
