-- Ends the leases of a batch: one call, one transaction, several statements (each with its own snapshot).
--
-- 0. lock all of it in key order, like everybody who locks several records
-- 1. test again what is waited for: whoever finished it before our lock could not wake us
-- 2. write the outcome where the fence is still ours, and open or close its dead letter
-- 3. a fenced loser that sent something leaves a read-back behind, which the successor's finish does not clear
-- 4. drop the records of entities that nothing was ever sent for
-- 5. owe what is waited for, unless it is owed already
-- 6. wake whoever waited for a record whose remote id came or went, that has other parents now or that is surely not at
--    the remote (or, as its sibling, for its end), and owe the children of one whose id changed
-- 7. owe whoever wants a match key that came free or was taken
-- 8. owe, in doubt, whoever left something to a remote record that was written since
--
-- p_rows is an array of objects, one per claimed record (the struct `Finish` in src/store/records.rs).
-- Returns (kind, entity_type, entity_id): 'finished', 'again' (still owed and due), 'fenced', 'woken', 'owed', and
-- 'dead' (has an open dead letter whose token is not published), and 'inbox' (type and number of a row of the inbox that waited
-- for one of these).
create or replace function sync.finish(
    p_target    text,
    p_owner     uuid,
    p_read_back interval,
    p_rows      jsonb
) returns table (kind text, entity_type text, entity_id bigint)
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
#variable_conflict use_column
declare
    v_satisfied text[];
    v_finished  text[];
    v_again     text[];
    v_changed   text[];
    v_moved     text[];
    v_absent    text[];
    v_dead      text[];
    v_owed      text[];
    v_woken     text[];
    v_inbox     text[];
    v_keys      bytea[];
    v_taken     bytea[];
    v_freed     text[];
    v_type      text;
    v_ids       bigint[];
begin
    select coalesce(array_agg(x.entity_type || ':' || x.entity_id) filter (where x.remote_changed), '{}')
    into v_changed
    from jsonb_to_recordset(p_rows) as x (entity_type text, entity_id bigint, remote_changed boolean);

    -- Who names other parents than before: the old ones may wait for that.
    select coalesce(array_agg(r.entity_type || ':' || r.entity_id), '{}')
    into v_moved
    from jsonb_to_recordset(p_rows) as x
         (entity_type text, entity_id bigint, parents text[], remote_id text, intent_on timestamptz, confirmed boolean)
    join sync.record r on r.target = p_target and r.entity_type = x.entity_type and r.entity_id = x.entity_id
    where not r.parents <@ x.parents
      and (x.confirmed or x.remote_id is null and x.intent_on is null);

    -- What is surely not at the remote after this: who waits to be deleted after it need not wait.
    select coalesce(array_agg(x.entity_type || ':' || x.entity_id), '{}')
    into v_absent
    from jsonb_to_recordset(p_rows) as x (entity_type text, entity_id bigint, remote_id text, intent_on timestamptz)
    where x.remote_id is null and x.intent_on is null;

    -- Keys that are not any more, or newly, held at the remote.
    select coalesce(array_agg(distinct k.key) filter (where k.key is not null), '{}')
    into v_keys
    from jsonb_to_recordset(p_rows) as x
         (entity_type text, entity_id bigint, remote_id text, remote_changed boolean, confirmed boolean, match_key text,
          in_doubt boolean)
    join sync.record r on r.target = p_target and r.entity_type = x.entity_type and r.entity_id = x.entity_id
    cross join lateral (
        select v.key
        from (values (r.match_key), (case when x.confirmed then decode(x.match_key, 'hex') else r.wanted_key end)) as v (key)
        where x.remote_changed or x.confirmed and r.match_key is distinct from decode(x.match_key, 'hex')
        union all
        select unnest(r.may_hold) where not x.in_doubt
    ) as k;

    -- Keys that are surely held by those of ours: whoever gave up a record with one of them has nothing there any more.
    select coalesce(array_agg(decode(x.match_key, 'hex')), '{}')
    into v_taken
    from jsonb_to_recordset(p_rows) as x (remote_id text, confirmed boolean, match_key text)
    where x.confirmed and x.remote_id is not null and x.match_key is not null;

    -- Remote records that are written, or were: others may have left something to them.
    select coalesce(array_agg(distinct x.entity_type || ':' || f.remote_id) filter (where f.remote_id is not null), '{}')
    into v_freed
    from jsonb_to_recordset(p_rows) as x
         (entity_type text, entity_id bigint, remote_id text, remote_changed boolean, pushed boolean)
    join sync.record r on r.target = p_target and r.entity_type = x.entity_type and r.entity_id = x.entity_id
    cross join lateral (values (r.remote_id), (x.remote_id)) as f (remote_id)
    where x.pushed or x.remote_changed;

    -- 0. Ours, what we wait for, who waits for us, and the children of those whose remote id changes.
    perform 1
    from (
        select x.entity_type, x.entity_id from jsonb_to_recordset(p_rows) as x (entity_type text, entity_id bigint)
        union
        select split_part(x.waiting_on, ':', 1), split_part(x.waiting_on, ':', 2)::bigint
        from jsonb_to_recordset(p_rows) as x (waiting_on text) where x.waiting_on is not null
        union
        select w.entity_type, w.entity_id from sync.record w where w.target = p_target and w.waiting_on = any (v_changed || v_moved)
        union
        select w.entity_type, w.entity_id
        from jsonb_to_recordset(p_rows) as x (entity_type text, entity_id bigint)
        join sync.record w on w.target = p_target and w.waiting_on = x.entity_type || ':' || x.entity_id
        where w.state_reason = 'waiting_for_sibling'
           or w.state_reason in ('waiting_for_child', 'waiting_for_holder') and w.waiting_on = any (v_absent)
        union
        select c.entity_type, c.entity_id from sync.record c where c.target = p_target and c.parents && v_changed
        union
        select o.entity_type, o.entity_id
        from sync.record o
        where o.target = p_target and (o.wanted_key = any (v_keys) or o.gave_up_key = any (v_keys || v_taken))
        union
        -- Who left something to ours, and whom ours leave something to.
        select l.entity_type, l.entity_id
        from unnest(v_freed) as f (key)
        join sync.record l on l.target = p_target and l.entity_type = split_part(f.key, ':', 1)
                          and l.left_to = substr(f.key, strpos(f.key, ':') + 1)
        union
        select h.entity_type, h.entity_id
        from jsonb_to_recordset(p_rows) as x (entity_type text, left_to text)
        join sync.record h on h.target = p_target and h.entity_type = x.entity_type and h.remote_id = x.left_to
    ) k
    join sync.record r on r.target = p_target and r.entity_type = k.entity_type and r.entity_id = k.entity_id
    order by r.entity_type, r.entity_id
    for update of r;

    -- 1. Those of ours whose waiting is over already: the parent came; the older sibling is done; the child went,
    -- or names us no longer.
    select coalesce(array_agg(x.entity_type || ':' || x.entity_id), '{}')
    into v_satisfied
    from jsonb_to_recordset(p_rows) as x (entity_type text, entity_id bigint, waiting_on text, waits_for text)
    join sync.record r
      on r.target = p_target
     and r.entity_type = split_part(x.waiting_on, ':', 1)
     and r.entity_id = split_part(x.waiting_on, ':', 2)::bigint
    where x.waiting_on is not null
      and case x.waits_for
              when 'parent' then r.remote_id is not null
              when 'sibling' then r.owed_gen = r.done_gen
              when 'holder' then r.remote_id is null and r.intent_on is null
              else r.remote_id is null and r.intent_on is null or not r.parents @> array[x.entity_type || ':' || x.entity_id]
          end;

    -- 2. The outcome. `moved`: a newer change came while the lease was held.
    with outcome as (
        select x.*,
               x.entity_type || ':' || x.entity_id = any (v_satisfied) as satisfied
        from jsonb_to_recordset(p_rows) as x (
            entity_type text, entity_id bigint, fence bigint, gen bigint, doubts bigint, settled boolean, remote_id text,
            pushed boolean, confirmed boolean, data_hash text, remote_hash text, left_to text, rejected_hash text,
            modified_on timestamptz, match_key text, in_doubt boolean, intent_on timestamptz, state text, reason text,
            error text, attempts integer, failures integer, due_ms bigint, waiting_on text, waits_for text, parents text[],
            tombstone boolean, read_back_ms bigint, dead boolean, traceparent text, remote_changed boolean, holds text[],
            consents text[], sent boolean)
        order by x.entity_type, x.entity_id
    ), written as (
        update sync.record r set
            -- Others may have brought the id of what is skipped (sync.carry).
            remote_id          = case when o.state = 'skipped' and not o.remote_changed then r.remote_id else o.remote_id end,
            former_remote_id   = case when o.state = 'skipped' and not o.remote_changed or o.remote_id is not null then r.former_remote_id
                                      else coalesce(r.remote_id, r.former_remote_id) end,
            -- Left to the owner of its key, who adopts it; or taken away for good.
            gave_up_key        = case when o.remote_id is not null then null
                                      when o.pushed then null
                                      when o.reason = 'shared_email' and r.remote_id is not null then r.match_key
                                      else r.gave_up_key end,
            -- What a read has found out was not written by us.
            sent_on            = case when o.sent and o.reason is distinct from 'changed_there' then clock_timestamp() else r.sent_on end,
            -- As long as something may still land, it is known for ours when it is seen.
            sent_hashes        = case when o.remote_id is null and o.intent_on is null
                                        or o.confirmed and not o.in_doubt and o.read_back_ms is null and r.read_back_on is null then '{}'
                                      else r.sent_hashes end,
            match_key          = case when o.remote_id is null then null
                                      when o.confirmed then decode(o.match_key, 'hex') else r.match_key end,
            may_hold           = case when o.in_doubt or coalesce(r.doubts > o.doubts, false) then r.may_hold else '{}' end,
            done_gen           = case when o.settled then o.gen else r.done_gen end,
            owed_on            = case when not o.settled then r.owed_on
                                      when r.owed_gen > o.gen then r.last_owed_on end,
            settled_on         = case when o.settled or o.state = 'rejected' then clock_timestamp() else r.settled_on end,
            entity_synced_on   = case when o.pushed then clock_timestamp() else r.entity_synced_on end,
            entity_modified_on = case when o.confirmed then o.modified_on else r.entity_modified_on end,
            seen_modified_on   = case when not o.tombstone then coalesce(o.modified_on, r.seen_modified_on) end,
            data_hash          = case when o.remote_id is null then null
                                      when o.data_hash is null then r.data_hash else decode(o.data_hash, 'hex') end,
            remote_hash        = case when o.remote_id is null then null
                                      when o.remote_hash is null then r.remote_hash else decode(o.remote_hash, 'hex') end,
            left_to            = case when o.remote_id is null then null
                                      when o.remote_hash is null then r.left_to else o.left_to end,
            rejected_hash      = case when o.settled and o.confirmed then null
                                      when o.rejected_hash is null then r.rejected_hash else decode(o.rejected_hash, 'hex') end,
            -- A program of the version before this one tells no doubts.
            in_doubt           = o.in_doubt or coalesce(r.doubts > o.doubts, false),
            intent_on          = o.intent_on,
            last_error         = o.error,
            -- A newer change begins a new cycle.
            attempts           = case when r.owed_gen > o.gen and o.state in ('rejected', 'dead_letter') then 0
                                      else o.attempts end,
            failures           = o.failures,
            failing_since      = case when o.attempts = 0 then null
                                      when r.attempts = 0 then clock_timestamp()
                                      else coalesce(r.failing_since, clock_timestamp()) end,
            dead_lettered_on   = case when o.dead then coalesce(r.dead_lettered_on, clock_timestamp())
                                      when o.settled then null else r.dead_lettered_on end,
            tombstoned_on      = case when o.tombstone then coalesce(r.tombstoned_on, clock_timestamp()) end,
            -- What the decision saw, unless a later owing saw something else.
            gone               = case when r.owed_gen > o.gen or not o.tombstone and o.modified_on is null then r.gone else o.tombstone end,
            lessens            = case when r.owed_gen > o.gen then r.lessens else r.lessens and not o.settled and not o.tombstone end,
            delete_verdict     = case when r.owed_gen > o.gen or o.tombstone or o.modified_on is null or r.lessens and not o.settled
                                          then r.delete_verdict end,
            holds              = case when o.remote_id is null then '{}' when o.confirmed then coalesce(o.holds, '{}') else r.holds end,
            consents           = case when o.remote_id is null then '{}' when o.confirmed then coalesce(o.consents, '{}') else r.consents end,
            parents            = case when o.parents is null then r.parents
                                      -- Where it may stand under both, it counts as under both.
                                      when not o.confirmed and (o.remote_id is not null or o.intent_on is not null)
                                          then array(select distinct unnest(r.parents || o.parents) order by 1)
                                      else o.parents end,
            read_back_on       = case when o.read_back_ms is null then r.read_back_on
                                      else least(r.read_back_on, clock_timestamp() + o.read_back_ms * interval '1 ms') end,
            read_back_step     = case when o.read_back_ms is null then r.read_back_step else 0 end,
            lease_owner        = null,
            lease_until        = null,
            state              = case when o.state = 'retrying' then o.state
                                      when r.owed_gen > o.gen or o.satisfied then 'pending' else o.state end,
            state_reason       = case when o.state = 'retrying' then o.reason
                                      when r.owed_gen > o.gen or o.satisfied then null else o.reason end,
            waiting_on         = case when o.state = 'waiting' and r.owed_gen = o.gen and not o.satisfied then o.waiting_on end,
            due_on             = case when (r.owed_gen > o.gen or o.satisfied) and o.state <> 'retrying'
                                          then clock_timestamp()
                                      when o.due_ms is null then 'infinity'
                                      else clock_timestamp() + o.due_ms * interval '1 ms' end
        from outcome o
        where r.target = p_target and r.entity_type = o.entity_type and r.entity_id = o.entity_id
          and r.fence = o.fence and r.lease_owner = p_owner
        returning r.entity_type || ':' || r.entity_id as key,
                  r.owed_gen > r.done_gen and r.due_on <= clock_timestamp() as again
    )
    select coalesce(array_agg(key), '{}'), coalesce(array_agg(key) filter (where again), '{}')
    into v_finished, v_again
    from written;

    if cardinality(v_taken) > 0 then
        update sync.record r set gave_up_key = null
        where r.target = p_target and r.gave_up_key = any (v_taken) and r.remote_id is null and r.intent_on is null
          and exists (
              select
              from jsonb_to_recordset(p_rows) as x
                   (entity_type text, entity_id bigint, remote_id text, confirmed boolean, match_key text)
              where x.confirmed and x.remote_id is not null
                and x.entity_type = r.entity_type and decode(x.match_key, 'hex') = r.gave_up_key
                and x.entity_type || ':' || x.entity_id = any (v_finished));
    end if;

    -- A dead letter is opened, or fails once more: the first time the next sweep tries again, then after 5 minutes, 10,
    -- 20, up to a day. What is rejected waits for a change or a person.
    insert into sync.dead_letter as d
        (target, entity_type, entity_id, reason, error, cause, changed_on, traceparent, attempts, next_try_on, first_failed_on)
    select p_target, x.entity_type, x.entity_id, coalesce(x.reason, x.state), x.error, r.cause, r.owed_on, r.traceparent,
           x.cycle_attempts, case when x.state = 'dead_letter' then clock_timestamp() end,
           coalesce(r.failing_since, clock_timestamp())
    from jsonb_to_recordset(p_rows) as x
         (entity_type text, entity_id bigint, state text, reason text, error text, cycle_attempts integer, dead boolean)
    join sync.record r on r.target = p_target and r.entity_type = x.entity_type and r.entity_id = x.entity_id
    where x.dead and x.entity_type || ':' || x.entity_id = any (v_finished)
    order by x.entity_type, x.entity_id
    on conflict (target, entity_type, entity_id) where closed_on is null and entity_type is not null do update set
        reason         = excluded.reason,
        error          = excluded.error,
        attempts       = d.attempts + excluded.attempts,
        cycles         = d.cycles + 1,
        last_failed_on = clock_timestamp(),
        replayed_on    = null,
        replayed_by    = null,
        next_try_on    = case when excluded.next_try_on is not null
                             then clock_timestamp() + least(interval '5 minutes' * 2 ^ least(d.cycles - 1, 20), interval '1 day') end;

    select coalesce(array_agg(x.entity_type || ':' || x.entity_id), '{}')
    into v_dead
    from jsonb_to_recordset(p_rows) as x (entity_type text, entity_id bigint, dead boolean)
    join sync.dead_letter d
      on d.target = p_target and d.entity_type = x.entity_type and d.entity_id = x.entity_id and d.closed_on is null
    where x.dead and d.token_on is null and x.entity_type || ':' || x.entity_id = any (v_finished);

    -- 3. Fenced losers: their request may still have reached the remote.
    update sync.record r set
        in_doubt       = true,
        sent_on        = clock_timestamp(),
        doubts         = r.doubts + 1,
        read_back_on   = least(r.read_back_on, clock_timestamp() + p_read_back),
        read_back_step = 0
    from (select x.* from jsonb_to_recordset(p_rows) as x (entity_type text, entity_id bigint, sent boolean)
          order by x.entity_type, x.entity_id) x
    where x.sent
      and x.entity_type || ':' || x.entity_id <> all (v_finished)
      and r.target = p_target and r.entity_type = x.entity_type and r.entity_id = x.entity_id;

    -- 4. Nothing was ever sent for these, and nothing is owed on them now.
    delete from sync.record r
    using jsonb_to_recordset(p_rows) as x (entity_type text, entity_id bigint, gen bigint, "drop" boolean)
    where x."drop"
      and x.entity_type || ':' || x.entity_id = any (v_finished)
      and r.target = p_target and r.entity_type = x.entity_type and r.entity_id = x.entity_id
      and r.owed_gen = x.gen and r.remote_id is null and r.intent_on is null
      -- What it left to another may have to be taken away yet.
      and r.gave_up_key is null;

    -- What succeeded, or is gone, needs nobody any more.
    update sync.dead_letter d set closed_on = clock_timestamp(), closed_by = 'ems-sync', outcome = 'resolved'
    from jsonb_to_recordset(p_rows) as x (entity_type text, entity_id bigint, settled boolean)
    where x.entity_type || ':' || x.entity_id = any (v_finished)
      and d.target = p_target and d.entity_type = x.entity_type and d.entity_id = x.entity_id and d.closed_on is null
      and (x.settled or not exists (
          select from sync.record r
          where r.target = p_target and r.entity_type = x.entity_type and r.entity_id = x.entity_id));

    -- What both sides hold now, field by field.
    insert into sync.agreed as a (target, entity_type, entity_id, ems, remote)
    select p_target, x.entity_type, x.entity_id, x.agreed -> 'ems', x.agreed -> 'remote'
    from jsonb_to_recordset(p_rows) as x (entity_type text, entity_id bigint, agreed jsonb)
    where jsonb_typeof(x.agreed) = 'object' and x.entity_type || ':' || x.entity_id = any (v_finished)
    order by x.entity_type, x.entity_id
    on conflict (target, entity_type, entity_id) do update set ems = excluded.ems, remote = excluded.remote;

    -- What came back from the target and waits for this push is decided now. A row that is locked is being decided, behind us.
    with waiters as (
        select i.inbox_id
        from sync.inbox i
        where i.inbox_id = any (array(
                select w.inbox_id from sync.inbox w where w.target = p_target and w.waits_for = any (v_finished)
                union
                -- What belongs to a record whose id has become known.
                select w.inbox_id
                from jsonb_to_recordset(p_rows) as x (entity_type text, entity_id bigint, remote_id text, remote_changed boolean)
                join sync.inbox w on w.target = p_target and w.state = 'waiting'
                                 and w.parents @> jsonb_build_array(jsonb_build_object(
                                     'entity_type', x.entity_type, 'remote_id', x.remote_id))
                where x.remote_changed and x.remote_id is not null and x.entity_type || ':' || x.entity_id = any (v_finished)))
          and i.state in ('pending', 'waiting')
        order by i.inbox_id
        for update of i skip locked
    ), due as (
        update sync.inbox i set state = 'pending', state_reason = null, waits_for = null, due_on = clock_timestamp()
        from waiters w
        where i.inbox_id = w.inbox_id
        returning i.entity_type || ':' || i.inbox_id as key
    )
    select coalesce(array_agg(key), '{}') into v_inbox from due;

    -- 5. What is waited for: a parent that is not there yet, a child that is still there.
    with awaited as (
        -- One row each: it may be waited for as a parent and as a child at once.
        select distinct split_part(x.waiting_on, ':', 1) as entity_type,
                        split_part(x.waiting_on, ':', 2)::bigint as entity_id
        from jsonb_to_recordset(p_rows) as x (entity_type text, entity_id bigint, waiting_on text)
        where x.waiting_on is not null and x.entity_type || ':' || x.entity_id <> all (v_satisfied)
    ), owed as (
        insert into sync.record as r (target, entity_type, entity_id, owed_gen, owed_on, last_owed_on, cause)
        select p_target, a.entity_type, a.entity_id, 1, clock_timestamp(), clock_timestamp(), 'change'
        from awaited a
        order by a.entity_type, a.entity_id
        on conflict (target, entity_type, entity_id) do update set
            owed_gen     = r.owed_gen + 1,
            owed_on      = clock_timestamp(),
            last_owed_on = clock_timestamp(),
            state        = 'pending',
            state_reason = null,
            due_on       = clock_timestamp()
        where r.owed_gen = r.done_gen and r.state in ('synced', 'skipped')
        returning r.entity_type || ':' || r.entity_id as key
    )
    select coalesce(array_agg(key), '{}') into v_owed from owed;

    -- 6. A remote id came or went (or the record is gone).
    v_changed := array(select unnest(v_changed) intersect select unnest(v_finished));

    v_moved := array(select unnest(v_moved) intersect select unnest(v_finished));
    v_absent := array(select unnest(v_absent) intersect select unnest(v_finished));

    if cardinality(v_finished) > 0 then
        with waiters as (
            select r.entity_type, r.entity_id
            from sync.record r
            where r.target = p_target and r.waiting_on = any (v_finished)
              and (r.waiting_on = any (v_changed || v_moved)
                   or r.state_reason = 'waiting_for_sibling'
                   or r.state_reason in ('waiting_for_child', 'waiting_for_holder') and r.waiting_on = any (v_absent))
            order by r.entity_type, r.entity_id
            for update of r
        ), woken as (
            update sync.record r set
                state = 'pending', state_reason = null, waiting_on = null, due_on = clock_timestamp()
            from waiters w
            where r.target = p_target and r.entity_type = w.entity_type and r.entity_id = w.entity_id
            returning r.entity_type || ':' || r.entity_id as key
        )
        select coalesce(array_agg(key), '{}') into v_woken from woken;

        with children as (
            select r.entity_type, r.entity_id
            from sync.record r
            where r.target = p_target and r.parents && v_changed
              and (r.remote_id is not null or r.intent_on is not null)
              and r.entity_type || ':' || r.entity_id <> all (v_woken)
            order by r.entity_type, r.entity_id
            for update of r
        ), raised as (
            update sync.record r set
                owed_gen     = r.owed_gen + 1,
                owed_on      = case when r.owed_gen > r.done_gen then r.owed_on else clock_timestamp() end,
                last_owed_on = clock_timestamp(),
                waiting_on   = null,
                state        = case when r.state in ('leased', 'retrying', 'held') then r.state else 'pending' end,
                state_reason = case when r.state in ('leased', 'retrying', 'held') then r.state_reason end,
                due_on       = case when r.state in ('leased', 'retrying', 'held') then r.due_on else clock_timestamp() end
            from children c
            where r.target = p_target and r.entity_type = c.entity_type and r.entity_id = c.entity_id
            returning r.entity_type || ':' || r.entity_id as key
        )
        select v_owed || coalesce(array_agg(key), '{}') into v_owed from raised;
    end if;

    -- 7. Whoever wants a key that came free, or that somebody else has now, is decided about again.
    if cardinality(v_keys) > 0 then
        for v_type, v_ids in
            select r.entity_type, array_agg(r.entity_id order by r.entity_id)
            from sync.record r
            where r.target = p_target and (r.wanted_key = any (v_keys) or r.gave_up_key = any (v_keys))
              -- Not itself, unless somebody else was in its way.
              and (r.entity_type || ':' || r.entity_id <> all (v_finished)
                   or r.state_reason in ('shared_email', 'waiting_for_holder'))
            group by r.entity_type
        loop
            select v_owed || coalesce(array_agg(v_type || ':' || o.id), '{}')
            into v_owed
            from sync.owe(p_target, v_type, v_ids, array_fill(clock_timestamp(), array[cardinality(v_ids)]),
                          array_fill(null::text, array[cardinality(v_ids)]), 'change', 'live') as o (id);
        end loop;
    end if;

    -- 8. Whoever left something to a record that was written since it was looked at there.
    if cardinality(v_freed) > 0 or exists (
        select from jsonb_to_recordset(p_rows) as x (left_to text) where x.left_to is not null)
    then
        for v_type, v_ids in
            select w.entity_type, array_agg(w.entity_id order by w.entity_id)
            from (
                select l.entity_type, l.entity_id
                from unnest(v_freed) as f (key)
                join sync.record l on l.target = p_target and l.entity_type = split_part(f.key, ':', 1)
                                  and l.left_to = substr(f.key, strpos(f.key, ':') + 1)
                union
                select x.entity_type, x.entity_id
                from jsonb_to_recordset(p_rows) as x (entity_type text, entity_id bigint, left_to text, looked_on timestamptz)
                join sync.record h on h.target = p_target and h.entity_type = x.entity_type and h.remote_id = x.left_to
                where h.entity_synced_on >= x.looked_on and x.entity_type || ':' || x.entity_id = any (v_finished)
            ) w
            group by w.entity_type
        loop
            select v_owed || coalesce(array_agg(v_type || ':' || o.id), '{}')
            into v_owed
            from sync.owe(p_target, v_type, v_ids, array_fill(clock_timestamp(), array[cardinality(v_ids)]),
                          array_fill(null::text, array[cardinality(v_ids)]), 'change', 'live', true) as o (id);
        end loop;
    end if;

    return query
        select k.kind, split_part(k.key, ':', 1), split_part(k.key, ':', 2)::bigint
        from (
            select 'finished' as kind, unnest(v_finished) as key
            union all select 'again', unnest(v_again)
            union all select 'woken', unnest(v_woken)
            union all select 'owed', unnest(v_owed)
            union all select 'dead', unnest(v_dead)
            union all select 'inbox', unnest(v_inbox)
            union all
            select 'fenced', x.entity_type || ':' || x.entity_id
            from jsonb_to_recordset(p_rows) as x (entity_type text, entity_id bigint)
            where x.entity_type || ':' || x.entity_id <> all (v_finished)
        ) k;
end
$body$;
comment on function sync.finish is 'End the leases of a batch, wake waiters, owe what is waited for. Fenced.';
