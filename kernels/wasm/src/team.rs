//! Threads of one run: a work counter, a barrier between phases, and the sleep of helpers between runs.

use core::sync::atomic::{AtomicU32, Ordering::*};

/// Turns of a spin in a run before a thread sleeps (some tens of microseconds).
const SPINS: u32 = 20_000;
/// The same between runs (some milliseconds): the next token follows within one or two, and waking a thread can take as long.
const PATIENT_SPINS: u32 = 3_000_000;

/// State shared by the threads, 256 bytes in linear memory; JavaScript writes `stop` and `failed` (see `backends/wasm/workers.ts`).
/// Counters that different threads hammer lie on lines of their own.
#[repr(C)]
pub struct Shared {
    generation: AtomicU32,
    stop: AtomicU32,
    failed: AtomicU32,
    program: AtomicU32,
    table: AtomicU32,
    sleepers: AtomicU32,
    pad0: [u32; 10],
    arrived: AtomicU32,
    pad1: [u32; 15],
    phase: AtomicU32,
    pad2: [u32; 15],
    next: AtomicU32,
    pad3: [u32; 15],
}

impl Shared {
    /// Publishes a run and wakes helpers that sleep.
    pub fn start(&self, program: u32, table: u32) {
        self.program.store(program, Relaxed);
        self.table.store(table, Relaxed);
        self.generation.fetch_add(1, SeqCst);
        self.wake(&self.generation);
    }

    /// Waits for a run; `None` when the backend closes.
    pub fn next_run(&self, seen: &mut u32) -> Option<(u32, u32)> {
        self.wait_while(&self.generation, *seen, PATIENT_SPINS, true);
        *seen = self.generation.load(SeqCst);
        let run = (self.program.load(Relaxed), self.table.load(Relaxed));
        if self.stop.load(SeqCst) + self.failed.load(SeqCst) != 0 { None } else { Some(run) }
    }

    /// Returns once `*cell != value` or a thread failed. Sleeping needs `may_wait` (never on a browser's main thread).
    fn wait_while(&self, cell: &AtomicU32, value: u32, spins: u32, may_wait: bool) {
        let mut turns = 0;
        while cell.load(Acquire) == value && self.failed.load(Relaxed) == 0 {
            turns += 1;
            if may_wait && turns > spins {
                self.sleep(cell, value);
            }
        }
    }

    #[cfg(target_feature = "atomics")]
    fn sleep(&self, cell: &AtomicU32, value: u32) {
        self.sleepers.fetch_add(1, SeqCst);
        // The timeout is only for a failure that is announced between the test and the sleep.
        unsafe { core::arch::wasm32::memory_atomic_wait32(cell.as_ptr() as *mut i32, value as i32, 100_000_000) };
        self.sleepers.fetch_sub(1, SeqCst);
    }

    #[cfg(not(target_feature = "atomics"))]
    fn sleep(&self, _: &AtomicU32, _: u32) {}

    /// Waking costs a system call, so only if somebody sleeps: a sleeper counts itself before it tests the cell again.
    #[cfg(target_feature = "atomics")]
    fn wake(&self, cell: &AtomicU32) {
        if self.sleepers.load(SeqCst) != 0 {
            unsafe { core::arch::wasm32::memory_atomic_notify(cell.as_ptr() as *mut i32, u32::MAX) };
        }
    }

    #[cfg(not(target_feature = "atomics"))]
    fn wake(&self, _: &AtomicU32) {}
}

/// Query heads in one pass over rows, at most.
pub const PASS: usize = 4;

/// Does `$work` for the query heads of a group, `$R` of them from number `$g` on at a time.
#[macro_export]
macro_rules! passes {
    ($group:expr, $g:ident, $R:ident => $work:expr) => {
        for $g in (0..$group).step_by($crate::team::PASS) {
            match $group - $g {
                1 => { const $R: usize = 1; $work }
                2 => { const $R: usize = 2; $work }
                3 => { const $R: usize = 3; $work }
                _ => { const $R: usize = 4; $work }
            }
        }
    };
}

/// One thread's view of the team.
pub struct Team<'a> {
    /// This thread, 0 is the caller.
    pub thread: usize,
    /// All of them, 1 or more.
    pub threads: usize,
    /// May this thread sleep?
    pub may_wait: bool,
    /// The common state.
    pub shared: &'a Shared,
}

impl Team<'_> {
    /// Calls `work(i)` for this thread's share of items [0, count), first come first served. What an item computes depends on
    /// `i` alone, so results do not depend on the number of threads.
    #[inline(always)]
    pub fn each(&self, count: usize, mut work: impl FnMut(usize)) {
        // One thread takes all, and a single item is not worth an atomic. One place calls `work`, so that it is compiled once.
        let alone = self.threads == 1 || count == 1;
        let take = |i: usize| if alone { i } else { self.shared.next.fetch_add(1, Relaxed) as usize };
        let mut i = if alone && self.thread != 0 { count } else { take(0) };
        while i < count {
            work(i);
            i = take(i + 1);
        }
    }

    /// Calls `work(from, to)` over [0, count) in fixed chunks of `grain`.
    #[inline(always)]
    pub fn chunks(&self, count: usize, grain: usize, mut work: impl FnMut(usize, usize)) {
        self.each(count.div_ceil(grain), |i| work(i * grain, count.min(i * grain + grain)));
    }

    /// Waits for all threads; false if one of them died.
    pub fn barrier(&self) -> bool {
        if self.threads == 1 {
            return true;
        }
        let shared = self.shared;
        let phase = shared.phase.load(Acquire);
        if shared.arrived.fetch_add(1, AcqRel) + 1 == self.threads as u32 {
            shared.arrived.store(0, Relaxed);
            shared.next.store(0, Relaxed);
            shared.phase.store(phase.wrapping_add(1), SeqCst);
            shared.wake(&shared.phase);
        } else {
            shared.wait_while(&shared.phase, phase, SPINS, self.may_wait);
        }
        shared.failed.load(Relaxed) == 0
    }
}
