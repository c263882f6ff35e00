-- An organisation announces its event: four races, each with the start groups A to D. One statement, 22 rows.
with organisation as (
    insert into ems.organisation (name, email, country)
    values ('Umkhomazi Striders', 'races@striders.example', 'ZA')
    returning id
), day as (
    -- The Sunday in three weeks, at midnight in Africa/Johannesburg.
    select (date_trunc('week', now() at time zone 'Africa/Johannesburg') + interval '27 days') as local
), event as (
    insert into ems.event (organisation_id, name, start_date_time, end_date_time, timezone, venue, city, country)
    select id, 'Umkhomazi River Marathon', (local + time '05:30') at time zone 'Africa/Johannesburg',
           (local + time '13:00') at time zone 'Africa/Johannesburg', 'Africa/Johannesburg',
           'Old Bridge', 'uMkomaas', 'ZA'
    from organisation, day
    returning id
), race as (
    insert into ems.race (event_id, name, distance_meters, start_time, max_entries, fee, currency)
    select event.id, r.name, meters, (local + starts) at time zone 'Africa/Johannesburg', 5000, fee, 'ZAR'
    from event, day, (values ('Marathon', 42195, time '05:30', 650.00), ('Half marathon', 21098, '06:00', 420.00),
                             ('10 km', 10000, '06:45', 180.00), ('5 km', 5000, '07:15', 90.00)) r (name, meters, starts, fee)
    returning id, start_time
), start_group as (
    insert into ems.start_group (race_id, name, seq, start_time)
    select race.id, chr(64 + seq), seq, start_time + (seq - 1) * interval '4 minutes'
    from race, generate_series(1, 4) seq
    returning id
)
select (select count(*) from organisation) + (select count(*) from event)
     + (select count(*) from race) + (select count(*) from start_group)
