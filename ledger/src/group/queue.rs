//! The bounded queue between callers and writers.
//!
//! Idle writers wait on a stack, and the one that went idle last is woken first: under light load one connection does
//! all the work and its caches stay warm, the others join only while it is busy. The lock is held for a push or a drain
//! and never across an await.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    capacity: usize,
}

struct State<T> {
    units: VecDeque<T>,
    idle: Vec<Arc<Notify>>,
    closed: bool,
}

/// Why a unit was not taken in; it is given back.
pub(super) enum Rejected {
    Full,
    Closed,
}

impl<T> Queue<T> {
    pub(super) fn new(capacity: usize) -> Queue<T> {
        let state = State {
            units: VecDeque::new(),
            idle: Vec::new(),
            closed: false,
        };
        Queue {
            state: Mutex::new(state),
            capacity: capacity.max(1),
        }
    }

    /// Adds a unit and wakes one idle writer, if there is one.
    pub(super) fn push(&self, unit: T) -> Result<(), Rejected> {
        let mut state = self.lock();
        if state.closed {
            return Err(Rejected::Closed);
        }
        if state.units.len() >= self.capacity {
            return Err(Rejected::Full);
        }
        state.units.push_back(unit);
        let idle = state.idle.pop();
        drop(state);
        if let Some(writer) = idle {
            writer.notify_one();
        }
        Ok(())
    }

    /// All that is queued, up to `limit`; waits while there is nothing. Empty only when closed and drained.
    pub(super) async fn take(&self, limit: usize, writer: &Arc<Notify>) -> Vec<T> {
        loop {
            {
                let mut state = self.lock();
                if !state.units.is_empty() {
                    let n = state.units.len().min(limit.max(1));
                    return state.units.drain(..n).collect();
                }
                if state.closed {
                    return Vec::new();
                }
                state.idle.push(Arc::clone(writer));
            }
            // A wake-up between the unlock and this wait is kept by the Notify.
            writer.notified().await;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.lock().units.len()
    }

    /// Takes no more units; those inside are still given out.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        for writer in state.idle.drain(..) {
            writer.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_writer_that_went_idle_last_is_woken_first() {
        let queue = Arc::new(Queue::new(10));
        let (finished, mut done) = tokio::sync::mpsc::unbounded_channel();
        for name in ["first", "last"] {
            let (queue, finished) = (Arc::clone(&queue), finished.clone());
            tokio::spawn(async move {
                let me = Arc::new(Notify::new());
                while let [unit, ..] = queue.take(1, &me).await[..] {
                    finished.send((name, unit)).unwrap();
                }
            });
            tokio::task::yield_now().await; // until it waits
        }
        for unit in 0..3 {
            assert!(queue.push(unit).is_ok());
            assert_eq!(done.recv().await, Some(("last", unit)));
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn it_is_bounded_and_drains_after_closing() {
        let queue = Queue::new(2);
        let me = Arc::new(Notify::new());
        assert!(queue.push(1).is_ok() && queue.push(2).is_ok());
        assert!(matches!(queue.push(3), Err(Rejected::Full)));
        queue.close();
        assert!(matches!(queue.push(3), Err(Rejected::Closed)));
        assert_eq!(queue.take(1, &me).await, [1]);
        assert_eq!(queue.take(9, &me).await, [2]);
        assert_eq!(queue.take(9, &me).await, [0; 0]);
    }
}
