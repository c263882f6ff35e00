//! The story, in the order in which it is told.

mod apart;
mod consent;
mod everywhere;
mod finish;
mod preparations;
mod race_day;
mod trouble;

use anyhow::Result;

use crate::stage::Stage;

pub(crate) use finish::stay_up;

pub(crate) async fn tell(stage: &mut Stage) -> Result<()> {
    preparations::event_announced(stage).await?;
    everywhere::opened_at_runsignup(stage).await?;
    preparations::runners_enter(stage).await?;
    everywhere::one_appears_everywhere(stage).await?;
    everywhere::family_shares(stage).await?;

    race_day::name_corrected(stage).await?;
    race_day::nothing_to_write(stage).await?;
    race_day::runner_withdraws(stage).await?;
    race_day::chip_swapped(stage).await?;
    race_day::start_postponed(stage).await?;
    race_day::group_dissolved(stage).await?;

    trouble::name_rejected(stage).await?;
    trouble::tagserver_offline(stage).await?;
    trouble::bad_line(stage).await?;
    trouble::triggers_off(stage).await?;
    trouble::worker_killed(stage).await?;

    consent::unsubscribed_there(stage).await?;
    consent::mass_opt_out(stage).await?;
    apart::mautic_offline(stage).await?;
    apart::edited_at_chatwoot(stage).await?;

    finish::compared(stage).await?;
    finish::verified(stage).await?;
    finish::seen_by_the_worker(stage).await
}
