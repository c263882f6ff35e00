-- Takes in what was read: the newest snapshot of each remote record that says something new. Runs in the transaction that
-- also moves the walk's position, so a page is stored whole or not at all.
--
-- Left out, because there is nothing to decide: what holds what its record says that it holds or that we pushed (seen, or our own
-- write come back), also where an older snapshot of it still waits, which is then dropped; what was decided with exactly this
-- content before; and the removal of what nobody knows. What can't be read is rejected at once, so that a person sees it.
--
-- p_rows: [{entity_type, remote_id, entity_id, wanted_by, shape, body, extra, parents, hash (hex), reason, successor, modified_on}].
-- wanted_by: the entity whose create found it. What was decided without that is decided again, but for what was rejected for it.
-- p_nothing: the hash of a record of which the target has nothing any more (hex), or null.
-- Returns what is to be decided.
create or replace function sync.take_in(
    p_target       text,
    p_requested_on timestamptz,
    p_nothing      bytea,
    p_rows         jsonb
) returns table (inbox_id bigint, entity_type text)
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
#variable_conflict use_column
begin
    return query
    with given as (
        select distinct on (x.entity_type, x.remote_id) x.*, decode(x.hash, 'hex') as digest
        from jsonb_array_elements(p_rows) with ordinality as e (element, nr)
        cross join lateral jsonb_to_record(e.element) as x (
            entity_type text, remote_id text, entity_id bigint, wanted_by bigint, shape text, body jsonb, extra jsonb, parents jsonb,
            hash text, reason text, successor text, modified_on timestamptz)
        order by x.entity_type, x.remote_id, e.nr desc
    ), known as (
        select g.*,
               r.entity_id is not null as mapped,
               case when g.shape = 'unreadable' then false
                    when g.shape = 'stands' then g.digest in (r.remote_hash, r.data_hash)
                    else r.remote_hash is not distinct from p_nothing and r.entity_id is not null and p_nothing is not null end as is_seen,
               i.inbox_id is not null as waits
        from given g
        left join sync.record r on r.target = p_target and r.entity_type = g.entity_type and r.remote_id = g.remote_id
        left join sync.inbox i on i.target = p_target and i.entity_type = g.entity_type and i.remote_id = g.remote_id
    ), settled as (
        delete from sync.inbox i using known k
        where i.target = p_target and i.entity_type = k.entity_type and i.remote_id = k.remote_id
          and k.is_seen and i.requested_on <= p_requested_on
          -- What waits for a person with exactly this content goes on waiting.
          and not (i.state in ('held', 'rejected') and i.hash is not distinct from k.digest)
    ), come_back as (
        -- It holds what we pushed, though it answered something else: from now on it says so. Who is leased or locked is being
        -- worked on, and says so later.
        select r.entity_type, r.entity_id, k.digest
        from known k
        join sync.record r on r.target = p_target and r.entity_type = k.entity_type and r.remote_id = k.remote_id
        where k.is_seen and k.shape = 'stands' and k.digest = r.data_hash and k.digest is distinct from r.remote_hash
          and r.lease_owner is null
        order by r.entity_type, r.entity_id
        for update of r skip locked
    ), said as (
        update sync.record r set remote_hash = c.digest
        from come_back c
        where r.target = p_target and r.entity_type = c.entity_type and r.entity_id = c.entity_id and r.data_hash = c.digest
    ), taken as (
    insert into sync.inbox as i
        (target, entity_type, remote_id, entity_id, wanted_by, shape, body, extra, parents, hash, reason, successor, modified_on,
         requested_on, state, state_reason, last_error)
    select p_target, k.entity_type, k.remote_id, k.entity_id, k.wanted_by, k.shape, k.body, k.extra, coalesce(k.parents, '[]'), k.digest, k.reason,
           k.successor, k.modified_on, p_requested_on,
           case when k.shape = 'unreadable' then 'rejected' else 'pending' end,
           case when k.shape = 'unreadable' then k.shape end, case when k.shape = 'unreadable' then k.reason end
    from known k
    where k.is_seen is not true and (k.shape in ('stands', 'unreadable') or k.mapped or k.waits)
    order by k.entity_type, k.remote_id
    on conflict (target, entity_type, remote_id) do update set
        entity_id = excluded.entity_id, shape = excluded.shape, body = excluded.body, extra = excluded.extra,
        parents = excluded.parents, hash = excluded.hash, reason = excluded.reason, successor = excluded.successor,
        modified_on = excluded.modified_on, requested_on = excluded.requested_on, seen_gen = i.seen_gen + 1,
        -- A walk does not know who wants it; what it holds otherwise by now was not found by whoever wanted it.
        wanted_by = case when i.state in ('pending', 'waiting') and i.hash is not distinct from excluded.hash
                         then coalesce(excluded.wanted_by, i.wanted_by) else excluded.wanted_by end,
        -- Something new after a decision; else it has waited since it was first seen.
        created_on = case when i.state in ('done', 'held', 'rejected') then clock_timestamp() else i.created_on end,
        -- What says the same as before goes on waiting for what it waits for.
        (state, state_reason, last_error, attempts, due_on, waits_for) = (
            select case when s.same then i.state else excluded.state end, case when s.same then i.state_reason else excluded.state_reason end,
                   case when s.same then i.last_error else excluded.last_error end, case when s.same then i.attempts else 0 end,
                   case when s.same then i.due_on else clock_timestamp() end, case when s.same then i.waits_for end
            from (select i.state in ('pending', 'waiting')
                         and (i.shape, i.parents) = (excluded.shape, excluded.parents)
                         and (i.hash, i.extra, i.successor, i.entity_id)
                             is not distinct from (excluded.hash, excluded.extra, excluded.successor, excluded.entity_id)
                         and (excluded.wanted_by is null or excluded.wanted_by is not distinct from i.wanted_by) as same) s)
    where i.requested_on <= excluded.requested_on
      -- What was decided with this content, or waits for a person with it, is not decided again.
      and not (i.state in ('done', 'held', 'rejected') and i.shape = excluded.shape and i.hash is not distinct from excluded.hash
               and (excluded.wanted_by is null or i.state = 'rejected' and i.wanted_by is not distinct from excluded.wanted_by))
    returning i.inbox_id, i.entity_type, i.state
    )
    select t.inbox_id, t.entity_type from taken t where t.state = 'pending';
end
$body$;
comment on function sync.take_in is 'Takes in what was read from a remote, as far as it says something new.';


-- ---------------------------------------------------------------------------------------------------------------------
-- The EMS's own functions, called by the names that its owner gives them: sync.<target>_<verb>_<type>. What they raise is told
-- by SQLSTATE and the names of constraint and column, never by a message: a message may quote a value.
-- ---------------------------------------------------------------------------------------------------------------------

-- Locks the EMS rows that an apply writes. Whether the EMS has the entity.
create or replace function sync.inbound_lock(p_target text, p_entity_type text, p_id bigint) returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
declare
    v_is_there boolean;
begin
    execute format('select sync.%I($1)', p_target || '_lock_' || p_entity_type) into v_is_there using p_id;
    return coalesce(v_is_there, false);
end
$body$;
comment on function sync.inbound_lock is 'Locks the EMS rows that taking in a change of this entity writes, and tells whether there are any.';

-- Whose a remote record may be that nobody knows: at most p_limit candidates.
create or replace function sync.inbound_match(p_target text, p_entity_type text, p_fields jsonb, p_limit bigint)
returns table (entity_type text, entity_id bigint)
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
begin
    return query execute format(
        'select distinct m.entity_type, m.entity_id from sync.%I($1) m order by m.entity_type, m.entity_id limit $2',
        p_target || '_match_' || p_entity_type) using p_fields, p_limit;
end
$body$;
comment on function sync.inbound_match is 'Whose a remote record may be that nobody knows.';

-- Has the EMS take the fields (p_removed null), or that people took the record out there. `taken`: the entity, or null where the
-- EMS makes nothing of it. `refused`: why it does not take it, in which case nothing was written. What only a second try or an
-- operator can help is raised, under its SQLSTATE.
create or replace function sync.inbound_apply(
    p_target text, p_entity_type text, p_id bigint, p_fields jsonb, p_removed text,
    out taken bigint, out refused text
)
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
declare
    v_constraint text;
    v_column     text;
    v_table      text;
begin
    if p_removed is null then
        execute format('select sync.%I($1, $2)', p_target || '_apply_' || p_entity_type) into taken using p_id, p_fields;
    else
        execute format('select case when sync.%I($1, $2) then $1 end', p_target || '_remove_' || p_entity_type)
            into taken using p_id, p_removed;
    end if;
exception
    when data_exception or integrity_constraint_violation or raise_exception then
        get stacked diagnostics v_constraint = constraint_name, v_column = column_name, v_table = table_name;
        taken := null;
        refused := concat_ws(', ', 'SQLSTATE ' || sqlstate, 'constraint ' || nullif(v_constraint, ''),
                             'column ' || nullif(v_column, ''), 'table ' || nullif(v_table, ''));
end
$body$;
comment on function sync.inbound_apply is 'Has the EMS take what people changed at a remote.';

-- Keeps a conflict (p_conflict: see took_in). Open ones of the same record or entity are superseded. What lost in those and is not
-- named by this one loses still, unless the EMS has that value by now: it is carried over, so that no loss is hidden.
create or replace function sync.keep_conflict(
    p_target text, p_entity_type text, p_entity_id bigint, p_remote_id text, p_conflict jsonb
) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
declare
    v_named  jsonb := coalesce(nullif(p_conflict -> 'fields', 'null'), '[]');
    v_ems    jsonb := nullif(p_conflict -> 'ems', 'null');
    v_older  jsonb;
begin
    with superseded as (
        update sync.conflict c set closed_on = clock_timestamp(), closed_by = 'ems-sync', outcome = 'superseded'
        where c.target = p_target and c.entity_type = p_entity_type and c.closed_on is null
          and (c.remote_id = p_remote_id or c.entity_id = p_entity_id)
        returning c.conflict_id, c.entity_id, c.fields
    ), older as (
        select distinct on (e.field ->> 'field') e.field ->> 'field' as name, e.field
        from superseded s cross join lateral jsonb_array_elements(s.fields) as e (field)
        where s.entity_id = p_entity_id
          and not exists (select from jsonb_array_elements(v_named) as n (field) where n.field ->> 'field' = e.field ->> 'field')
          and (v_ems is null
               or coalesce(v_ems -> (e.field ->> 'field'), 'null') is distinct from coalesce(e.field -> 'remote_value', 'null'))
        order by e.field ->> 'field', s.conflict_id desc
    )
    select jsonb_agg(case when v_ems is null then o.field
                          else o.field || jsonb_build_object('ems_value', coalesce(v_ems -> o.name, 'null')) end order by o.name)
    into v_older
    from older o;

    insert into sync.conflict
        (target, entity_type, entity_id, remote_id, reason, fields, candidates, candidate_type, remote_hash,
         ems_modified_on, remote_modified_on)
    select p_target, p_entity_type, p_entity_id, p_remote_id, p_conflict ->> 'reason', v_named || coalesce(v_older, '[]'),
           array(select jsonb_array_elements_text(coalesce(nullif(p_conflict -> 'candidates', 'null'), '[]'))::bigint),
           p_conflict ->> 'candidate_type', decode(p_conflict ->> 'remote_hash', 'hex'),
           (p_conflict ->> 'ems_modified_on')::timestamptz, (p_conflict ->> 'remote_modified_on')::timestamptz;
end
$body$;
comment on function sync.keep_conflict is 'Keeps what lost, with what lost before and still differs.';

-- Rows that could not be decided are looked at again after a while that grows with their age, between p_least and p_most. p_error:
-- why, without anything personal. p_is_attempt: it is the row's own fault; after p_attempts of these it is left to a person, as a
-- conflict `refused` with all that the remote held.
create or replace function sync.put_off(
    p_target text, p_rows bigint[], p_error text, p_is_attempt boolean, p_attempts integer, p_least interval, p_most interval
) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
declare
    v_row sync.inbox;
begin
    for v_row in
        with rows as (
            select i.inbox_id from sync.inbox i
            where i.target = p_target and i.inbox_id = any (p_rows) and i.state in ('pending', 'waiting')
            order by i.inbox_id
            for update of i
        )
        update sync.inbox i set
            attempts     = i.attempts + p_is_attempt::int,
            state        = case when p_is_attempt and i.attempts + 1 >= p_attempts then 'rejected' else i.state end,
            state_reason = 'failed',
            last_error   = p_error,
            decided_on   = case when p_is_attempt and i.attempts + 1 >= p_attempts then clock_timestamp() end,
            due_on       = clock_timestamp() + least(p_most, greatest(p_least, clock_timestamp() - i.created_on))
        from rows r
        where i.inbox_id = r.inbox_id
        returning i.*
    loop
        if v_row.state = 'rejected' then
            perform sync.keep_conflict(
                p_target, v_row.entity_type,
                (select r.entity_id from sync.record r
                 where r.target = p_target and r.entity_type = v_row.entity_type and r.remote_id = v_row.remote_id
                 order by r.tombstoned_on nulls first, r.entity_id limit 1),
                v_row.remote_id,
                jsonb_build_object(
                    'reason', 'refused', 'remote_hash', encode(v_row.hash, 'hex'), 'remote_modified_on', v_row.modified_on,
                    'fields', coalesce((
                        select jsonb_agg(jsonb_build_object('field', f.key, 'ems_value', null, 'remote_value', f.value) order by f.key)
                        from jsonb_each(v_row.body) f where f.key <> 'ems' and f.value <> 'null'), '[]')));
        end if;
    end loop;
end
$body$;
comment on function sync.put_off is 'Looks at rows of the inbox again later, or leaves them to a person.';

-- The parents of a row of the inbox as far as they are known: [{entity_type, id, required}]. One is required if nothing can be made
-- without it, or while it is being decided whose it is.
create or replace function sync.inbox_parents(p_target text, p_parents jsonb) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $body$
    select coalesce(jsonb_agg(jsonb_build_object(
               'entity_type', p.entity_type, 'id', r.entity_id,
               'required', p.required or exists (
                   select from sync.inbox o
                   where o.target = p_target and o.entity_type = p.entity_type and o.remote_id = p.remote_id
                     and o.state in ('pending', 'waiting')))), '[]')
    from jsonb_to_recordset(p_parents) as p (entity_type text, remote_id text, required boolean)
    left join lateral (
        select r.entity_id from sync.record r
        where r.target = p_target and r.entity_type = p.entity_type and r.remote_id = p.remote_id
        order by r.tombstoned_on nulls first, r.entity_id limit 1) r on true;
$body$;
comment on function sync.inbox_parents is 'The parents of a row of the inbox, as far as they are known.';

-- ---------------------------------------------------------------------------------------------------------------------
-- Writes down what was decided about a row of the inbox, last of all in its transaction, which holds the row's lock, the EMS
-- rows' and the record's.
--
-- p_outcome (the struct `Outcome` in src/store/inbound.rs):
--   entity_id  whose it is; null where nobody's
--   row        what becomes of the row: {state, reason, error, due_ms, is_attempt, waits_for}. `deleted`: it is decided.
--              `done`: it is decided and nobody has it, so that exactly this is not decided again; its contents go.
--   record     what is known of the record now; null leaves it:
--              {remote_id, remote_hash, synced_on, ending, projection}
--              ending     `removed`: people took it out there; nothing is owed for that any more, since there is nothing that
--                         could be deleted or made. `gone`: it is not there; it is made anew with the next EMS change.
--              projection what the EMS shows of it now, where the remote is to hold exactly that or holds it:
--                         {data_hash, modified_on, parents, holds, consents, match_key}
--              taken_on   the version that the EMS has after it took something
--   agreed     digests of both sides ({ems, remote}); ems null leaves it
--   conflict   what lost: {reason, fields, candidates, candidate_type, remote_hash, ems_modified_on, remote_modified_on, ems}; ems: what
--              the EMS shows now, or null. One that is open for the same record is superseded (sync.keep_conflict).
--   reassert   the EMS is pushed again, whatever any hash says
--
-- Returns ('owed', type, id): to be told to the outbound side; ('inbox', type, number): rows that are due now.
create or replace function sync.took_in(p_target text, p_inbox_id bigint, p_outcome jsonb)
returns table (kind text, entity_type text, entity_id bigint)
language plpgsql
set search_path = pg_catalog, pg_temp
as $body$
#variable_conflict use_column
declare
    v_row        jsonb  := p_outcome -> 'row';
    v_record     jsonb  := nullif(p_outcome -> 'record', 'null');
    v_projection jsonb  := nullif(p_outcome #> '{record,projection}', 'null');
    v_conflict   jsonb  := nullif(p_outcome -> 'conflict', 'null');
    v_agreed     jsonb  := nullif(p_outcome -> 'agreed', 'null');
    v_id         bigint := (p_outcome ->> 'entity_id')::bigint;
    v_ending     text   := v_record ->> 'ending';
    v_type       text;
    v_remote_id  text;
    v_key        text;
    v_former     text;
    v_asked_on   timestamptz;
begin
    select i.entity_type, i.remote_id, i.requested_on into strict v_type, v_remote_id, v_asked_on
    from sync.inbox i where i.inbox_id = p_inbox_id;
    v_key := v_type || ':' || v_id;

    if v_record is not null then
        select r.remote_id into v_former
        from sync.record r where r.target = p_target and r.entity_type = v_type and r.entity_id = v_id;

        insert into sync.record as r
            (target, entity_type, entity_id, remote_id, remote_hash, remote_synced_on, data_hash, entity_modified_on,
             seen_modified_on, taken_modified_on, parents, holds, consents, match_key, wanted_key, sent_on, state, due_on)
        select p_target, v_type, v_id, v_record ->> 'remote_id', decode(v_record ->> 'remote_hash', 'hex'),
               (v_record ->> 'synced_on')::timestamptz, decode(v_projection ->> 'data_hash', 'hex'),
               (v_projection ->> 'modified_on')::timestamptz, (v_projection ->> 'modified_on')::timestamptz,
               (v_record ->> 'taken_on')::timestamptz,
               array(select jsonb_array_elements_text(coalesce(v_projection -> 'parents', '[]'))),
               array(select jsonb_array_elements_text(coalesce(v_projection -> 'holds', '[]'))),
               array(select jsonb_array_elements_text(coalesce(v_projection -> 'consents', '[]'))),
               decode(v_projection ->> 'match_key', 'hex'), decode(v_projection ->> 'match_key', 'hex'), v_asked_on, 'synced',
               'infinity'
        on conflict (target, entity_type, entity_id) do update set
            remote_id          = excluded.remote_id,
            former_remote_id   = case when r.remote_id is distinct from excluded.remote_id then coalesce(r.remote_id, r.former_remote_id)
                                      else r.former_remote_id end,
            gave_up_key        = case when excluded.remote_id is null then r.gave_up_key end,
            remote_hash        = excluded.remote_hash,
            remote_synced_on   = greatest(r.remote_synced_on, excluded.remote_synced_on),
            data_hash          = case when v_ending is not null then null
                                      when v_projection is not null then excluded.data_hash else r.data_hash end,
            entity_modified_on = case when v_projection is not null then excluded.entity_modified_on else r.entity_modified_on end,
            seen_modified_on   = case when v_projection is not null then excluded.seen_modified_on else r.seen_modified_on end,
            gone               = r.gone and v_projection is null,
            taken_modified_on  = coalesce(excluded.taken_modified_on, r.taken_modified_on),
            parents            = case when v_projection is not null then excluded.parents else r.parents end,
            holds              = case when v_ending is not null then '{}'
                                      when v_projection is not null then excluded.holds else r.holds end,
            consents           = case when v_ending is not null then '{}'
                                      when v_projection is not null then excluded.consents else r.consents end,
            match_key          = case when v_ending is not null then null
                                      when v_projection is not null then excluded.match_key else r.match_key end,
            wanted_key         = case when v_projection is not null then excluded.wanted_key else r.wanted_key end,
            -- An id is known now, or there is none: no create is under way that we would have to look for.
            intent_on          = null,
            in_doubt           = r.in_doubt and v_ending is null,
            -- A snapshot that was asked for before this one says less.
            sent_on            = greatest(r.sent_on, excluded.sent_on),
            sent_hashes        = case when v_ending is not null then '{}' else r.sent_hashes end,
            -- What was deleted there by people is no delete of ours any more.
            done_gen           = case when v_ending = 'removed' then r.owed_gen else r.done_gen end,
            owed_on            = case when v_ending = 'removed' then null else r.owed_on end,
            attempts           = case when v_ending = 'removed' then 0 else r.attempts end,
            dead_lettered_on   = case when v_ending = 'removed' then null else r.dead_lettered_on end,
            delete_verdict     = case when v_ending = 'removed' then null else r.delete_verdict end,
            lessens            = r.lessens and v_ending is null,
            read_back_on       = case when v_ending is not null then null else r.read_back_on end,
            -- Whose lease has run out learns by its fence that it is not its record any more.
            lease_owner        = case when v_ending is not null then null else r.lease_owner end,
            lease_until        = case when v_ending is not null then null else r.lease_until end,
            fence              = case when v_ending is not null then nextval('sync.fence') else r.fence end,
            waiting_on         = case when v_ending = 'removed' then null else r.waiting_on end,
            state              = case when v_ending = 'removed' or v_ending = 'gone' and r.owed_gen = r.done_gen then 'skipped'
                                      when v_ending = 'gone' and r.state = 'leased' then 'pending'
                                      when r.owed_gen = r.done_gen and v_ending is null then 'synced'
                                      else r.state end,
            state_reason       = case when v_ending = 'removed' or v_ending = 'gone' and r.owed_gen = r.done_gen then v_ending || '_there'
                                      when v_ending = 'gone' and r.state = 'leased' then null
                                      when r.owed_gen = r.done_gen and v_ending is null then null
                                      else r.state_reason end,
            due_on             = case when v_ending = 'removed' then 'infinity'::timestamptz
                                      when v_ending = 'gone' and r.state = 'leased' then clock_timestamp()
                                      else r.due_on end;

        if v_ending = 'removed' then
            update sync.dead_letter d set closed_on = clock_timestamp(), closed_by = 'ems-sync', outcome = 'resolved'
            where d.target = p_target and d.entity_type = v_type and d.entity_id = v_id and d.closed_on is null;
        end if;
    end if;

    if v_agreed is not null then
        insert into sync.agreed as a (target, entity_type, entity_id, ems, remote)
        values (p_target, v_type, v_id, coalesce(nullif(v_agreed -> 'ems', 'null'), '{}'), v_agreed -> 'remote')
        on conflict (target, entity_type, entity_id) do update set
            ems = coalesce(nullif(v_agreed -> 'ems', 'null'), a.ems), remote = excluded.remote;
    end if;

    if v_conflict is not null then
        perform sync.keep_conflict(p_target, v_type, v_id, v_remote_id, v_conflict);
    end if;

    if v_row ->> 'state' = 'deleted' then
        delete from sync.inbox i where i.inbox_id = p_inbox_id;
    else
        update sync.inbox i set
            state        = v_row ->> 'state',
            state_reason = v_row ->> 'reason',
            last_error   = v_row ->> 'error',
            waits_for    = v_row ->> 'waits_for',
            attempts     = i.attempts + (v_row ->> 'is_attempt')::boolean::int,
            due_on       = clock_timestamp() + (v_row ->> 'due_ms')::bigint * interval '1 ms',
            decided_on   = case when v_row ->> 'state' in ('done', 'held', 'rejected') then clock_timestamp() end,
            body         = case when v_row ->> 'state' <> 'done' then i.body end,
            extra        = case when v_row ->> 'state' <> 'done' then i.extra end,
            parents      = case when v_row ->> 'state' <> 'done' then i.parents else '[]' end
        where i.inbox_id = p_inbox_id;
        -- It may have come in the meantime, when this row was locked and could not be told.
        if v_row ->> 'reason' = 'waiting_for_parent' then
            return query
                update sync.inbox i set state = 'pending', state_reason = null, due_on = clock_timestamp()
                where i.inbox_id = p_inbox_id
                  and not exists (
                      select from jsonb_to_recordset(sync.inbox_parents(p_target, i.parents)) as p (id bigint, required boolean)
                      where p.id is null and p.required)
                returning 'inbox', i.entity_type, i.inbox_id;
        end if;
    end if;

    -- Whose it is, or that it is nobody's, is known now: what belongs to it waits no longer (sql/queries/inbox_lock.sql). A row that
    -- is locked is being decided.
    if v_row ->> 'state' not in ('pending', 'waiting') then
        return query
            with waiters as (
                select i.inbox_id
                from sync.inbox i
                where i.target = p_target and i.state = 'waiting' and i.state_reason = 'waiting_for_parent' and i.inbox_id <> p_inbox_id
                  and i.parents @> jsonb_build_array(jsonb_build_object('entity_type', v_type, 'remote_id', v_remote_id))
                order by i.inbox_id
                for update of i skip locked
            )
            update sync.inbox i set state = 'pending', state_reason = null, due_on = clock_timestamp()
            from waiters w
            where i.inbox_id = w.inbox_id
            returning 'inbox', i.entity_type, i.inbox_id;
    end if;

    if v_id is null then
        return;
    end if;

    if (p_outcome ->> 'reassert')::boolean then
        return query
            select 'owed', v_type, o.id
            from sync.owe(p_target, v_type, array[v_id], array[clock_timestamp()], array[null::text], 'inbound', 'live', true) as o (id);
    end if;

    -- A push found people's change and waits for this decision. After a move it waits for that about the successor.
    return query
        update sync.record r set state = 'pending', state_reason = null, due_on = clock_timestamp()
        where v_row ->> 'state' not in ('pending', 'waiting') and v_row ->> 'reason' is distinct from 'moved'
          and r.target = p_target and r.entity_type = v_type and r.entity_id = v_id
          and r.state = 'retrying' and r.state_reason = 'changed_there' and r.lease_owner is null
        returning 'owed', r.entity_type, r.entity_id;

    if v_record is not null and v_former is distinct from (v_record ->> 'remote_id') then
        -- Its remote id has come: what waits for that may be pushed.
        if v_record ->> 'remote_id' is not null then
            return query
                with waiters as (
                    select r.entity_type, r.entity_id
                    from sync.record r
                    -- Locked with its own record before (sql/queries/inbox_record.sql).
                    where r.target = p_target and r.waiting_on = v_key and r.state_reason = 'waiting_for_parent'
                    order by r.entity_type, r.entity_id
                    for update of r
                )
                update sync.record r set state = 'pending', state_reason = null, waiting_on = null, due_on = clock_timestamp()
                from waiters w
                where r.target = p_target and r.entity_type = w.entity_type and r.entity_id = w.entity_id
                returning 'owed', r.entity_type, r.entity_id;
        end if;

        -- Rows of the inbox that wait for it, or for its other record to go. One that is locked is being decided.
        return query
            with waiters as (
                select i.inbox_id
                from sync.inbox i
                where i.target = p_target and i.state in ('pending', 'waiting') and i.inbox_id <> p_inbox_id
                  and (i.waits_for = v_key
                       or i.state = 'waiting' and v_record ->> 'remote_id' is not null
                          and i.parents @> jsonb_build_array(jsonb_build_object(
                              'entity_type', v_type, 'remote_id', v_record ->> 'remote_id')))
                order by i.inbox_id
                for update of i skip locked
            )
            update sync.inbox i set state = 'pending', state_reason = null, waits_for = null, due_on = clock_timestamp()
            from waiters w
            where i.inbox_id = w.inbox_id
            returning 'inbox', i.entity_type, i.inbox_id;
    end if;
end
$body$;
comment on function sync.took_in is 'Writes down what was decided about a row of the inbox.';
