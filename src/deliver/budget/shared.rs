//! The budget that all processes share, as a client sees it, and who keeps it.
//!
//! Clients take and give back slots in memory, first come, first served. The [`Keeper`], one task per target and process,
//! is the only one that asks the database: a client that gives up waiting breaks off nothing.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::{Notify, oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use super::tokens::Tokens;
use super::{Ask, Epoch, Leave, Plan, Share, Terms};
use crate::error_chain::chain;
use crate::limits;
use crate::remote::budget::{Budget, Permit};
use crate::store::Store;
use crate::target::Target;

/// Opens the budget of a target. Nothing is asked before the keeper runs and somebody wants a slot. The keeper ends when
/// the budget is dropped, and gives back what it has.
#[must_use]
pub fn open(store: Store, target: Target, terms: Terms) -> (SharedBudget, Keeper) {
    let book = Arc::new(Book {
        state: Mutex::new(State {
            share: Share::new(terms),
            tokens: terms.rate.map(Tokens::new),
            queue: VecDeque::new(),
        }),
        asks: Notify::new(),
        changed: watch::Sender::new(()),
        turnstile: tokio::sync::Mutex::new(()),
    });
    let closed = CancellationToken::new();
    let owner = Uuid::new_v4();
    let keeper = Keeper { book: Arc::clone(&book), store, target, owner, closed: closed.clone() };
    (SharedBudget { book, _closes: closed.drop_guard() }, keeper)
}

/// A target's budget. Dropped when its last client is.
pub struct SharedBudget {
    book: Arc<Book>,
    _closes: DropGuard,
}

impl fmt::Debug for SharedBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedBudget").field("share", &self.book.lock().share).finish()
    }
}

impl Budget for SharedBudget {
    fn slot(&self) -> BoxFuture<'_, Box<dyn Permit>> {
        let slot = async {
            let permit: Box<dyn Permit> = Box::new(self.book.slot().await);
            permit
        };
        slot.boxed()
    }
}

/// What the clients and the keeper of a target share.
struct Book {
    state: Mutex<State>,
    /// Something may have to be asked.
    asks: Notify,
    /// Something was answered.
    changed: watch::Sender<()>,
    /// Who waits for a token first gets the next one.
    turnstile: tokio::sync::Mutex<()>,
}

struct State {
    share: Share,
    tokens: Option<Tokens>,
    /// Who waits for a slot.
    queue: VecDeque<oneshot::Sender<SharedPermit>>,
}

impl Book {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn slot(self: &Arc<Self>) -> SharedPermit {
        let waits = {
            let mut state = self.lock();
            let epoch = if state.queue.is_empty() { state.share.take() } else { None };
            if let Some(epoch) = epoch {
                return SharedPermit { book: Arc::clone(self), epoch };
            }
            let (sender, waits) = oneshot::channel();
            state.queue.push_back(sender);
            waits
        };
        self.asks.notify_one();
        match waits.await {
            Ok(permit) => permit,
            // The queue is as old as the book, which is ours: it is not dropped.
            Err(_) => std::future::pending().await,
        }
    }

    /// Gives what is free to those that wait, in their order.
    fn hand_out(self: &Arc<Self>) {
        loop {
            let (waits, permit) = {
                let mut state = self.lock();
                while state.queue.front().is_some_and(oneshot::Sender::is_closed) {
                    state.queue.pop_front();
                }
                if state.queue.is_empty() {
                    return;
                }
                let Some(epoch) = state.share.take() else { return };
                let permit = SharedPermit { book: Arc::clone(self), epoch };
                (state.queue.pop_front(), permit)
            };
            // One that has just given up leaves it to the next: its drop hands it out.
            if let Some(waits) = waits {
                drop(waits.send(permit));
            }
        }
    }

    fn give(self: &Arc<Self>, epoch: Epoch) {
        let is_surplus = {
            let mut state = self.lock();
            state.share.give(epoch, Instant::now());
            state.share.is_surplus()
        };
        if is_surplus {
            self.asks.notify_one();
        }
        self.hand_out();
    }

    /// Waits until a request may be sent in a slot of this epoch, with a token where they are counted.
    async fn turn(&self, epoch: Epoch) -> bool {
        let mut changed = self.changed.subscribe();
        loop {
            match self.leave(epoch) {
                Leave::Lost => return false,
                Leave::NotYet => {
                    self.asks.notify_one();
                    if changed.changed().await.is_err() {
                        return false;
                    }
                }
                Leave::Now => {
                    self.token().await;
                    // It may have taken longer than the lease.
                    if self.leave(epoch) == Leave::Now {
                        return true;
                    }
                }
            }
        }
    }

    fn leave(&self, epoch: Epoch) -> Leave {
        self.lock().share.leave(epoch, Instant::now())
    }

    /// Waits for a token and uses it.
    async fn token(&self) {
        if self.lock().tokens.is_none() {
            return;
        }
        let _waiting = Waiting::begin(self);
        let _first = self.turnstile.lock().await;
        let mut changed = self.changed.subscribe();
        loop {
            let at = {
                let mut state = self.lock();
                let Some(tokens) = &mut state.tokens else { return };
                let now = Instant::now();
                let at = tokens.next(now);
                if at.is_some_and(|at| at <= now) {
                    tokens.spend();
                    return;
                }
                at
            };
            if let Some(at) = at {
                tokio::time::sleep_until(at.into()).await;
            } else {
                self.asks.notify_one();
                if changed.changed().await.is_err() {
                    return;
                }
            }
        }
    }

    fn plan(&self) -> Plan {
        let mut state = self.lock();
        state.queue.retain(|waits| !waits.is_closed());
        let waiting = state.queue.len();
        let now = Instant::now();
        let tokens = state.tokens.as_mut().map_or(0, |tokens| match tokens.next(now) {
            Some(_) => 0,
            None => tokens.wanted(waiting),
        });
        state.share.plan(now, waiting, tokens)
    }
}

/// A request waits for a token.
struct Waiting<'a>(&'a Book);

impl<'a> Waiting<'a> {
    fn begin(book: &'a Book) -> Self {
        if let Some(tokens) = &mut book.lock().tokens {
            tokens.waits();
        }
        Self(book)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(tokens) = &mut self.0.lock().tokens {
            tokens.ends_waiting();
        }
    }
}

/// A slot of a target's budget.
struct SharedPermit {
    book: Arc<Book>,
    epoch: Epoch,
}

impl Drop for SharedPermit {
    fn drop(&mut self) {
        self.book.give(self.epoch);
    }
}

impl Permit for SharedPermit {
    fn turn(&self) -> BoxFuture<'_, bool> {
        self.book.turn(self.epoch).boxed()
    }

    fn reaches(&self) -> bool {
        self.book.leave(self.epoch) == Leave::Now
    }
}

/// Asks the database on behalf of a target's clients in this process.
pub struct Keeper {
    book: Arc<Book>,
    store: Store,
    target: Target,
    /// Who we are among the processes.
    owner: Uuid,
    closed: CancellationToken,
}

impl Keeper {
    /// Keeps the budget until it is dropped, then gives back what is left of it.
    pub async fn run(self) {
        let mut is_away = false;
        while !self.closed.is_cancelled() {
            let at = match self.book.plan() {
                Plan::Ask(ask) => {
                    is_away = !self.ask(&ask, is_away).await;
                    continue;
                }
                Plan::At(at) => Some(at),
                Plan::Rest => None,
            };
            let due = async {
                match at {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.book.asks.notified() => {}
                () = due => {}
                () = self.closed.cancelled() => {}
            }
        }
        let farewell = self.book.lock().share.farewell();
        // With nothing asked there is nothing to give back.
        if farewell.number > 1 {
            self.ask(&farewell, is_away).await;
        }
    }

    /// Asks; whether there was an answer.
    async fn ask(&self, ask: &Ask, was_away: bool) -> bool {
        let terms = *self.book.lock().share.terms();
        let sent_on = Instant::now();
        let answer = self.store.ask_budget(self.target, self.owner, &terms, ask);
        let answer = tokio::time::timeout(limits::BUDGET_ANSWER_WITHIN, answer).await;
        let trouble = match answer {
            Ok(Ok(Some(answer))) => {
                let now = Instant::now();
                let mut state = self.book.lock();
                state.share.answered(ask, sent_on, &answer);
                if let Some(tokens) = &mut state.tokens {
                    tokens.taken(ask.tokens, now + answer.wait.max(Duration::ZERO));
                }
                drop(state);
                self.book.changed.send_replace(());
                self.book.hand_out();
                return true;
            }
            Ok(Ok(None)) => "an older question".to_owned(),
            Ok(Err(error)) => chain(&error).to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        self.book.lock().share.failed(Instant::now());
        if !was_away {
            tracing::warn!(
                target.name = %self.target, error = %trouble,
                "The target's request budget can't be asked for: no more is sent than was granted"
            );
        }
        false
    }
}
