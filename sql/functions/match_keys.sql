-- Writes down which match keys the entities of a batch want, and tells who else has them. A key is a hash of what at most
-- one record may hold at the target (an e-mail address).
--
-- * The owner of a key is the lowest id among those that want it.
-- * Its holder is another one whose record holds it at the target, or may hold it: it must give it up first. A key that was
--   wanted before and is not known to be held may have been pushed without an answer: it counts (`may_hold`) until a finish
--   is in no doubt.
--
-- * Whoever gave a record up to the owner, and has none since, may have left their id on it (`gave_up_key`). As long as anybody
--   wants that key it is theirs to take over; else whoever gave it up takes it away, if they are gone.
--
-- Two batches that want one key are serialised by a lock on it, so that one of them sees the other. Whoever stops wanting
-- a key owes all others that want it: one of them owns it now; and those who gave it up. A lease is needed: p_owner is its owner.
--
-- Returns ('key', type, id, owner, holder, whether the holder waits for this one), ('given_up', type, id of an owner, null,
-- another one that wants its key, or gave it up, and surely has no record), ('holds_another', type, id) where its record holds
-- another key than it wants, or none, ('left_behind', type, id) where it may have left a record under a key that nobody wants any
-- more, and ('owed', type, id) for others.
create or replace function sync.match_keys(
    p_target text,
    p_owner  uuid,
    p_types  text[],
    p_ids    bigint[],
    p_keys   text[]
) returns table (kind text, entity_type text, entity_id bigint, owner_id bigint, holder_id bigint, holder_waits boolean)
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
#variable_conflict use_column
declare
    v_left bytea[];
    v_type text;
    v_ids  bigint[];
begin
    -- Those that are left, too: whoever comes to want one at this moment must see that it is free. Only we change what our
    -- leased records want.
    perform pg_advisory_xact_lock(4541780, k.lock)
    from (
        select hashtext(p_target || u.key) as lock from unnest(p_keys) as u (key) where u.key is not null
        union
        select hashtext(p_target || encode(r.wanted_key, 'hex'))
        from unnest(p_types, p_ids) as w (entity_type, entity_id)
        join sync.record r on r.target = p_target and r.entity_type = w.entity_type and r.entity_id = w.entity_id
        where r.wanted_key is not null
        union
        select hashtext(p_target || encode(r.gave_up_key, 'hex'))
        from unnest(p_types, p_ids) as w (entity_type, entity_id)
        join sync.record r on r.target = p_target and r.entity_type = w.entity_type and r.entity_id = w.entity_id
        where r.gave_up_key is not null
        order by 1
    ) k;

    with wanted as (
        select w.entity_type, w.entity_id, decode(w.key, 'hex') as key, r.wanted_key as before
        from unnest(p_types, p_ids, p_keys) as w (entity_type, entity_id, key)
        join sync.record r on r.target = p_target and r.entity_type = w.entity_type and r.entity_id = w.entity_id
        where r.lease_owner = p_owner and r.wanted_key is distinct from decode(w.key, 'hex')
        order by w.entity_type, w.entity_id
        for update of r
    ), written as (
        update sync.record r set
            wanted_key = w.key,
            may_hold   = case when w.before is null or w.before = r.match_key or w.before = any (r.may_hold) then r.may_hold
                              else r.may_hold || w.before end
        from wanted w
        where r.target = p_target and r.entity_type = w.entity_type and r.entity_id = w.entity_id
    )
    select coalesce(array_agg(w.before) filter (where w.before is not null), '{}') into v_left from wanted w;

    if cardinality(v_left) > 0 then
        for v_type, v_ids in
            select r.entity_type, array_agg(r.entity_id order by r.entity_id)
            from sync.record r
            where r.target = p_target and (r.wanted_key = any (v_left) or r.gave_up_key = any (v_left))
            group by r.entity_type
        loop
            return query
                select 'owed', v_type, o.id, null::bigint, null::bigint, false
                from sync.owe(p_target, v_type, v_ids, array_fill(clock_timestamp(), array[cardinality(v_ids)]),
                              array_fill(null::text, array[cardinality(v_ids)]), 'change', 'live') as o (id);
        end loop;
    end if;

    return query
        -- First: a program of the version before this one takes the last of an entity's rows that it does not know.
        select 'left_behind', w.entity_type, w.entity_id, null::bigint, null::bigint, false
        from unnest(p_types, p_ids) as w (entity_type, entity_id)
        join sync.record r on r.target = p_target and r.entity_type = w.entity_type and r.entity_id = w.entity_id
        where r.gave_up_key is not null
          and not exists (
              select 1 from sync.record o
              where o.target = p_target and o.entity_type = w.entity_type and o.entity_id <> w.entity_id
                and (o.wanted_key = r.gave_up_key and not o.gone
                     -- Somebody's may hold it yet.
                     or o.may_hold <> '{}' and o.may_hold @> array[r.gave_up_key] and (o.remote_id is not null or o.intent_on is not null)))
        union all
        select 'key', w.entity_type, w.entity_id, owner.id, holder.id, coalesce(holder.waits, false)
        from unnest(p_types, p_ids, p_keys) as w (entity_type, entity_id, key)
        join sync.record mine on mine.target = p_target and mine.entity_type = w.entity_type and mine.entity_id = w.entity_id
        cross join lateral (
            select min(r.entity_id) as id
            from sync.record r
            where r.target = p_target and r.entity_type = w.entity_type and r.wanted_key = decode(w.key, 'hex') and not r.gone
        ) owner
        left join lateral (
            -- Each wants what the other holds: a claim clears who waits for whom, so it is told by the keys.
            select r.entity_id as id, mine.remote_id is not null and r.wanted_key = mine.match_key as waits
            from sync.record r
            where r.target = p_target and r.entity_type = w.entity_type and r.entity_id <> w.entity_id
              and (r.match_key = decode(w.key, 'hex') or r.wanted_key = decode(w.key, 'hex') or r.gave_up_key = decode(w.key, 'hex')
                   or r.may_hold <> '{}' and r.may_hold @> array[decode(w.key, 'hex')])
              and (r.remote_id is not null or r.intent_on is not null)
              and not (mine.remote_id is not null and mine.match_key is not distinct from decode(w.key, 'hex'))
            order by r.entity_id
            limit 1
        ) holder on true
        where w.key is not null
        union all
        select 'holds_another', w.entity_type, w.entity_id, null::bigint, null::bigint, false
        from unnest(p_types, p_ids, p_keys) as w (entity_type, entity_id, key)
        join sync.record r on r.target = p_target and r.entity_type = w.entity_type and r.entity_id = w.entity_id
        where w.key is not null and r.remote_id is not null and r.match_key is distinct from decode(w.key, 'hex')
        union all
        -- The owner alone may take over what the others left at the target. In the same statement: one snapshot tells who
        -- has a record and who has none.
        select 'given_up', w.entity_type, w.entity_id, null::bigint, r.entity_id, false
        from unnest(p_types, p_ids, p_keys) as w (entity_type, entity_id, key)
        join sync.record r
          on r.target = p_target and r.entity_type = w.entity_type
         and (r.wanted_key = decode(w.key, 'hex') and not r.gone and r.entity_id > w.entity_id
              or r.gave_up_key = decode(w.key, 'hex') and r.entity_id <> w.entity_id)
        where w.key is not null
          and r.remote_id is null and r.intent_on is null
          and not exists (
              select 1 from sync.record o
              where o.target = p_target and o.entity_type = w.entity_type and o.wanted_key = decode(w.key, 'hex') and not o.gone
                and o.entity_id < w.entity_id);
end
$body$;
comment on function sync.match_keys is 'Writes which match keys a batch wants; tells the owner and the holder of each.';

-- What exists at a target only within other records gets its remote id from them. Rows: type, id, remote id.
create or replace function sync.carry(p_target text, p_types text[], p_ids bigint[], p_remote_ids text[]) returns void
language sql
set search_path = pg_catalog, pg_temp
as $body$
    with carried as (
        select distinct on (w.entity_type, w.entity_id) w.entity_type, w.entity_id, w.remote_id
        from unnest(p_types, p_ids, p_remote_ids) as w (entity_type, entity_id, remote_id)
        join sync.record r on r.target = p_target and r.entity_type = w.entity_type and r.entity_id = w.entity_id
        where r.remote_id is distinct from w.remote_id
        order by w.entity_type, w.entity_id, w.remote_id
    ), locked as (
        select c.*
        from carried c
        join sync.record r on r.target = p_target and r.entity_type = c.entity_type and r.entity_id = c.entity_id
        order by c.entity_type, c.entity_id
        for update of r
    )
    update sync.record r set remote_id = l.remote_id
    from locked l
    where r.target = p_target and r.entity_type = l.entity_type and r.entity_id = l.entity_id
$body$;
comment on function sync.carry is 'Writes the remote ids of entities that exist at a target only within others.';

-- Owes the records that carry these entities at the target, as its view `sync.<target>_carriers` names them.
create or replace function sync.owe_carriers(p_target text, p_types text[], p_ids bigint[])
returns table (entity_type text, entity_id bigint)
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
#variable_conflict use_column
declare
    v_type text;
    v_ids  bigint[];
begin
    for v_type, v_ids in execute format($sql$
        select c.carrier_type, array_agg(distinct c.carrier_id order by c.carrier_id)
        from unnest($1, $2) as w (entity_type, entity_id)
        join sync.%I c on c.entity_type = w.entity_type and c.entity_id = w.entity_id
        group by c.carrier_type
        order by c.carrier_type
    $sql$, p_target || '_carriers') using p_types, p_ids
    loop
        return query
            select v_type, o.id
            from sync.owe(p_target, v_type, v_ids, array_fill(clock_timestamp(), array[cardinality(v_ids)]),
                          array_fill(null::text, array[cardinality(v_ids)]), 'change', 'live') as o (id);
    end loop;
end
$body$;
comment on function sync.owe_carriers is 'Owes the records that carry these entities at the target.';
