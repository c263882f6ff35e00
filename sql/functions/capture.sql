-- Capture: what changes in a watched EMS table is written to sync.outbox, in the EMS's own transaction.
--
--   sync.watch(table, entity_type, key_column)   attach            sync.watched   what is attached, and whether it is sound
--   sync.unwatch(table)                          detach
--   sync.watch_reference_ems()                   attach to the eleven tables of schema ems
--
-- Applied again by every `ems-sync migrate`, after the migrations. Rules, measurements and limits: sql/README.md.


-- ---------------------------------------------------------------------------------------------------------------------
-- What is known of a table
-- ---------------------------------------------------------------------------------------------------------------------

-- Empty when there is none, or when the equality of a column isn't in pg_catalog, the only schema that the capture functions
-- see (citext, say). Such a table is watched without comparing old and new rows.
create or replace function sync.primary_key(watched oid) returns name[]
language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce((
        select array_agg(a.attname order by k.position)
          from pg_index i
         cross join unnest(i.indkey::int2[], i.indclass::oid[]) with ordinality k (attnum, opclass, position)
          join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
          left join pg_opclass c on c.oid = k.opclass
         where i.indrelid = watched and i.indisprimary and k.position <= i.indnkeyatts
        having bool_and(c.opcnamespace = 'pg_catalog'::regnamespace)
    ), '{}')
$$;

-- The table and everything below it. A statement fires the statement triggers of the one table that it names, so a
-- partition that is written to directly needs its own.
create or replace function sync.with_partitions(watched oid) returns setof oid
language sql stable set search_path = pg_catalog, pg_temp as $$
    with recursive family (member) as (
        select watched
        union
        select i.inhrelid from pg_inherits i join family f on i.inhparent = f.member
    )
    select c.oid from family f join pg_class c on c.oid = f.member where c.relkind in ('r', 'p')
$$;

create or replace function sync.short_name(long text) returns name
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select case when octet_length(long) < 64 then long else left(long, 12) || '_' || md5(long) end::name
$$;

create or replace function sync.capture_trigger_name(operation text, entity_type text, key_column name) returns name
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select sync.short_name(format('sync_%s_by_%s_%s', entity_type, key_column, operation))
$$;

-- Tables with the same key and primary key share their capture functions: nothing else is written into the body.
create or replace function sync.capture_function_name(operation text, key_column name, primary_key name[]) returns name
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select case
        when operation = 'truncate' then 'capture_truncate'
        when primary_key = array[key_column] then sync.short_name(format('capture_%s_%s', operation, key_column))
        when primary_key = '{}' then sync.short_name(format('capture_%s_%s_unkeyed', operation, key_column))
        else sync.short_name(
            format('capture_%s_%s_of_%s', operation, key_column, array_to_string(primary_key, '_and_')))
    end
$$;


-- ---------------------------------------------------------------------------------------------------------------------
-- The capture functions
-- ---------------------------------------------------------------------------------------------------------------------

-- The SQL that reads the transition tables, generated per (key column, primary key) so that its plan is cached: a generic
-- `execute` of the same text would be parsed and planned in every statement of the EMS.
--
-- Rows are compared by binary image (*<>), whole row: `is distinct from` fails on json and xml, and overlooks a change
-- that a collation or citext calls equal. A full join shows rows whose primary key changed as one that went and one that
-- came, and it can't be planned as a nested loop.
create or replace function sync.capture_statement(operation text, key_column name, primary_key name[]) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    is_root constant boolean := primary_key = array[key_column];
    same_row constant text := (
        select string_agg(format('o.%1$I = n.%1$I', part), ' and ' order by position)
          from unnest(primary_key) with ordinality p (part, position));
    changed text;
begin
    -- Which rows went is not known: id 0 tells the relay that the sweep has to look for what lost its projection.
    if operation = 'truncate' then
        return $sql$raise warning 'ems-sync: % was truncated: the next full sweep finds what this deletes elsewhere', source;
        insert into sync.outbox (entity_type, entity_id, source_table, op, traceparent)
        values (tg_argv[0], 0, source, 'truncate', trace);$sql$;
    end if;

    changed := case
        -- The row is the entity: it appears, disappears, or changes; under a new primary key it is another entity.
        when is_root and operation = 'insert' then
            $sql$
            select n.%1$I as id, 'insert' as op from new_rows n$sql$
        when is_root and operation = 'delete' then
            $sql$
            select o.%1$I as id, 'delete' as op from old_rows o$sql$
        when is_root then
            $sql$
            select coalesce(n.%1$I, o.%1$I) as id,
                   case when o.%1$I is null then 'insert' when n.%1$I is null then 'delete' else 'update' end as op
              from old_rows o full join new_rows n on %2$s
             where ((o.*) operator(pg_catalog.*<>) (n.*)) is not false$sql$

        -- The row is a part of the entity: whatever happens to it is an update of the entity; when it moves, of both.
        when operation = 'insert' then
            $sql$
            select distinct n.%1$I as id, 'update' as op from new_rows n where n.%1$I is not null$sql$
        when operation = 'delete' then
            $sql$
            select distinct o.%1$I as id, 'update' as op from old_rows o where o.%1$I is not null$sql$
        when primary_key = '{}' then
            $sql$
            select r.id, 'update' as op
              from (select o.%1$I as id from old_rows o union select n.%1$I from new_rows n) r
             where r.id is not null$sql$
        else
            $sql$
            select distinct v.id, 'update' as op
              from old_rows o full join new_rows n on %2$s
             cross join lateral (values (n.%1$I), (o.%1$I)) v (id)
             where ((o.*) operator(pg_catalog.*<>) (n.*)) is not false and v.id is not null$sql$
    end;
    return format('insert into sync.outbox (entity_type, entity_id, source_table, op, traceparent)
        select tg_argv[0], changed.id, source, changed.op, trace from (' || changed || ') changed;',
        key_column, same_row);
end
$$;

-- How a capture keeps out of the EMS's way
--
-- 1. It can't fail the EMS's transaction for a reason of ours: outbox gone, altered, locked away, a right revoked, the key
--    column renamed. It warns with SQLSTATE and table name, no SQLERRM: that may quote row values. The sweep finds the
--    change. Raised again is what is not ours: 40xxx (swallowing a serialization failure or deadlock would be wrong),
--    53xxx (memory, disk), 57xxx (operator). `others` catches neither query_canceled (the EMS's statement_timeout) nor
--    assert_failure.
--
-- 2. Not every statement is guarded like that. An exception block is a subtransaction with an xid of its own, and beyond
--    64 of them in one transaction all other sessions get slow (one transaction with 200: sixteen others made 40 million
--    look-ups in ten seconds and lost 5-28 %); a cascading delete runs thousands of statements. So the block stands
--    around the first capture of each trigger in a transaction. Once that has succeeded the outbox is locked against DDL
--    until the transaction ends, and so is the watched table, except against this transaction itself: what it may
--    rename is looked up. Hence the later captures leave nothing to be caught.
--    The memory is a transaction-local setting. A rollback to a savepoint undoes it together with the locks; an EMS that
--    sets it by hand only takes the protection from itself.
--
-- 3. The first capture waits at most two seconds for a lock on the outbox. The limit doesn't hold for later ones, which
--    hold that lock already: it would apply to file extension on a slow disk too, with nobody to catch it.
--
-- 4. A cached plan keeps the row counts that it was made for. Made for a bulk update it would be compiled by JIT in every
--    one-row update after it (17-25 ms each, measured), or allocate a large hash table. Hence the settings of the
--    generated functions: no JIT, merge join and sort, whose cost follows the rows that are there.
--
-- 5. Wake-up. Notifying serialises all commits of the cluster, so it is done only when somebody sleeps:
--
--      relay:    LISTEN ems_sync_outbox, committed, once
--                drain until empty
--                pg_try_advisory_lock(4541779, 1)        'EMS', 1; never the waiting form: writers would see the waiter
--                drain once more, from the start, with a snapshot taken after the lock
--                wait for the notification, at most a second
--                pg_advisory_unlock(4541779, 1), drain again
--      capture:  insert; try to share the lock for the transaction; when that fails, NOTIFY with an empty payload
--
--    No change waits for the fallback: let W be a writer whose try follows its insert.
--      Try succeeded: W holds the share until its transaction ends. Postgres makes a commit visible before it releases
--        the locks, and the relay gets the lock only after that; so the relay's drain under the lock sees W's rows.
--      Try failed: the relay holds the lock, after its LISTEN was committed. W's notification reaches it at W's commit,
--        whether it still drains or already waits: the wait returns at once for what arrived before it.
--    For this the try is made in every statement, without remembering an earlier one: a rollback to a savepoint takes back
--    both the share and the notification of that savepoint. Trying again is cheap and uses no more memory: a lock
--    that is held already is only counted, and equal notifications of a transaction are folded.
--    Nobody takes the lock when `capture.wake = "poll"`: every try succeeds and nothing is ever notified. That is the whole
--    setting. It is also the one for two-phase commit, as a transaction that has notified can't be PREPAREd. The share
--    can: it then lives until COMMIT PREPARED, during which the relay can't sleep. So as not to break an EMS that
--    forgot, nothing is notified where max_prepared_transactions > 0 either, nor while the notification queue is
--    half full (somebody's stuck listener: a full queue fails every commit). The relay's fallback then finds the rows.
create or replace function sync.capture_function(operation text, key_column name, primary_key name[]) returns regprocedure
language plpgsql set search_path = pg_catalog, pg_temp as $function$
declare
    function_name constant name := sync.capture_function_name(operation, key_column, primary_key);
    capture constant text := sync.capture_statement(operation, key_column, primary_key) || $wake$
        get diagnostics captured = row_count;
        if captured > 0 and not pg_try_advisory_xact_lock_shared(4541779, 1)
           and current_setting('max_prepared_transactions') = '0' and pg_notification_queue_usage() < 0.5
        then
            notify ems_sync_outbox;
        end if;$wake$;
    columns constant name[] := case when operation = 'truncate' then '{}'::name[]
        else array(select distinct unnest(primary_key || key_column) order by 1) end;
    body constant text := replace(replace(replace($body$
#variable_conflict use_variable
declare
    me constant text := format('[%s.%s]', tg_relid, tg_name);
    proven text := current_setting('ems_sync.proven', true);
    source constant text := tg_table_schema || '.' || tg_table_name;
    trace text := current_setting('ems.traceparent', true);
    patience text;
    shorter text;
    captured bigint;
begin
    if trace !~ '^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$' then
        trace := null;
    end if;

    if position(me in proven) > 0
       and (select count(*) from pg_attribute a where a.attrelid = tg_relid and a.attname = any (<columns>)) = <column_count>
    then
        <capture>
        return null;
    end if;

    begin
        patience := current_setting('lock_timeout');
        shorter := set_config('lock_timeout', '2s', true);
        <capture>
        patience := set_config('lock_timeout', patience, true);
        proven := set_config('ems_sync.proven', concat(proven, me), true);
    exception when others then
        if left(sqlstate, 2) in ('40', '53', '57') then
            raise;
        end if;
        raise warning 'ems-sync: a change of % was not captured (SQLSTATE %)', source, sqlstate
            using hint = 'The EMS is not affected; the sweep will find the change. See: select * from sync.watched.';
    end;
    return null;
end
$body$,
        '<columns>', format('%L::name[]', columns)), '<column_count>', cardinality(columns)::text), '<capture>', capture);
    settings constant text[] := '{"search_path=pg_catalog, pg_temp",jit=off,enable_hashjoin=off,enable_hashagg=off}';
    capturing regprocedure := to_regprocedure(format('sync.%I()', function_name));
begin
    if not exists (select from pg_proc p where p.oid = capturing and p.prosrc = body and p.proconfig = settings) then
        execute format('create or replace function sync.%I() returns trigger language plpgsql security definer '
                       'set search_path = pg_catalog, pg_temp '
                       'set jit = off set enable_hashjoin = off set enable_hashagg = off as %L', function_name, body);
        execute format('revoke all on function sync.%I() from public', function_name);
        execute format('comment on function sync.%I() is %L', function_name, 'Generated by sync.capture_function.');
        capturing := to_regprocedure(format('sync.%I()', function_name));
    end if;
    return capturing;
end
$function$;


-- ---------------------------------------------------------------------------------------------------------------------
-- Attaching and detaching
-- ---------------------------------------------------------------------------------------------------------------------

-- A table may be watched for several (entity type, key column) pairs; each has its four triggers, and again is harmless:
-- what is in place takes no lock. It waits at most 5 s for a lock that the EMS would queue behind.
create or replace function sync.watch(table_name regclass, entity_type text, key_column name default 'id') returns void
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '5s' as $$
declare
    entity_types constant text[] := array['organisation', 'person', 'event', 'race', 'start_group', 'event_participant',
                                          'start_group_participant', 'tag', 'conversation'];
    kind "char";
    persistence "char";
    namespace regnamespace;
    member regclass;
    operation text;
    trigger_name name;
    capturing regprocedure;
begin
    select c.relkind, c.relpersistence, c.relnamespace into kind, persistence, namespace
      from pg_class c where c.oid = watch.table_name;
    if kind in ('v', 'm') then
        raise exception 'sync.watch: % is a view, and a view has no changes of its own', watch.table_name
            using errcode = 'wrong_object_type',
                  hint = 'Watch every base table that the view reads, each with the column that holds the entity''s id.';
    end if;
    if kind is null or kind not in ('r', 'p') then
        raise exception 'sync.watch: % is not a base table', watch.table_name
            using errcode = 'wrong_object_type', hint = 'Watch an ordinary or partitioned table of this database.';
    end if;
    if persistence = 't' or namespace in ('sync'::regnamespace, 'pg_catalog'::regnamespace) then
        raise exception 'sync.watch: % is a temporary, system or sync table', watch.table_name
            using errcode = 'wrong_object_type', hint = 'Watch a table of the EMS.';
    end if;
    if watch.entity_type is null or watch.entity_type <> all (entity_types) then
        raise exception 'sync.watch: % is not an entity type', quote_nullable(watch.entity_type)
            using errcode = 'invalid_parameter_value',
                  hint = 'Entity types: ' || array_to_string(entity_types, ', ') || '.';
    end if;
    if not exists (
        select from pg_attribute a join pg_type t on t.oid = a.atttypid
         where a.attrelid = watch.table_name and a.attname = watch.key_column and a.attnum > 0 and not a.attisdropped
           and coalesce(nullif(t.typbasetype, 0), t.oid) = any ('{int2,int4,int8}'::regtype[])
    ) then
        raise exception 'sync.watch: % has no integer column %', watch.table_name, quote_nullable(watch.key_column)
            using errcode = 'undefined_column',
                  hint = 'key_column names the smallint, integer or bigint column that holds the entity''s id.';
    end if;

    for member in select sync.with_partitions(watch.table_name) loop
        foreach operation in array array['insert', 'update', 'delete', 'truncate'] loop
            trigger_name := sync.capture_trigger_name(operation, watch.entity_type, watch.key_column);
            capturing := sync.capture_function(operation, watch.key_column, sync.primary_key(member));
            continue when exists (
                select from pg_trigger t
                 where t.tgrelid = member and t.tgname = trigger_name and t.tgfoid = capturing and t.tgenabled = 'A');
            execute format(
                'create or replace trigger %I after %s on %s %s for each statement execute function %s(%L, %L)',
                trigger_name, operation, member,
                case operation when 'insert' then 'referencing new table as new_rows'
                               when 'update' then 'referencing old table as old_rows new table as new_rows'
                               when 'delete' then 'referencing old table as old_rows'
                               else '' end,
                capturing::oid::regproc, watch.entity_type, watch.key_column);
            execute format('alter table %s enable always trigger %I', member, trigger_name);
        end loop;
    end loop;
end
$$;

-- Removes every pair from the table and its partitions.
create or replace function sync.unwatch(table_name regclass) returns void
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '5s' as $$
declare
    attached record;
begin
    for attached in
        select t.tgrelid::regclass as member, t.tgname
          from sync.with_partitions(unwatch.table_name) m (member)
          join pg_trigger t on t.tgrelid = m.member and not t.tgisinternal
          join pg_proc p on p.oid = t.tgfoid
         where p.pronamespace = 'sync'::regnamespace and starts_with(p.proname, 'capture_')
    loop
        execute format('drop trigger %I on %s', attached.tgname, attached.member);
    end loop;
end
$$;

create or replace function sync.watch_reference_ems() returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform sync.watch('ems.organisation', 'organisation');
    perform sync.watch('ems.person', 'person');
    perform sync.watch('ems.event', 'event');
    perform sync.watch('ems.race', 'race');
    perform sync.watch('ems.start_group', 'start_group');
    perform sync.watch('ems.event_participant', 'event_participant');
    perform sync.watch('ems.start_group_participant', 'start_group_participant');
    perform sync.watch('ems.tag', 'tag');
    perform sync.watch('ems.conversation', 'conversation');
    perform sync.watch('ems.contact_preference', 'person', 'person_id');
    perform sync.watch('ems.list_membership', 'person', 'person_id');
end
$$;


-- ---------------------------------------------------------------------------------------------------------------------
-- Health
-- ---------------------------------------------------------------------------------------------------------------------

-- One row per watched table and pair. `problem` is null when every change is captured; else it says what is wrong first.
create or replace view sync.watched as
with attached as (
    select t.tgrelid,
           convert_from(substring(t.tgargs from 1 for position('\x00'::bytea in t.tgargs) - 1),
                        getdatabaseencoding()) as entity_type,
           convert_from(substring(t.tgargs from position('\x00'::bytea in t.tgargs) + 1
                                           for length(t.tgargs) - position('\x00'::bytea in t.tgargs) - 1),
                        getdatabaseencoding()) as key_column,
           case when t.tgtype & 4 > 0 then 'insert' when t.tgtype & 8 > 0 then 'delete'
                when t.tgtype & 16 > 0 then 'update' else 'truncate' end as operation,
           case t.tgenabled when 'A' then 'always' when 'O' then 'origin' when 'R' then 'replica'
                            else 'disabled' end as enabled,
           p.proname
      from pg_catalog.pg_trigger t
      join pg_catalog.pg_proc p on p.oid = t.tgfoid
     where p.pronamespace = 'sync'::regnamespace and starts_with(p.proname, 'capture_') and not t.tgisinternal
), pair as (
    select a.tgrelid, a.entity_type, a.key_column,
           coalesce(max(a.enabled) filter (where a.operation = 'insert'), 'missing') as on_insert,
           coalesce(max(a.enabled) filter (where a.operation = 'update'), 'missing') as on_update,
           coalesce(max(a.enabled) filter (where a.operation = 'delete'), 'missing') as on_delete,
           coalesce(max(a.enabled) filter (where a.operation = 'truncate'), 'missing') as on_truncate,
           bool_and(a.proname = sync.capture_function_name(a.operation, a.key_column::name,
                                                           sync.primary_key(a.tgrelid))) as fits,
           array(select m.member::regclass::text
                   from sync.with_partitions(a.tgrelid) m (member)
                  where not exists (select from attached b
                                     where b.tgrelid = m.member and b.entity_type = a.entity_type
                                       and b.key_column = a.key_column)
                  order by 1) as unwatched_partitions
      from attached a
     group by a.tgrelid, a.entity_type, a.key_column
)
select p.tgrelid as table_oid,
       n.nspname || '.' || c.relname as table_name,
       p.entity_type,
       p.key_column,
       p.on_insert,
       p.on_update,
       p.on_delete,
       p.on_truncate,
       case
           when 'missing' in (p.on_insert, p.on_update, p.on_delete, p.on_truncate) then 'a trigger is missing'
           when 'disabled' in (p.on_insert, p.on_update, p.on_delete, p.on_truncate) then 'a trigger is disabled'
           when array[p.on_insert, p.on_update, p.on_delete, p.on_truncate] <> array_fill('always'::text, array[4])
               then 'a trigger is not ENABLE ALWAYS'
           when not exists (select from pg_catalog.pg_attribute a
                             where a.attrelid = p.tgrelid and a.attname = p.key_column and not a.attisdropped)
               then 'the key column is gone'
           when not p.fits then 'the primary key has changed: watch the table again'
           when p.unwatched_partitions <> '{}'
               then 'partitions are not watched: ' || array_to_string(p.unwatched_partitions, ', ')
       end as problem
  from pair p
  join pg_catalog.pg_class c on c.oid = p.tgrelid
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace;

comment on view sync.watched is
    'Every watched table and entity, and how its triggers are enabled: always, origin, replica, disabled or missing. '
    'problem is null when every change is captured.';


-- ---------------------------------------------------------------------------------------------------------------------
-- Rights, and what an older version of this file attached
-- ---------------------------------------------------------------------------------------------------------------------

revoke all on function sync.capture_function(text, name, name[]) from public;
revoke all on function sync.watch(regclass, text, name) from public;
revoke all on function sync.unwatch(regclass) from public;
revoke all on function sync.watch_reference_ems() from public;

-- Brings generated functions, triggers and new partitions up to date; nothing happens where all is as it should be.
do $$
declare
    pair record;
begin
    for pair in select table_oid::regclass as watched, entity_type, key_column from sync.watched loop
        begin
            perform sync.watch(pair.watched, pair.entity_type, pair.key_column::name);
        exception when insufficient_privilege or undefined_column or lock_not_available then
            raise warning 'ems-sync: % could not be watched again (SQLSTATE %)', pair.watched, sqlstate
                using hint = 'Run sync.watch as the owner of the table, or sync.unwatch it.';
        end;
    end loop;
end
$$;
