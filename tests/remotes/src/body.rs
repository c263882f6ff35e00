//! The body of an answer: whole, in slow pieces, or cut off in the middle.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use crate::exchange::InFlightGuard;

/// The body of an answer.
pub(crate) enum ResponseBody {
    /// All at once.
    Whole(Bytes),
    /// Piece by piece.
    Slow(Box<SlowBody>),
    /// Half of what was announced, then the connection is closed.
    CutOff(Box<CutOffBody>),
}

/// A body that trickles; the request stays in flight until its last piece.
pub(crate) struct SlowBody {
    rest: Bytes,
    chunk_bytes: usize,
    pause: Duration,
    timer: Pin<Box<Sleep>>,
    in_flight: Option<InFlightGuard>,
}

/// A body that promises more than it gives.
pub(crate) struct CutOffBody {
    half: Bytes,
    announced: u64,
    flushed: bool,
}

/// The end of a body that was cut off.
#[derive(Debug, thiserror::Error)]
#[error("The body was cut off on purpose")]
pub(crate) struct CutOff;

impl ResponseBody {
    /// A body of pieces of `chunk_bytes`, each after a `pause`.
    pub(crate) fn slow(
        body: Bytes,
        chunk_bytes: usize,
        pause: Duration,
        in_flight: InFlightGuard,
    ) -> Self {
        Self::Slow(Box::new(SlowBody {
            rest: body,
            chunk_bytes: chunk_bytes.max(1),
            pause,
            timer: Box::pin(sleep(pause)),
            in_flight: Some(in_flight),
        }))
    }

    /// Announces `body`, sends its first half.
    pub(crate) fn cut_off(body: &Bytes) -> Self {
        let announced = u64::try_from(body.len().max(2)).unwrap_or(u64::MAX);
        let half = body.slice(..body.len() / 2);
        Self::CutOff(Box::new(CutOffBody { half, announced, flushed: false }))
    }
}

impl SlowBody {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.rest.is_empty() {
            self.in_flight = None;
            return Poll::Ready(None);
        }
        ready!(self.timer.as_mut().poll(context));
        let piece = self.rest.split_to(self.chunk_bytes.min(self.rest.len()));
        if self.rest.is_empty() {
            // Before the client can have read it: what it sends next does not overlap.
            self.in_flight = None;
        } else {
            self.timer.set(sleep(self.pause));
        }
        Poll::Ready(Some(piece))
    }
}

impl CutOffBody {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Result<Bytes, CutOff>> {
        if !self.half.is_empty() {
            let half = std::mem::take(&mut self.half);
            self.announced =
                self.announced.saturating_sub(u64::try_from(half.len()).unwrap_or_default());
            return Poll::Ready(Ok(half));
        }
        if !self.flushed {
            // hyper sends what it has when there is nothing more for now; an error at once would
            // take the first half with it.
            self.flushed = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Err(CutOff))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        match &mut *self {
            Self::Whole(rest) if rest.is_empty() => Poll::Ready(None),
            Self::Whole(rest) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(rest))))),
            Self::Slow(slow) => {
                slow.poll_piece(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
            }
            Self::CutOff(body) => {
                body.poll_piece(context).map(|piece| Some(piece.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(rest) => rest.is_empty(),
            Self::Slow(slow) => slow.rest.is_empty(),
            Self::CutOff(..) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        let bytes = |body: &Bytes| u64::try_from(body.len()).unwrap_or(u64::MAX);
        SizeHint::with_exact(match self {
            Self::Whole(rest) => bytes(rest),
            Self::Slow(slow) => bytes(&slow.rest),
            Self::CutOff(body) => body.announced,
        })
    }
}
