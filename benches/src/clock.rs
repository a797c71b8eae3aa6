//! The clock of the benches: the wall's, or on request this thread's processor time, whose ratios
//! stay usable on a machine that is busy with other things (though not its memory figures).

use std::time::{Duration, Instant};

use cpu_time::ThreadTime;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};

/// Set to `cpu`, this variable makes the benches measure processor time.
const VARIABLE: &str = "PERGRAD_BENCH_CLOCK";

/// What is measured.
pub enum Clock {
    /// Time as it passes.
    Wall,
    /// Time that the thread was running.
    Thread,
}

impl Clock {
    /// The wall's, unless `PERGRAD_BENCH_CLOCK` is `cpu`.
    ///
    /// # Panics
    /// If the variable holds something else.
    pub fn from_env() -> Self {
        match std::env::var(VARIABLE).as_deref() {
            Err(_) | Ok("" | "wall") => Clock::Wall,
            Ok("cpu") => Clock::Thread,
            Ok(other) => panic!("{VARIABLE} is `{other}`, `wall` or `cpu` is needed"),
        }
    }
}

/// A point in time.
pub enum Moment {
    /// Of the wall clock.
    Wall(Instant),
    /// Of the thread.
    Thread(ThreadTime),
}

impl Measurement for Clock {
    type Intermediate = Moment;
    type Value = Duration;

    fn start(&self) -> Moment {
        match self {
            Clock::Wall => Moment::Wall(Instant::now()),
            Clock::Thread => Moment::Thread(ThreadTime::now()),
        }
    }

    fn end(&self, start: Moment) -> Duration {
        match start {
            Moment::Wall(start) => start.elapsed(),
            Moment::Thread(start) => start.elapsed(),
        }
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}
