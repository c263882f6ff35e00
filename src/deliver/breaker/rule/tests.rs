//! The rule, event by event and by property.

use proptest::prelude::*;

use super::*;
use crate::entity::EntityType;
use crate::limits;

const PATIENCE: Patience = Patience { disable_after: Duration::from_secs(24 * 60 * 60) };
const LEASE: Duration = Duration::from_secs(10);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn person(id: i64) -> EntityRef {
    EntityRef::new(EntityType::Person, id)
}

fn after(standing: &Standing, event: Event, seconds: i64) -> (Standing, Vec<Effect>) {
    step(standing, &event, at(seconds), 0.0, PATIENCE)
}

fn failures(ids: impl IntoIterator<Item = i64>) -> Event {
    let failed: Vec<_> = ids.into_iter().map(person).collect();
    Event::Judged(Evidence { served: 0, streak: failed.clone(), failed })
}

fn successes(served: u32) -> Event {
    Event::Judged(Evidence { served, ..Evidence::default() })
}

fn failed_probe() -> Event {
    Event::Probed(Probed::Failed("503".to_owned()))
}

fn opens(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::Opened { .. }))
}

fn alerts(effects: &[Effect]) -> usize {
    let is_alert = |effect: &&Effect| {
        matches!(effect, Effect::Opened { alert: true, .. } | Effect::Disabled(_))
    };
    effects.iter().filter(is_alert).count()
}

/// A target whose breaker has just opened, at second 0.
fn opened() -> Standing {
    after(&Standing::default(), failures(1..=5), 0).0
}

/// Its probe was answered, at second 3.
fn on_trial() -> Standing {
    let (probing, _) = after(&opened(), Event::ProbeBegins(LEASE), 2);
    after(&probing, Event::Probed(Probed::Answered), 3).0
}

fn disabled() -> Standing {
    after(&Standing::default(), Event::Refused("authentication: 401".to_owned()), 0).0
}

#[test]
fn five_different_entities_in_a_row_open_it_whichever_processes_saw_them() {
    let mut standing = Standing::default();
    for id in 1..=4 {
        let (next, effects) = after(&standing, failures([id]), id);
        assert!(effects.is_empty() && next.breaker == BreakerState::Closed, "{id}");
        standing = next;
    }
    let (again, _) = after(&standing, failures([4, 4, 1]), 5);
    assert_eq!(again.breaker, BreakerState::Closed, "the same entities again say nothing new");
    let (open, effects) = after(&again, failures([5]), 6);
    assert_eq!((open.breaker, open.until), (BreakerState::Open, Some(at(8))));
    assert_eq!(effects, [Effect::Opened { pause: Duration::from_secs(2), alert: true }]);
}

#[test]
fn one_success_forgives() {
    let (four, _) = after(&Standing::default(), failures(1..=4), 0);
    let (forgiven, _) = after(&four, successes(1), 1);
    assert!(forgiven.streak.is_empty() && forgiven.failing_since.is_none());
    assert!(!opens(&after(&forgiven, failures([5]), 2).1));
}

#[test]
fn a_high_share_of_failures_opens_it_though_some_succeed_and_a_half_does_not() {
    let mixed = |failed_of_ten: i64| {
        let (mut standing, mut opened_after) = (Standing::default(), None);
        for push in 0..200_i64 {
            // Spread so that five in a row never fail.
            let fails = (push * failed_of_ten) % 10 < failed_of_ten;
            let event = if fails { failures([push]) } else { successes(1) };
            let (next, effects) = after(&standing, event, push / 10);
            standing = next;
            if opens(&effects) && opened_after.is_none() {
                opened_after = Some(push);
            }
        }
        opened_after
    };
    assert!(mixed(7).is_some_and(|pushes| pushes < 40), "{:?}", mixed(7));
    assert_eq!(mixed(5), None);
}

/// Poison: a few entities that fail again and again, among many that are served or nothing else at all.
#[test]
fn a_few_poisonous_entities_do_not_open_it() {
    let mut standing = Standing::default();
    for second in 0..300 {
        let (next, effects) = after(&standing, failures([1, 2, 3, 4]), second);
        assert!(effects.is_empty(), "{second}");
        standing = next;
    }
}

#[test]
fn a_window_that_is_over_counts_for_nothing_and_a_healthy_target_leaves_no_trace() {
    assert_eq!(after(&Standing::default(), successes(1_000), 0).0, Standing::default());
    let (failed, _) = after(&Standing::default(), failures([1]), 0);
    let (later, _) = after(&failed, successes(1), 31);
    assert_eq!(later, Standing::default());
}

#[test]
fn one_process_probes_and_another_only_when_it_fell_silent() {
    let open = opened();
    assert_eq!(after(&open, Event::ProbeBegins(LEASE), 1).0, open, "the pause is not over");
    let (probing, effects) = after(&open, Event::ProbeBegins(LEASE), 2);
    assert_eq!(effects, [Effect::Probing]);
    assert_eq!(after(&probing, Event::ProbeBegins(LEASE), 11).0, probing);
    assert_eq!(after(&probing, Event::ProbeBegins(LEASE), 12).1, [Effect::Probing]);
}

#[test]
fn nobody_probes_while_the_target_wants_to_be_left_alone_or_a_person_has_paused_it() {
    let (throttled, _) = after(&opened(), Event::Throttled(Some(Duration::from_secs(60))), 1);
    assert!(after(&throttled, Event::ProbeBegins(LEASE), 30).1.is_empty());
    assert_eq!(after(&throttled, Event::ProbeBegins(LEASE), 61).1, [Effect::Probing]);
    let (paused, _) = after(&opened(), Event::Ordered(Order::Pause), 1);
    assert!(after(&paused, Event::ProbeBegins(LEASE), 30).1.is_empty());
}

#[test]
fn the_pause_doubles_with_every_probe_that_fails() {
    let (mut standing, mut now, mut pauses) = (opened(), 0, vec![2]);
    for _ in 0..6 {
        now += pauses.last().unwrap();
        let (probing, _) = after(&standing, Event::ProbeBegins(LEASE), now);
        let (open, effects) = after(&probing, failed_probe(), now);
        let [Effect::Opened { pause, alert: false }] = effects.as_slice() else {
            panic!("{effects:?}")
        };
        pauses.push(i64::try_from(pause.as_secs()).unwrap());
        standing = open;
    }
    assert_eq!(pauses, [2, 4, 8, 16, 30, 30, 30]);
    assert_eq!(standing.last_error.as_deref(), Some("503"));
}

/// Logins work and writes fail: each probe closes it, each push opens it again.
#[test]
fn a_brown_out_is_one_episode_with_ever_longer_pauses_and_one_alert() {
    let (mut standing, mut now, mut pauses, mut raised) = (Standing::default(), 0, Vec::new(), 0);
    let (open, effects) = after(&standing, failures(1..=5), now);
    raised += alerts(&effects);
    standing = open;
    for push in 0..8 {
        now += 40;
        let (probing, _) = after(&standing, Event::ProbeBegins(LEASE), now);
        let (trial, effects) = after(&probing, Event::Probed(Probed::Answered), now);
        assert_eq!(effects, [Effect::Closed]);
        assert!(trial.on_trial);
        let (open, effects) = after(&trial, failures([100 + push]), now + 1);
        raised += alerts(&effects);
        let [Effect::Opened { pause, .. }] = effects.as_slice() else { panic!("{effects:?}") };
        pauses.push(pause.as_secs());
        standing = open;
    }
    assert_eq!(pauses, [4, 8, 16, 30, 30, 30, 30, 30]);
    assert_eq!(raised, 1);
}

#[test]
fn a_served_push_ends_the_trial_and_then_it_takes_five_again() {
    let (served, effects) = after(&on_trial(), successes(1), 4);
    assert_eq!(effects, [Effect::Recovered]);
    assert!(!served.on_trial);
    let (four, effects) = after(&served, failures(1..=4), 5);
    assert!(effects.is_empty());
    // Soon after, it is the same episode: no second alert, and a longer pause.
    let (_, effects) = after(&four, failures([5]), 6);
    assert_eq!(effects, [Effect::Opened { pause: Duration::from_secs(4), alert: false }]);
    // Long after, it is another one.
    let (_, effects) = after(&four, failures([5]), 3 + 60);
    assert_eq!(effects, [Effect::Opened { pause: Duration::from_secs(2), alert: true }]);
}

/// The night is quiet: nothing is owed, so nothing proves that writes work.
#[test]
fn a_trial_lasts_until_something_is_owed() {
    let (open, effects) = after(&on_trial(), failures([1]), 10 * 3_600);
    assert_eq!(effects, [Effect::Opened { pause: Duration::from_secs(4), alert: false }]);
    assert_eq!(open.failing_since, Some(at(10 * 3_600)), "and no lasting failure follows from it");
}

#[test]
fn a_day_of_nothing_but_failures_disables_it_and_a_success_in_between_does_not() {
    let day = |success_at: Option<i64>| {
        let (mut standing, mut disabled_at, mut raised) = (opened(), None, 1);
        for now in (40..30 * 3_600).step_by(40) {
            let (probing, _) = after(&standing, Event::ProbeBegins(LEASE), now);
            let (next, effects) = after(&probing, failed_probe(), now);
            raised += alerts(&effects);
            standing = next;
            if standing.disabled && disabled_at.is_none() {
                disabled_at = Some(now);
            }
            if success_at.is_some_and(|at| at < now && at >= now - 40) {
                // A push that was under way when it opened.
                standing = after(&standing, successes(1), now).0;
            }
        }
        (standing, disabled_at, raised)
    };
    let (standing, disabled_at, raised) = day(None);
    assert!((24 * 3_600..24 * 3_600 + 60).contains(&disabled_at.unwrap()), "{disabled_at:?}");
    assert!(standing.disabled_reason.unwrap().starts_with("given_up: "));
    assert_eq!(raised, 2, "once for the episode, once for giving up");
    assert_eq!(day(Some(10 * 3_600)).1, None);
}

#[test]
fn a_refusal_disables_it_once_and_nothing_but_a_person_enables_it() {
    let standing = disabled();
    assert!(standing.disabled);
    for event in every_event() {
        if matches!(event, Event::Ordered(_)) {
            continue;
        }
        let unchanged = (standing.clone(), Vec::new());
        assert_eq!(after(&standing, event.clone(), 100_000), unchanged, "{event:?}");
    }
    let (enabled, effects) = after(&standing, Event::Ordered(Order::Enable), 5);
    assert_eq!(effects, [Effect::Ordered(Order::Enable)]);
    assert!(!enabled.disabled && enabled.on_trial && enabled.disabled_reason.is_none());
    assert!(is_open_for_business(&enabled, at(5)));
}

#[test]
fn enabling_forgets_what_was_but_not_a_pause_of_a_person() {
    let (paused, _) = after(&opened(), Event::Ordered(Order::Pause), 1);
    let (throttled, _) = after(&paused, Event::Throttled(Some(Duration::from_secs(600))), 1);
    let (enabled, _) = after(&throttled, Event::Ordered(Order::Enable), 2);
    assert!(enabled.paused && enabled.throttled_until.is_none() && enabled.pauses == 0);
    assert_eq!(enabled.breaker, BreakerState::Closed);
}

#[test]
fn what_was_under_way_when_it_opened_moves_nothing() {
    let open = opened();
    assert_eq!(after(&open, failures(10..20), 1), (open.clone(), Vec::new()));
    let (served, effects) = after(&open, successes(3), 1);
    assert_eq!((served.breaker, effects), (BreakerState::Open, Vec::new()));
}

#[test]
fn it_starts_slowly_one_batch_on_trial_then_a_tenth_then_all_of_it_after_a_minute() {
    let seconds = |s| Some(Duration::from_secs(s));
    for open_for in [seconds(0), seconds(600), None] {
        assert_eq!(allowance(true, open_for, 400), limits::BATCH_DELIVERIES);
    }
    let steps = [0, 20, 40, 59, 60, 600].map(|s| allowance(false, seconds(s), 100));
    assert_eq!(steps, [10, 40, 70, 98, 100, 100]);
    assert_eq!(allowance(false, None, 100), 100);
    for full in [0, 1, 3] {
        assert_eq!(allowance(false, seconds(0), full), 1);
    }
}

/// One of each kind.
fn every_event() -> Vec<Event> {
    let minute = Some(Duration::from_secs(60));
    vec![
        successes(1),
        failures([1]),
        failures(1..=9),
        Event::Judged(Evidence::default()),
        Event::Throttled(None),
        Event::Throttled(minute),
        Event::Refused("configuration: 403".to_owned()),
        Event::ProbeBegins(Duration::from_secs(40)),
        Event::Probed(Probed::Answered),
        failed_probe(),
        Event::Ordered(Order::Pause),
        Event::Ordered(Order::Resume),
        Event::Ordered(Order::Enable),
        Event::Ordered(Order::Disable(None)),
    ]
}

/// The table of transitions, complete: from each state by each event, at second 100, when every pause is over.
#[test]
fn every_transition_is_the_one_that_is_meant() {
    let half_open = after(&opened(), Event::ProbeBegins(Duration::from_secs(600)), 3).0;
    let states = [Standing::default(), on_trial(), opened(), half_open, disabled()];
    let shown = |standing: &Standing| match (standing.disabled, standing.breaker) {
        (true, _) => "disabled",
        (false, BreakerState::Closed) if standing.on_trial => "on trial",
        (false, BreakerState::Closed) => "closed",
        (false, BreakerState::Open) => "open",
        (false, BreakerState::HalfOpen) => "half open",
    };
    assert_eq!(
        states.each_ref().map(shown),
        ["closed", "on trial", "open", "half open", "disabled"]
    );
    let table: Vec<[&str; 5]> = every_event()
        .iter()
        .map(|event| states.each_ref().map(|state| shown(&after(state, event.clone(), 100).0)))
        .collect();
    let all = |to| [to; 5];
    assert_eq!(
        table,
        [
            // closed, on trial, open, half open, disabled
            ["closed", "closed", "open", "half open", "disabled"], // a success
            ["closed", "open", "open", "half open", "disabled"],   // a failure
            ["open", "open", "open", "half open", "disabled"],     // many failures
            ["closed", "on trial", "open", "half open", "disabled"], // nothing
            ["closed", "on trial", "open", "half open", "disabled"], // throttled
            ["closed", "on trial", "open", "half open", "disabled"], // throttled for a minute
            all("disabled"),                                       // refused
            ["closed", "on trial", "half open", "half open", "disabled"], // a probe would begin
            ["closed", "on trial", "open", "on trial", "disabled"], // a probe is answered
            ["closed", "on trial", "open", "open", "disabled"],    // a probe fails
            ["closed", "on trial", "open", "half open", "disabled"], // paused
            ["closed", "on trial", "open", "half open", "disabled"], // resumed
            all("on trial"),                                       // enabled
            all("disabled"),                                       // disabled
        ]
    );
}

fn event() -> impl Strategy<Value = Event> {
    let evidence = (0..3_u32, prop::collection::vec(1..12_i64, 0..4), any::<bool>()).prop_map(
        |(served, ids, ends_well)| {
            let mut failed: Vec<_> = ids.into_iter().map(person).collect();
            failed.dedup();
            let streak = if served > 0 && ends_well { Vec::new() } else { failed.clone() };
            Event::Judged(Evidence { served, failed, streak })
        },
    );
    prop_oneof![
        6 => evidence,
        1 => prop::option::of(0..100_u64).prop_map(|s| Event::Throttled(s.map(Duration::from_secs))),
        3 => Just(Event::ProbeBegins(Duration::from_secs(40))),
        3 => prop::bool::ANY.prop_map(|ok| {
            Event::Probed(if ok { Probed::Answered } else { Probed::Failed("503".to_owned()) })
        }),
        1 => prop::sample::select(every_event()),
    ]
}

proptest! {
    /// Whatever happens in whatever order, with time passing in between.
    #[test]
    fn what_always_holds(
        events in prop::collection::vec((event(), 0..50_i64, 0.0..1.0_f64), 1..200),
    ) {
        let (mut standing, mut now, mut probes) = (Standing::default(), 0, Vec::new());
        for (event, passes, random) in events {
            now += passes;
            let before = standing.clone();
            let (after, effects) = step(&before, &event, at(now), random, PATIENCE);
            // Bounded, and each state with what belongs to it.
            prop_assert!(after.streak.len() < limits::BREAKER_FAILURES || after.breaker == BreakerState::Closed);
            prop_assert!(after.window.entities.len() <= limits::BREAKER_WINDOW_ENTITIES);
            prop_assert_eq!(after.breaker == BreakerState::Closed, after.until.is_none());
            prop_assert!(!after.on_trial || after.breaker == BreakerState::Closed);
            prop_assert!(after.learnt_pause <= limits::THROTTLE_MAX);
            // Nobody but a person enables; nothing but a probe or a person closes.
            let by_person = matches!(event, Event::Ordered(Order::Enable));
            prop_assert!(!before.disabled || after.disabled || by_person);
            let closes = before.breaker != BreakerState::Closed && after.breaker == BreakerState::Closed;
            prop_assert!(!closes || after.disabled || effects.contains(&Effect::Closed) || by_person);
            // A pause of the target is never cut short but by a person.
            prop_assert!(before.throttled_until <= after.throttled_until || by_person);
            // A change that others must see has an effect that says so.
            let open = |s: &Standing| (s.disabled, s.breaker, s.on_trial, s.paused);
            prop_assert!(open(&before) == open(&after) || !effects.is_empty());
            // An outage is told once: not again while the breaker has not been quiet.
            if effects.iter().any(|e| matches!(e, Effect::Opened { alert: true, .. })) {
                let calm = before.closed_on.is_none_or(|on| elapsed(on, at(now)) >= limits::BREAKER_CALM);
                prop_assert!(calm && !before.on_trial || before.opened_on.is_none());
            }
            if effects.contains(&Effect::Probing) {
                probes.push((now, before.pauses));
            }
            standing = after;
        }
        // Fully backed off there is at most one probe in half a minute, whatever came of it, until something is served.
        for pair in probes.windows(2) {
            if let [(first, 5..), (next, pauses)] = pair && *pauses > 5 {
                prop_assert!(next - first >= 30, "{:?}", pair);
            }
        }
    }

    /// The order in which processes are quicker does not matter for whether it opens.
    #[test]
    fn failures_add_up_whoever_saw_them(ids in prop::collection::hash_set(1..1_000_i64, 5..40), cut in 1..5_usize) {
        let ids: Vec<i64> = ids.into_iter().collect();
        let mut standing = Standing::default();
        for part in ids.chunks(cut) {
            standing = after(&standing, failures(part.iter().copied()), 0).0;
        }
        prop_assert_eq!(standing.breaker, BreakerState::Open);
    }
}

/// A target that can't say who it is can't be reached, whatever pushes say; and a hold is no business of the breaker.
#[test]
fn a_request_that_concerns_no_entity_opens_and_an_order_ends_no_hold() {
    let held = Standing { held: true, ..Standing::default() };
    assert!(!is_open_for_business(&held, at(0)) && !probe_is_due(&held, at(0)));
    let patience = Patience { disable_after: Duration::from_secs(86_400) };
    let enable = Event::Ordered(Order::Enable);
    assert!(step(&held, &enable, at(1), 0.5, patience).0.held);
    let met = Event::Met("transient: 503".to_owned());
    let (open, effects) = step(&Standing::default(), &met, at(0), 0.5, patience);
    assert_eq!(open.breaker, BreakerState::Open);
    assert!(matches!(effects[..], [Effect::Opened { alert: true, .. }]), "{effects:?}");
    assert_eq!(step(&open, &met, at(1), 0.5, patience), (open.clone(), Vec::new()));
}
