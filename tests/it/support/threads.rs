//! Threads that begin together.

use std::sync::Barrier;

/// Calls `one` from so many threads at once, with their numbers; what they got.
pub fn at_once<T: Send>(count: usize, one: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let start = Barrier::new(count);
    std::thread::scope(|scope| {
        let (one, start) = (&one, &start);
        let begin = |number| {
            scope.spawn(move || {
                start.wait();
                one(number)
            })
        };
        let threads: Vec<_> = (0..count).map(begin).collect();
        let ended = threads.into_iter().map(|thread| thread.join().unwrap());
        ended.collect()
    })
}
