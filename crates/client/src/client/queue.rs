//! What waits for one reader: bounded, and never silent about what had to go.

use super::lock;
use crate::Missed;
use futures_util::task::AtomicWaker;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::task::{Context, Poll};

/// A queue gives room back when it is empty and has room for more than this many items.
const KEPT_ITEMS: usize = 1024;

/// How much waits for a reader.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) items: usize,
    pub(crate) bytes: usize,
}

/// Items in order, for one reader. When it is full, the oldest go, and the reader is told how many.
pub(crate) struct Queue<T> {
    bounds: Bounds,
    inner: Mutex<Inner<T>>,
    reader: AtomicWaker,
}

struct Inner<T> {
    /// With the bytes of each.
    items: VecDeque<(T, usize)>,
    bytes: usize,
    missed: u64,
    closed: bool,
}

impl<T> Queue<T> {
    pub(crate) fn new(bounds: Bounds) -> Self {
        let inner = Inner { items: VecDeque::new(), bytes: 0, missed: 0, closed: false };
        Self { bounds, inner: Mutex::new(inner), reader: AtomicWaker::new() }
    }

    /// Puts `item`, which holds `bytes` bytes of text, behind all others. Whether the queue is more than half full, so that its reader should have a turn.
    pub(crate) fn push(&self, item: T, bytes: usize) -> bool {
        let mut inner = lock(&self.inner);
        if inner.closed {
            return false;
        }
        inner.bytes += bytes;
        inner.items.push_back((item, bytes));
        // One item has room, whatever its size.
        while inner.items.len() > 1 && (inner.items.len() > self.bounds.items || inner.bytes > self.bounds.bytes) {
            if let Some((_, bytes)) = inner.items.pop_front() {
                inner.bytes -= bytes;
                inner.missed += 1;
            }
        }
        let half_full = inner.items.len() > self.bounds.items / 2 || inner.bytes > self.bounds.bytes / 2;
        drop(inner);
        self.reader.wake();
        half_full
    }

    /// Nothing more will come. What waits can still be read.
    pub(crate) fn close(&self) {
        lock(&self.inner).closed = true;
        self.reader.wake();
    }

    /// The reader is gone: nothing is kept for it any more.
    pub(crate) fn abandon(&self) {
        let mut inner = lock(&self.inner);
        inner.closed = true;
        inner.items = VecDeque::new();
        drop(inner);
        // Dropped here, and not by whoever forgets the queue, maybe under a lock.
        drop(self.reader.take());
    }

    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.inner).closed
    }

    /// The next item; how many went before it, if any did; `None` after the last. Only one task may wait.
    pub(crate) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Result<T, Missed>>> {
        // Registered before it is looked at, so that what comes meanwhile wakes.
        self.reader.register(cx.waker());
        let mut inner = lock(&self.inner);
        if inner.missed > 0 {
            let count = std::mem::take(&mut inner.missed);
            return Poll::Ready(Some(Err(Missed { count })));
        }
        if let Some((item, bytes)) = inner.items.pop_front() {
            inner.bytes -= bytes;
            if inner.items.is_empty() && inner.items.capacity() > KEPT_ITEMS {
                inner.items = VecDeque::new();
            }
            return Poll::Ready(Some(Ok(item)));
        }
        if inner.closed { Poll::Ready(None) } else { Poll::Pending }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use proptest::prelude::*;
    use std::future::poll_fn;
    use std::sync::Arc;

    fn next(queue: &Queue<u32>) -> Option<Option<Result<u32, Missed>>> {
        poll_fn(|cx| queue.poll_next(cx)).now_or_never()
    }

    #[test]
    fn the_oldest_go_and_the_reader_is_told() {
        for (bounds, kept) in
            [(Bounds { items: 3, bytes: 1000 }, 3), (Bounds { items: 1000, bytes: 24 }, 3), (Bounds { items: 9, bytes: 1 }, 1)]
        {
            let queue = Queue::new(bounds);
            for item in 0..10 {
                queue.push(item, item as usize);
            }
            assert_eq!(next(&queue), Some(Some(Err(Missed { count: 10 - kept }))));
            for item in 10 - kept as u32..10 {
                assert_eq!(next(&queue), Some(Some(Ok(item))));
            }
            assert_eq!(next(&queue), None);
        }
    }

    #[test]
    fn what_waits_is_read_after_the_end() {
        let queue = Queue::new(Bounds { items: 4, bytes: 100 });
        assert!(!queue.push(1, 0) && !queue.push(2, 0) && queue.push(3, 0), "it is told when it is more than half full");
        queue.close();
        assert!(!queue.push(4, 0));
        assert_eq!(next(&queue), Some(Some(Ok(1))));
        assert_eq!(next(&queue), Some(Some(Ok(2))));
        assert_eq!(next(&queue), Some(Some(Ok(3))));
        assert_eq!(next(&queue), Some(None));
        queue.abandon();
        assert_eq!(next(&queue), Some(None));
    }

    proptest! {
        /// Whatever the bounds and however it is read: every item is read in order, or counted as missed, and none twice.
        #[test]
        fn nothing_goes_silently(items in 1..20_usize, bytes in 1..60_usize, reads in prop::collection::vec(any::<bool>(), 0..200)) {
            let queue = Queue::new(Bounds { items, bytes });
            let (mut pushed, mut seen) = (0, 0);
            for read in reads.into_iter().chain(std::iter::repeat_n(true, 200)) {
                if !read {
                    queue.push(pushed, pushed as usize % 10);
                    pushed += 1;
                } else {
                    match next(&queue) {
                        Some(Some(Ok(item))) => { prop_assert_eq!(item, seen); seen += 1; }
                        Some(Some(Err(Missed { count }))) => seen += u32::try_from(count).unwrap(),
                        other => prop_assert!(other.is_none() && seen == pushed),
                    }
                }
            }
            prop_assert_eq!(seen, pushed);
        }
    }

    /// A reader on another thread is always woken.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_reader_elsewhere_hears_of_everything() {
        const MANY: u32 = 100_000;
        let queue = Arc::new(Queue::new(Bounds { items: MANY as usize, bytes: usize::MAX }));
        let reader = Arc::clone(&queue);
        let read = tokio::spawn(async move {
            let mut expected = 0;
            while let Some(item) = poll_fn(|cx| reader.poll_next(cx)).await {
                assert_eq!(item, Ok(expected));
                expected += 1;
            }
            expected
        });
        for item in 0..MANY {
            queue.push(item, 0);
        }
        queue.close();
        assert_eq!(read.await.unwrap(), MANY);
    }
}
