-- The guard of G10: holds a burst of destructive changes before the first of them is sent: deletes, and what takes
-- something away from a record that stays (`lessens`: a consent withdrawn, a list left, a field blanked). Both are called
-- deletes here. They are weighed by what is *owed*, so that the first of a thousand counts as a thousand. The numbers come from here, the rule is
-- `deliver::guard`. weigh and settle run in one transaction, under the lock of the target's row in sync.guard, so that
-- processes can't each use the whole allowance. Lock order, here as in approve and reject: the guard's row, then records
-- in key order.

-- Weighs the deletes that a batch wants to send (p_gens: the owed_gen of each claim; p_gone: whether the entity is gone, else
-- something is taken away from its record: p_loses, an array of names each; null: a process of before does not say). Writes that
-- down, forgets what was decided about less than that, begins a new window if the last one is over, ends a trip that holds nothing any more, and counts:
-- open         of the batch, deletes without a verdict; with none there is nothing to decide, and nothing is locked
-- tripped      deletes are being held
-- let_through  in this window so far
-- waiting      owed as deletes and without a verdict, at this target, the batch's included: in records, and in the
--              outbox where no relay has taken them yet
-- records      that the target was seen to hold in this window, at most: deleting makes a share no smaller. Counted only
--              where more than p_enough deletes are at stake
--
-- A create that is only just being claimed has an intent too: a leased record without a remote id is counted by its own
-- batch alone.
drop function if exists sync.guard_weigh(text, text[], bigint[], bigint[], boolean[], interval, bigint);
create or replace function sync.guard_weigh(
    p_target text,
    p_types  text[],
    p_ids    bigint[],
    p_gens   bigint[],
    p_gone   boolean[],
    p_window interval,
    p_enough bigint,
    p_loses  jsonb[] default null
) returns table (open bigint, tripped boolean, let_through bigint, waiting bigint, records bigint)
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
#variable_conflict use_column
declare
    v_guard   sync.guard;
    v_waits   text;
    v_type    text;
    v_whole   boolean;
    v_outbox  text := '';
    v_records bigint := 0;
begin
    select count(*) into open
    from sync.record r
    join unnest(p_types, p_ids, p_gens, p_gone, p_loses) as w (entity_type, entity_id, gen, gone, loses)
      on w.entity_type = r.entity_type and w.entity_id = r.entity_id
    where r.target = p_target
      and (r.delete_verdict is null
           or r.delete_verdict <> 'rejected' and r.owed_gen = w.gen and not sync.is_decided(r.gone, r.loses, w.gone, w.loses));
    if open = 0 then
        return query select 0::bigint, false, 0::bigint, 0::bigint, 0::bigint;
        return;
    end if;

    select * into strict v_guard from sync.guard g where g.target = p_target for update;
    if v_guard.window_started_on is null or v_guard.window_started_on + p_window <= clock_timestamp() then
        v_guard.window_started_on := clock_timestamp();
        v_guard.let_through := 0;
        v_guard.records := 0;
    end if;

    perform 1
    from sync.record r
    join unnest(p_types, p_ids) as w (entity_type, entity_id)
      on w.entity_type = r.entity_type and w.entity_id = r.entity_id
    where r.target = p_target
    order by r.entity_type, r.entity_id
    for update of r;
    -- What moved since the claim was looked at by a later owing, which knows better.
    update sync.record r set
        gone           = w.gone,
        lessens        = not w.gone,
        loses_since    = case when (r.gone, r.lessens) = (w.gone, not w.gone) then r.loses_since else clock_timestamp() end,
        -- What was rejected is asked about again when it comes to lose more than that.
        loses          = case when w.loses is null or r.delete_verdict = 'rejected' then r.loses
                              else array(select l.name collate "C" from jsonb_array_elements_text(w.loses) as l (name) order by 1) end,
        delete_verdict = case when r.delete_verdict = 'rejected' or sync.is_decided(r.gone, r.loses, w.gone, w.loses)
                              then r.delete_verdict end
    from unnest(p_types, p_ids, p_gens, p_gone, p_loses) as w (entity_type, entity_id, gen, gone, loses)
    where r.target = p_target and r.entity_type = w.entity_type and r.entity_id = w.entity_id and r.owed_gen = w.gen
      and ((r.gone, r.lessens) <> (w.gone, not w.gone) or to_jsonb(r.loses) is distinct from coalesce(w.loses, to_jsonb(r.loses)));

    -- Is anything held, or about to be, besides this batch?
    if v_guard.tripped_on is not null and not exists (
        select 1 from sync.record r
        where r.target = p_target and r.state = 'held' and r.state_reason = 'guard'
    ) and not exists (
        select 1 from sync.record r
        where r.target = p_target and (r.gone or r.lessens) and r.owed_gen > r.done_gen and r.delete_verdict is null and r.state = 'leased'
          and not exists (select 1 from unnest(p_types, p_ids) as w (entity_type, entity_id)
                          where w.entity_type = r.entity_type and w.entity_id = r.entity_id))
      -- What a decision has left is not the first of another burst.
      and not exists (
        select 1
        from sync.record r
        where r.target = p_target and (r.gone or r.lessens) and r.owed_gen > r.done_gen and r.delete_verdict is null
          and (r.remote_id is not null or r.intent_on is not null)
          and coalesce(r.loses_since, 'epoch') <= v_guard.partly_decided_on)
    then
        v_guard.tripped_on := null;
        v_guard.partly_decided_on := null;
    end if;
    update sync.guard g set
        window_started_on = v_guard.window_started_on, let_through = v_guard.let_through, records = v_guard.records,
        tripped_on = v_guard.tripped_on, partly_decided_on = v_guard.partly_decided_on
    where g.target = p_target;
    if v_guard.tripped_on is not null then
        return query select open, true, v_guard.let_through, 0::bigint, 0::bigint;
        return;
    end if;

    -- One statement, so one snapshot: what the relay moves meanwhile is neither missed nor counted twice.
    v_waits := $sql$
        select r.entity_type, r.entity_id
        from sync.record r
        left join unnest($2, $3) as w (entity_type, entity_id) on w.entity_type = r.entity_type and w.entity_id = r.entity_id
        where r.target = $1 and (r.gone or r.lessens) and r.owed_gen > r.done_gen and r.delete_verdict is null
          and (w.entity_id is not null or r.remote_id is not null or r.intent_on is not null and r.lease_owner is null)
    $sql$;
    for v_type, v_whole in
        select o.entity_type, bool_or(o.op = 'truncate') from sync.outbox o where o.op <> 'insert' group by o.entity_type
    loop
        if to_regclass(format('sync.%I', p_target || '_' || v_type)) is not null then
            -- A truncation names no entity: every record of the type whose row is gone, or has less.
            v_outbox := v_outbox || format($sql$
                union
                select r.entity_type, r.entity_id
                from sync.record r
                left join sync.%2$I p on p.id = r.entity_id
                where r.target = $1 and r.entity_type = %1$L
                  -- Nobody has decided, or about less than what it loses by then.
                  and (r.delete_verdict is null
                       or r.delete_verdict <> 'rejected'
                          and not sync.is_decided(r.gone, r.loses, p.id is null, to_jsonb(sync.loses(r.holds, r.consents, to_jsonb(p)))))
                  and (r.remote_id is not null or r.intent_on is not null and r.lease_owner is null)
                  and (%3$L or r.entity_id in (select o.entity_id from sync.outbox o where o.entity_type = %1$L and o.op <> 'insert'))
                  and (p.id is null or r.remote_id is not null and sync.lessens(r.holds, r.consents, to_jsonb(p)))
            $sql$, v_type, p_target || '_' || v_type, v_whole);
        end if;
    end loop;
    begin
        execute format('select count(*) from (%s %s) k', v_waits, v_outbox) into waiting using p_target, p_types, p_ids;
    exception when others then
        -- A projection that can't be read says nothing about who is gone.
        execute format('select count(*) from (%s) k', v_waits) into waiting using p_target, p_types, p_ids;
    end;
    if v_guard.let_through + waiting > p_enough then
        select count(*) into v_records from sync.record r where r.target = p_target and r.remote_id is not null;
        update sync.guard g set records = greatest(g.records, v_records) where g.target = p_target
        returning g.records into v_records;
    end if;
    return query select open, false, v_guard.let_through, waiting, v_records;
end
$body$;
comment on function sync.guard_weigh is 'Counts what is at stake before deletes are sent, under the lock of the guard.';

-- Lets a batch's open deletes through, or trips and holds them; p_allows is null where none is open. Returns what each
-- delete of the batch may do now: 'delete', 'held' (for a person) or 'rejected' (by one). A verdict about less than what the batch
-- would take away (p_gone, p_loses) lets nothing through.
drop function if exists sync.guard_settle(text, text[], bigint[], boolean, bigint);
create or replace function sync.guard_settle(
    p_target  text,
    p_types   text[],
    p_ids     bigint[],
    p_allows  boolean,
    p_waiting bigint,
    p_gone    boolean[] default null,
    p_loses   jsonb[]   default null
) returns table (entity_type text, entity_id bigint, verdict text)
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
#variable_conflict use_column
declare
    v_let_through bigint;
begin
    if p_allows then
        with mine as (
            select r.entity_type, r.entity_id
            from sync.record r
            join unnest(p_types, p_ids) as w (entity_type, entity_id)
              on w.entity_type = r.entity_type and w.entity_id = r.entity_id
            where r.target = p_target and (r.gone or r.lessens) and r.delete_verdict is null
            order by r.entity_type, r.entity_id
            for update of r
        )
        update sync.record r set delete_verdict = 'let_through'
        from mine m
        where r.target = p_target and r.entity_type = m.entity_type and r.entity_id = m.entity_id;
        get diagnostics v_let_through = row_count;
        update sync.guard g set let_through = g.let_through + v_let_through where g.target = p_target and v_let_through > 0;
    elsif not p_allows then
        update sync.guard g set tripped_on = clock_timestamp() where g.target = p_target and g.tripped_on is null;
        if found then
            insert into sync.guard_decision (target, decision, decided_by, deletes) values (p_target, 'tripped', 'guard', p_waiting);
        end if;
    end if;
    return query
        select r.entity_type, r.entity_id,
               case when r.delete_verdict = 'rejected' then 'rejected'
                    when r.delete_verdict in ('let_through', 'approved')
                         and sync.is_decided(r.gone, r.loses, coalesce(w.gone, r.gone), w.loses) then 'delete'
                    else 'held' end
        from sync.record r
        join unnest(p_types, p_ids, p_gone, p_loses) as w (entity_type, entity_id, gone, loses)
          on w.entity_type = r.entity_type and w.entity_id = r.entity_id
        where r.target = p_target;
end
$body$;
comment on function sync.guard_settle is 'Lets deletes through or holds them, as the rule decided about what guard_weigh counted.';

-- What is held, or on its way to be: all that belongs to the same burst, so also parents that wait for their children's deletes.
-- Dropped first: a version before had other columns.
drop view if exists sync.held_record;
create view sync.held_record as
select r.target, r.entity_type, r.entity_id, r.gone, r.delete_verdict is not null as kept, r.remote_id, r.owed_on, r.consents, r.holds,
       r.loses, coalesce(r.loses_since, 'epoch') as since
from sync.record r
join sync.guard g on g.target = r.target
where (r.gone or r.lessens) and r.owed_gen > r.done_gen
  and (r.delete_verdict = 'rejected'
       or r.delete_verdict is null
          and (r.state = 'held' and r.state_reason = 'guard'
               or g.tripped_on is not null and (r.remote_id is not null or r.intent_on is not null and r.lease_owner is null)));
comment on view sync.held_record is 'Records that the guard holds, or is about to, and those whose loss a person rejected (kept).';

-- The same as a person is shown it, and as their decision takes it: with what each would lose (loses) as the projections are now.
-- `key`: another one whenever that is more or less, and the same however often the entity was edited. `since`: when it joined.
-- Dropped first: a version before had other columns.
drop function if exists sync.held_now(text);
create function sync.held_now(p_target text) returns table (
    entity_type text, entity_id bigint, gone boolean, kept boolean, remote_id text, owed_on timestamptz, loses text[], key text,
    since timestamptz
)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $body$
#variable_conflict use_column
declare
    v_type  text;
    v_loses jsonb;
begin
    for v_type in select distinct h.entity_type from sync.held_record h where h.target = p_target loop
        begin
            execute format($sql$
                select coalesce(jsonb_object_agg(h.entity_id, sync.loses(h.holds, h.consents, to_jsonb(p))
                           || case when 'whole record' = any (h.loses) then array['whole record'] else '{}' end), '{}')
                from sync.held_record h
                left join sync.%I p on p.id = h.entity_id
                where h.target = $1 and h.entity_type = $2 and not h.gone
            $sql$, p_target || '_' || v_type) into v_loses using p_target, v_type;
        exception when others then
            -- Of a projection that can't be read it is what was seen last.
            v_loses := '{}';
        end;
        return query
            select h.entity_type, h.entity_id, h.gone, h.kept, h.remote_id, h.owed_on, l.loses,
                   jsonb_build_array(h.entity_type, h.entity_id, h.gone, h.kept, l.loses)::text, h.since
            from sync.held_record h
            cross join lateral (
                select case when h.gone then '{}'
                            when v_loses ? h.entity_id::text
                                then array(select n.name from jsonb_array_elements_text(v_loses -> h.entity_id::text) as n (name))
                            else coalesce(h.loses, '{}') end as loses
            ) l
            where h.target = p_target and h.entity_type = v_type;
    end loop;
end
$body$;
comment on function sync.held_now is 'What is held, with what it would lose as the projections are now.';

-- The digest of what is held.
create or replace function sync.digest_of_held(p_keys text[]) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $body$
    select case when cardinality(p_keys) = 0 then '0'
                else left(encode(sha256(convert_to((select string_agg(k.key, ' ' order by k.key collate "C") from unnest(p_keys) as k (key)),
                                                   'UTF8')), 'hex'), 16) end
$body$;
comment on function sync.digest_of_held is 'The digest of the keys of what is held.';

-- What a person saw, as their decision says it again: when the last of it joined, in microseconds since 1970, and its digest; '0' where
-- there was nothing. p_keys and p_since run parallel.
create or replace function sync.seen_of(p_keys text[], p_since timestamptz[]) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $body$
    select case when cardinality(p_keys) = 0 then '0'
                else (extract(epoch from (select max(s.since) from unnest(p_since) as s (since))) * 1000000)::bigint
                     || '.' || sync.digest_of_held(p_keys) end
$body$;
comment on function sync.seen_of is 'What a person saw of what is held: when the last of it joined, and its digest.';

-- Until when what a person saw had joined: they decide about nothing that came later. Null: whatever is held; so it is also of what is
-- no word of sync.seen_of, whose digest then has to be that of all.
create or replace function sync.seen_until(p_seen text) returns timestamptz
language sql stable parallel safe
set search_path = pg_catalog, pg_temp
as $body$
    select case when p_seen = '0' then '-infinity'
                when p_seen ~ '^[0-9]{1,16}[.][0-9a-f]{16}$'
                    then timestamptz 'epoch' + split_part(p_seen, '.', 1)::float8 * interval '1 microsecond'
                else 'infinity' end
$body$;
comment on function sync.seen_until is 'Until when what a person saw had joined.';

-- Ends the transaction where what was held by then is not what a person saw (p_seen; null: whatever it is).
create or replace function sync.check_seen(p_keys text[], p_seen text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
begin
    if regexp_replace(p_seen, '^[0-9]+[.]', '') <> sync.digest_of_held(p_keys) then
        raise exception 'What is held is not what was seen' using errcode = 'ES001';
    end if;
end
$body$;
comment on function sync.check_seen is 'Ends the transaction where what is held is not what a person saw.';

-- A person decides about the deletes that are held now (p_approves: they may be sent; else the remote records stay), with
-- all that belong to the same burst (sync.held_record). Nothing that joined after they looked, and nothing at all if what they saw is
-- another by now, or not there (p_seen, of sync.seen_of; null: they take it as it is). p_kept: an approval takes in what was rejected
-- earlier, of which p_seen_kept tells; it says nothing to any other decision. Returns whom it concerned. As long as something is
-- undecided the guard stays tripped: what joined is not weighed anew as if it were the first.
--
-- What is decided is what is lost now (loses): sync.owe and sync.guard_weigh forget it when that becomes more.
-- owed_gen is raised, so that a batch that decides about one of them at this moment decides again.
drop function if exists sync.guard_decide(text, boolean, boolean, text);
drop function if exists sync.guard_decide(text, boolean, boolean, text, text);
create or replace function sync.guard_decide(
    p_target   text,
    p_approves boolean,
    p_kept     boolean,
    p_by       text,
    p_seen     text default null,
    p_seen_kept text default null
) returns table (entity_type text, entity_id bigint, gone boolean)
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
#variable_conflict use_column
declare
    v_types   text[];
    v_ids     bigint[];
    v_open    text[];
    v_kept    text[];
    v_now     jsonb;
    v_held    jsonb;
    v_decided text[];
    v_is_part boolean;
    v_until   timestamptz := sync.seen_until(p_seen);
    v_until_kept timestamptz := case when p_approves and p_kept then sync.seen_until(p_seen_kept) else '-infinity' end;
begin
    -- Read before anything is locked: a projection may be slow, and consumers and the relay wait for these rows.
    select coalesce(jsonb_agg(to_jsonb(h)), '[]') into v_now from sync.held_now(p_target) h;
    perform 1 from sync.guard g where g.target = p_target for update;
    select coalesce(array_agg(h.entity_type), '{}'), coalesce(array_agg(h.entity_id), '{}') into v_types, v_ids
    from (
        select h.entity_type, h.entity_id
        from sync.held_record h
        where h.target = p_target
        order by h.entity_type, h.entity_id
        for update
    ) h;
    select coalesce(array_agg(h.key) filter (where not h.kept), '{}'),
           coalesce(array_agg(h.key) filter (where h.kept), '{}'),
           coalesce(jsonb_agg(to_jsonb(h)), '[]')
    into v_open, v_kept, v_held
    from jsonb_to_recordset(v_now) as h (
        entity_type text, entity_id bigint, gone boolean, kept boolean, loses text[], key text, since timestamptz)
    join unnest(v_types, v_ids) as l (entity_type, entity_id) on l.entity_type = h.entity_type and l.entity_id = h.entity_id
    -- What has become something else meanwhile is not what was seen.
    join sync.held_record n on n.target = p_target and n.entity_type = h.entity_type and n.entity_id = h.entity_id
                           and (n.gone, n.kept) = (h.gone, h.kept)
    where h.since <= case when h.kept then v_until_kept else v_until end;
    perform sync.check_seen(v_open, p_seen);
    if p_approves and p_kept then
        perform sync.check_seen(v_kept, p_seen_kept);
    end if;

    with decided as (
        update sync.record r set
            delete_verdict = case when p_approves then 'approved' else 'rejected' end,
            loses          = c.loses,
            owed_gen       = r.owed_gen + 1,
            last_owed_on   = clock_timestamp(),
            attempts       = 0,
            waiting_on     = case when p_approves then r.waiting_on end,
            state          = case when r.state = 'leased' or p_approves and r.state <> 'held' then r.state
                                  when p_approves then 'pending' else 'held' end,
            state_reason   = case when r.state = 'leased' or p_approves and r.state <> 'held' then r.state_reason
                                  when not p_approves then 'delete_rejected' end,
            due_on         = case when r.state = 'leased' or p_approves and r.state <> 'held' then r.due_on
                                  when p_approves then clock_timestamp() else 'infinity' end
        from jsonb_to_recordset(v_held) as c (entity_type text, entity_id bigint, loses text[])
        where r.target = p_target and r.entity_type = c.entity_type and r.entity_id = c.entity_id
        returning r.entity_type || ':' || r.entity_id || ':' || r.gone as key
    )
    select coalesce(array_agg(key), '{}') into v_decided from decided;

    v_is_part := exists (select from sync.held_record h where h.target = p_target and not h.kept);
    update sync.guard g set
        tripped_on        = case when v_is_part then g.tripped_on end,
        partly_decided_on = case when v_is_part then clock_timestamp() end
    where g.target = p_target and g.tripped_on is not null;
    if cardinality(v_decided) > 0 then
        insert into sync.guard_decision (target, decision, decided_by, deletes, by_type)
        select p_target, case when p_approves then 'approved' else 'rejected' end, p_by, sum(t.n), jsonb_object_agg(t.entity_type, t.n)
        from (select split_part(k.key, ':', 1) as entity_type, count(*) as n from unnest(v_decided) as k (key) group by 1) t;
    end if;
    return query
        select split_part(k.key, ':', 1), split_part(k.key, ':', 2)::bigint, split_part(k.key, ':', 3)::boolean
        from unnest(v_decided) as k (key);
end
$body$;
comment on function sync.guard_decide is 'A person approves or rejects the deletes that are held now.';
