//! Mistakes that are planted by hand, to prove that the simulation would find them.
//!
//! Each is made in the harness, around the shipped function or in the model of the SQL that it stands for.

/// A planted mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    /// The hash of a record in doubt is believed.
    TrustsHashInDoubt,
    /// The claim writes no intent before a create is sent.
    WritesNoIntent,
    /// What a look-up does not find is not there, however young the create.
    AbsenceIsProofAtOnce,
    /// A finish is written whoever holds the lease by now.
    FinishesWithoutFence,
    /// A finish settles what is owed by now, not what was owed at its claim.
    SettlesWhatIsOwedNow,
    /// Deliveries are acked before the record is committed.
    AcksBeforeTheFinish,
    /// A finish does not see that something newer is owed.
    DoesNotGoAgain,
    /// Ambiguous writes are not read back.
    ForgetsReadBacks,
    /// A finish wakes nobody.
    WakesNoWaiter,
    /// A replace of an unknown id counts as done.
    StaleIdIsSuccess,
    /// A live change makes a retrying record due at once: a second chain.
    ChangeBeginsASecondChain,
    /// The sweep's watermark follows the clock, not the oldest open transaction.
    SweepTrustsTheClock,
    /// An entity that is gone is forgotten though a create of it may have been sent.
    ForgetsTheOpenCreate,
    /// An expired lease is taken over as if nobody had held it.
    TakesOverWithoutALook,
    /// Nothing looks at the lease before a request is sent.
    SendsWithoutALease,
    /// The process's own clock is asked whether a create has settled.
    AsksItsOwnClock,
    /// A throttled turn counts as an attempt.
    ThrottlingBurnsAttempts,
    /// The relay commits the removal of outbox rows before it owes them.
    RelayForgets,
    /// A look-up's record is taken as ours without bringing its content up to date.
    AdoptsWithoutALook,
    /// Deleting is decided by what the process read before its claim.
    ReadsBeforeTheClaim,
}

impl Bug {
    pub(crate) const ALL: [Self; 20] = [
        Self::TrustsHashInDoubt,
        Self::WritesNoIntent,
        Self::AbsenceIsProofAtOnce,
        Self::FinishesWithoutFence,
        Self::SettlesWhatIsOwedNow,
        Self::AcksBeforeTheFinish,
        Self::DoesNotGoAgain,
        Self::ForgetsReadBacks,
        Self::WakesNoWaiter,
        Self::StaleIdIsSuccess,
        Self::ChangeBeginsASecondChain,
        Self::SweepTrustsTheClock,
        Self::ForgetsTheOpenCreate,
        Self::TakesOverWithoutALook,
        Self::SendsWithoutALease,
        Self::AsksItsOwnClock,
        Self::ThrottlingBurnsAttempts,
        Self::RelayForgets,
        Self::AdoptsWithoutALook,
        Self::ReadsBeforeTheClaim,
    ];
}
