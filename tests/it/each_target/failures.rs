//! What the backbone's failure suite demands of TagServer, of each of the five by the whole engine: a target that fails, refuses
//! data, is away, is hidden behind a portal, refuses us, wants to be left alone, is paused, or commits and does not answer, or later
//! than it should; a burst of deletes; records that vanish; a process that is killed with a push in flight. In the end the target holds what the EMS has, once, and no rule of its contract was broken.
//!
//! What takes long runs with `make campaign` only.
//!
//! What differs from target to target (how it refuses, which of its resources is written) stands in [`ways`].

mod bench;
mod ways;

mod guard;
mod killed;
mod late;
mod lost;
mod offline;
mod paused;
mod portal;
mod refused;
mod rejected;
mod throttled;
mod transient;
mod vanished;

/// Runs every test for each target.
macro_rules! for_each {
    ($($module:ident: $target:ident)*) => {$(
        mod $module {
            super::suite! { $target:
                #[ignore = "half a minute: run with the campaign"]
                transient::one_that_fails_is_tried_four_times_holds_up_nobody_and_is_brought_home_by_a_replay
                rejected::refused_data_is_sent_once_and_comes_home_when_it_is_changed
                #[ignore = "half a minute: run with the campaign"]
                offline::a_target_that_refuses_connections_is_left_alone_and_catches_up
                #[ignore = "half a minute: run with the campaign"]
                offline::a_target_that_does_not_answer_is_left_alone_and_catches_up
                refused::a_target_that_refuses_us_is_disabled_with_one_alert_and_enabling_it_catches_up
                throttled::a_pause_that_the_target_asks_for_is_kept_and_burns_no_attempt
                #[ignore = "half a minute: run with the campaign"]
                lost::answers_that_are_lost_leave_nothing_twice_and_nothing_stale
                #[ignore = "half a minute: run with the campaign"]
                portal::a_captive_portal_rejects_nothing_forgets_nothing_and_deletes_nothing
                paused::a_paused_target_gets_nothing_and_is_caught_up_when_it_is_resumed
                late::a_delete_that_meets_a_lost_create_leaves_nothing_behind
                #[ignore = "half a minute: run with the campaign"]
                late::a_delayed_write_that_lands_over_a_newer_one_is_made_good_by_the_read_back
                vanished::what_vanished_there_is_created_again_when_it_changes_unless_it_was_a_decision
                guard::a_mass_delete_is_held_and_a_person_decides
                #[ignore = "half a minute: run with the campaign"]
                killed::a_process_that_is_killed_with_pushes_in_flight_leaves_nothing_twice_and_nothing_stale
            }
        }
    )*};
}

macro_rules! suite {
    ($target:ident: $($(#[$attribute:meta])* $module:ident::$test:ident)*) => {$(
        $(#[$attribute])*
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            let test = $crate::each_target::failures::$module::$test;
            Box::pin(test(ems_sync::target::Target::$target)).await;
        }
    )*};
}
use suite;

for_each! {
    tagserver: TagServer
    mautic: Mautic
    mailchimp: MailChimp
    runsignup: RunSignup
    chatwoot: Chatwoot
}
