-- What a projection row has not that the remote record holds, by name, sorted: a column of p_holds that is blank, and with
-- `consent ` before it a consent. Consents are the elements of its column `consents`, where it has one. `Fields::holds` of the worker names
-- what a row holds, by the same rule: only texts and numbers can be blanked, and a moment (`…_on`) is bookkeeping. Space is what
-- Unicode says it is, whatever the collation. `Holds::lost_in` of the worker names what is lost.
create or replace function sync.loses(p_holds text[], p_consents text[], p_row jsonb) returns text[]
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $body$
    select array(
        select 'consent ' || c.name collate "C"
        from unnest(p_consents) as c (name)
        where not coalesce(case when jsonb_typeof(p_row -> 'consents') = 'array' then p_row -> 'consents' end, '[]') ? c.name
        union all
        select h.name
        from unnest(p_holds) as h (name)
        where right(h.name, 3) <> '_on'
          and (coalesce(jsonb_typeof(p_row -> h.name), 'null') not in ('string', 'number')
               or btrim(p_row ->> h.name, e'\t\n\u000B\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000') = '')
        order by 1)
$body$;
comment on function sync.loses is 'What a projection row has not that the remote record holds, by name.';

-- Whether a projection row has less than the remote record holds.
create or replace function sync.lessens(p_holds text[], p_consents text[], p_row jsonb) returns boolean
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $body$
    select sync.loses(p_holds, p_consents, p_row) <> '{}'
$body$;
comment on function sync.lessens is 'Whether a projection row has less than the remote record holds.';

-- Whether what is to be taken away now is no more than what was decided. What is not known (null) is taken for the same.
create or replace function sync.is_decided(p_gone boolean, p_loses text[], p_gone_now boolean, p_loses_now jsonb) returns boolean
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $body$
    select p_gone = p_gone_now and (p_gone or coalesce(p_loses_now <@ to_jsonb(p_loses), true))
$body$;
comment on function sync.is_decided is 'Whether what is to be taken away now is no more than what was decided.';

-- Raises what a target is owed on some entities of one type, in key order (so that two of these can't deadlock).
-- A record is inserted only where the target's projection has a row; an existing one is raised in any case,
-- since an entity that left its projection is owed a delete.
--
-- Until the remote is known to hold the entity, its parents are written here, before any create is sent: whoever is to
-- delete a parent must see a child that may be there. While a create may exist, the parents only become more.
--
-- due_on is moved to now, except for records whose turn is fixed already: leased ones (their finish sees that
-- owed_gen moved), retrying ones (at most 4 s away) and held ones (a person decides). Held is what was decided about an
-- entity that is there, or about one that is gone: if that has changed, it is decided anew, and an entity that is there
-- again has forgotten what was decided about its deletion (sql/functions/guard.sql). So has one that loses more than what was decided:
-- where a person rejected that, they are asked again.
--
-- `lessens`: what is owed would take something away from the remote record (sync.lessens), which the guard weighs like a
-- deletion. That an entity which is there is to lose its record as a whole (`whole record` in loses: it shares another's by now) only
-- whoever claims it can tell: it stays written down, with what was decided about it, and is looked at again.
--
-- p_changed_on and p_traceparents run parallel to p_ids. Returns the ids that are owed now.
create or replace function sync.owe(
    p_target       text,
    p_entity_type  text,
    p_ids          bigint[],
    p_changed_on   timestamptz[],
    p_traceparents text[],
    p_cause        text,
    p_lane         text,
    p_in_doubt     boolean default false
) returns setof bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
begin
    return query execute format($sql$
        with wanted as (
            select u.id, min(u.changed_on) as changed_on, max(u.traceparent) as traceparent
            from unnest($3, $4, $5) as u (id, changed_on, traceparent)
            group by u.id
        ), ready as (
            select w.*, coalesce(p.parents, '{}') as parents, p.id is null as gone,
                   case when p.id is not null and (r.remote_id is not null or r.holds <> '{}' or r.consents <> '{}')
                        then sync.loses(r.holds, r.consents, to_jsonb(p))
                             || case when r.owed_gen > r.done_gen and not r.gone and 'whole record' = any (r.loses) then array['whole record'] else '{}' end
                        else '{}' end as loses
            from wanted w
            left join sync.%1$I p on p.id = w.id
            left join sync.record r on r.target = $1 and r.entity_type = $2 and r.entity_id = w.id
            where p.id is not null or r.entity_id is not null
            order by w.id
        )
        insert into sync.record as r
            (target, entity_type, entity_id, owed_gen, owed_on, last_owed_on, cause, lane, traceparent, in_doubt,
             parents, gone, lessens, loses, loses_since)
        select $1, $2, id, 1, changed_on, changed_on, $6, $7, traceparent, $8, parents, gone, loses <> '{}', loses,
               case when gone or loses <> '{}' then clock_timestamp() end
        from ready
        on conflict (target, entity_type, entity_id) do update set
            owed_gen     = r.owed_gen + 1,
            owed_on      = case when r.owed_gen > r.done_gen then least(r.owed_on, excluded.owed_on) else excluded.owed_on end,
            last_owed_on = greatest(r.last_owed_on, excluded.last_owed_on),
            cause        = excluded.cause,
            lane         = case when r.owed_gen > r.done_gen and r.lane = 'live' then 'live' else excluded.lane end,
            -- Of what is done already the trace has ended.
            traceparent  = case when r.owed_gen > r.done_gen then coalesce(excluded.traceparent, r.traceparent) else excluded.traceparent end,
            in_doubt     = r.in_doubt or excluded.in_doubt,
            doubts       = r.doubts + excluded.in_doubt::int,
            parents      = case when r.remote_id is not null then r.parents
                                when r.intent_on is null and excluded.parents <> '{}' then excluded.parents
                                else array(select distinct unnest(r.parents || excluded.parents) order by 1) end,
            attempts     = case when r.state in ('rejected', 'dead_letter')
                                  or r.dead_lettered_on is not null and r.state in ('pending', 'waiting', 'parked')
                                     and excluded.cause <> 'sweep' then 0
                                else r.attempts end,
            waiting_on   = case when r.state = 'waiting' then null else r.waiting_on end,
            gone         = excluded.gone,
            lessens      = excluded.lessens,
            loses_since  = case when r.owed_gen > r.done_gen and (r.gone, r.lessens) = (excluded.gone, excluded.lessens) then r.loses_since
                                else excluded.loses_since end,
            loses        = case when r.delete_verdict = 'rejected' and r.gone = excluded.gone and r.state <> 'held' then r.loses
                                else excluded.loses end,
            delete_verdict = case when (excluded.gone or excluded.lessens)
                                       and (sync.is_decided(r.gone, r.loses, excluded.gone, to_jsonb(excluded.loses))
                                            -- Whoever has it holds it in a moment.
                                            or r.delete_verdict = 'rejected' and r.gone = excluded.gone and r.state <> 'held')
                                  then r.delete_verdict end,
            state        = case when r.state in ('leased', 'retrying') or r.state = 'held' and (r.gone, r.lessens) = (excluded.gone, excluded.lessens)
                                     and not 'whole record' = any (excluded.loses) then r.state else 'pending' end,
            state_reason = case when 'whole record' = any (excluded.loses) and r.state not in ('leased', 'retrying') then null
                                when r.state = 'held' and r.delete_verdict = 'rejected' and (r.gone, r.lessens) = (excluded.gone, excluded.lessens)
                                     and not sync.is_decided(r.gone, r.loses, excluded.gone, to_jsonb(excluded.loses)) then 'guard'
                                when r.state in ('leased', 'retrying') or r.state = 'held' and (r.gone, r.lessens) = (excluded.gone, excluded.lessens) then r.state_reason end,
            due_on       = case when r.state in ('leased', 'retrying') or r.state = 'held' and (r.gone, r.lessens) = (excluded.gone, excluded.lessens)
                                     and not 'whole record' = any (excluded.loses) then r.due_on
                                else clock_timestamp() end
        returning r.entity_id
    $sql$, p_target || '_' || p_entity_type)
    using p_target, p_entity_type, p_ids, p_changed_on, p_traceparents, p_cause, p_lane, p_in_doubt;
end
$body$;
comment on function sync.owe is 'Owe a target some entities: raises owed_gen, inserts records where the projection has a row.';
