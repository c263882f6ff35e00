//! What every target's client owes the engine (the obligations of `src/remote.rs`), tested for each of them against its
//! simulator by the same tests.
//!
//! A target brings a [`kit::Kit`]: one file that says how its simulator is started, what its projection rows look like, and
//! how its records are read back. The tests know nothing else of it. What only one remote has (its error table, its
//! traps) is tested in `tests/it/<target>/`. `docs/adding-a-target.md` says how a target is added.
//!
//! Each test gets a client that has asked for its account and stays with it, as the engine does before the first push;
//! after each the simulator must have counted no breach of the remote's contract.

mod bench;
mod kit;

mod account;
mod adopt;
mod batch;
mod garbage;
mod lost;
mod mapping;
mod private;
mod refused;
mod stale;
mod time;
mod walk;
mod write;

/// Runs every test of the suite for one kit. Stands at the end of the kit's file.
macro_rules! contract {
    ($kit:ty) => {
        $crate::contract::contract! { $kit:
            mapping::equal_rows_are_mapped_to_equal_content
            mapping::another_content_has_another_hash
            write::a_new_entity_gets_one_record
            write::an_update_replaces_the_content
            write::a_field_that_is_null_in_the_ems_is_cleared
            write::a_second_update_with_the_same_content_is_no_failure
            write::a_delete_removes_the_record_and_no_other
            write::a_delete_by_key_removes_the_record_and_no_other
            write::what_is_gone_already_is_gone
            write::an_entity_comes_back_after_its_delete
            adopt::what_was_not_found_is_not_created_without_proof_of_absence
            adopt::what_was_not_found_is_created_when_absence_is_proof
            adopt::what_was_found_is_adopted_without_a_second_record
            adopt::what_holds_the_right_content_needs_no_write
            adopt::a_create_that_meets_its_own_record_adopts_it
            adopt::entities_that_collide_do_not_take_each_others_record
            lost::a_lost_answer_to_a_create_leaves_one_record
            lost::a_create_that_never_arrived_is_sent_again_once_absence_is_proof
            lost::a_lost_answer_to_an_update_is_ambiguous_until_it_is_repeated
            lost::a_lost_answer_to_a_delete_is_ambiguous_until_it_is_repeated
            lost::a_lost_answer_to_a_delete_by_key_is_ambiguous_until_it_is_repeated
            lost::a_gateway_that_gave_up_may_have_passed_the_write_on
            lost::a_failed_write_is_not_sent_again_by_the_client
            refused::a_login_that_ends_in_mid_batch_is_renewed_once
            refused::a_refusal_in_mid_batch_ends_the_rest_as_refused
            refused::a_refusal_for_ever_is_of_us_and_raises_an_alarm
            refused::a_pause_that_the_remote_asks_for_is_passed_on
            refused::an_alarm_does_not_wait_for_the_rest_of_the_batch
            refused::no_redirect_is_followed
            garbage::a_senseless_success_is_never_success
            garbage::one_senseless_answer_makes_no_claim_that_is_not_true
            garbage::an_error_page_is_no_absence
            time::a_request_without_an_answer_ends_with_its_deadline
            time::a_write_that_hangs_after_its_commit_is_ambiguous
            time::a_push_whose_time_is_over_sends_nothing
            time::nothing_is_sent_once_we_are_told_to_stop
            time::a_push_that_waited_too_long_for_its_turn_is_not_sent
            time::what_was_sent_is_never_called_unsent
            time::a_remote_that_is_away_is_unsent_or_ambiguous
            batch::each_of_a_batch_gets_its_own_result
            batch::one_that_hangs_holds_up_no_other
            batch::one_that_is_refused_takes_no_other_along
            batch::whatever_is_held_under_dice_is_really_there
            stale::a_record_that_was_removed_behind_our_back_is_a_stale_mapping
            stale::an_id_that_means_another_record_by_now_changes_nobodys_record
            walk::every_record_is_seen_once_and_mapped_to_the_same_content
            walk::a_remote_without_records_of_ours_has_none
            walk::an_odd_answer_is_an_error_and_no_end
            walk::an_empty_success_is_an_error_and_no_end
            account::an_account_is_the_same_for_everybody_and_at_every_time
            account::another_login_is_another_account
            account::nothing_is_written_to_another_account
            account::an_answer_that_says_nothing_is_no_account
            account::a_probe_says_whether_we_are_let_in_and_changes_nothing
            private::no_value_comes_into_a_failure_or_a_debug_text
        }
    };
    ($kit:ty: $($module:ident::$test:ident)*) => {$(
        #[tokio::test]
        async fn $test() {
            let test = $crate::contract::$module::$test::<$kit>;
            $crate::contract::bench::run::<$kit>(test).await;
        }
    )*};
}
use contract;

mod chatwoot;
mod mailchimp;
mod mautic;
mod runsignup;
mod tagserver;
