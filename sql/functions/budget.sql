-- One question of a process about its share of a target's budget: it has `p_has` slots (fewer than before if it gives some
-- back), has use for `p_wants`, and wants to send `p_tokens` requests at `p_rate` per second. Prolongs the lease of what
-- it has, gives what is fair and free, and says how many it should keep. No row: a later question of its was answered.
--
-- Fair: where all wishes fit, each gets its own, and who holds more than it has use for may keep that as long as nobody
-- wants it. Where they don't, each gets its wish up to an equal level (`level`); what is left over is given one by one to
-- who waits for longest, and goes on to the next after `p_turn`. With fewer slots than processes the level is 0, and
-- everything goes round.
--
-- Rate: each request has its own moment, one interval after the one before, whoever sends it; nothing is saved up.
drop function if exists sync.ask_budget(text, uuid, bigint, integer, interval, integer, integer, integer, double precision, interval, interval);
create function sync.ask_budget(
    p_target      text,
    p_owner       uuid,
    p_asked       bigint,
    p_limit       integer,
    p_lease       interval,
    p_has         integer,
    p_wants       integer,
    p_tokens      integer,
    p_rate        double precision,
    p_turn        interval,
    p_wish_lasts  interval
) returns table (kept boolean, slots integer, keep integer, wait_seconds double precision)
language plpgsql
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $body$
#variable_conflict use_variable
declare
    v_next    timestamptz;
    v_now     timestamptz;
    v_me      sync.budget_share;
    v_has     integer;
    v_wants   integer := least(p_wants, p_limit);
    v_wishes  integer[];
    v_others  integer;
    v_free    integer;
    v_level   integer;
    v_unmet   integer;
    v_ahead   integer;
    v_lacking boolean;
    v_target  integer;
    v_keep    integer;
    v_new     integer;
    v_wait    double precision := 0;
begin
    select b.next_on into strict v_next from sync.budget b where b.target = p_target for update;
    -- The lock may have been waited for: only now no other share changes any more.
    v_now := clock_timestamp();
    delete from sync.budget_share s
    where s.target = p_target and greatest(s.until, s.wanted_until) < v_now - interval '10 minutes';
    select s.* into v_me from sync.budget_share s where s.target = p_target and s.owner = p_owner;
    if v_me.asked >= p_asked then
        return;
    end if;
    -- A lease that has run out is lost whole: others may have been given its slots.
    v_has := case when p_has > 0 and v_me.until > v_now and v_me.slots >= p_has then p_has else 0 end;

    select coalesce(array_agg(o.wish), '{}'), coalesce(sum(o.wish), 0), p_limit - v_has - coalesce(sum(o.has), 0)
    into v_wishes, v_others, v_free
    from sync.budget_share s
    cross join lateral (
        select case when s.until > v_now then s.slots else 0 end as has,
               case when s.wanted_until > v_now then least(s.wanted, p_limit) else 0 end as wish
    ) o
    where s.target = p_target and s.owner <> p_owner;
    v_free := greatest(v_free, 0);

    if v_others + v_wants <= p_limit then
        v_target := v_wants;
        v_keep := p_limit - v_others;
    else
        select max(l.level) into v_level
        from generate_series(0, p_limit) as l (level)
        where (select sum(least(w.wish, l.level)) from unnest(v_wishes || v_wants) as w (wish)) <= p_limit;
        v_target := least(v_wants, v_level);
        -- What others still lack of their level; who of them waits for what is left over, and who has waited longer.
        select coalesce(sum(greatest(least(o.wish, v_level) - o.has, 0)), 0),
               count(*) filter (where o.wish > v_level and o.has <= v_level
                                  and (s.served_on, s.owner) < (coalesce(v_me.served_on, v_now), p_owner)),
               coalesce(bool_or(o.wish > v_level and o.has <= v_level), false)
        into v_unmet, v_ahead, v_lacking
        from sync.budget_share s
        cross join lateral (
            select case when s.until > v_now then s.slots else 0 end as has,
                   case when s.wanted_until > v_now then least(s.wanted, p_limit) else 0 end as wish
        ) o
        where s.target = p_target and s.owner <> p_owner;
        if v_wants > v_level then
            if v_has > v_level then
                -- It has one of those; its turn ends only when somebody waits for it.
                if v_unmet = 0 and (not v_lacking or v_now < v_me.turn_on + p_turn) then
                    v_target := v_level + 1;
                end if;
            elsif v_free - (v_level - v_has) - v_unmet > v_ahead then
                v_target := v_level + 1;
            end if;
        end if;
        v_keep := v_target;
    end if;
    v_new := v_has + least(greatest(v_target - v_has, 0), v_free);

    insert into sync.budget_share as s
        (target, owner, asked, slots, until, wanted, wanted_until, turn_on, served_on)
    values (p_target, p_owner, p_asked, v_new, v_now + p_lease, v_wants, v_now + p_wish_lasts, v_now, v_now)
    on conflict on constraint budget_share_pkey do update set
        asked        = excluded.asked,
        slots        = excluded.slots,
        until        = excluded.until,
        wanted       = excluded.wanted,
        wanted_until = excluded.wanted_until,
        turn_on      = case when v_new > v_has then v_now else s.turn_on end,
        served_on    = case when v_new >= v_wants or v_new > coalesce(v_level, 0) then v_now else s.served_on end;

    if p_tokens > 0 then
        v_next := greatest(v_next, v_now);
        v_wait := extract(epoch from v_next - v_now);
        update sync.budget b set next_on = v_next + p_tokens / p_rate * interval '1 second'
        where b.target = p_target;
    end if;
    return query select v_has = p_has, v_new, greatest(v_keep, 0), v_wait;
end
$body$;
