//! A small fuzzer for parsers of stored bytes: valid samples, altered at random, and random bytes. It
//! lives in the tests of the crates whose parsers it feeds and runs with all others.
//!
//! Each run has a seed of its own, which a failure prints with the input. The environment repeats or
//! prolongs it: `LOGISEDGE_FUZZ_SEED` (a number) and `LOGISEDGE_FUZZ_ITERATIONS`.

mod alter;
mod memory;
mod random;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{SystemTime, UNIX_EPOCH};

pub use random::Random;

/// The variable with the seed to repeat.
pub const SEED: &str = "LOGISEDGE_FUZZ_SEED";
/// The variable with how many inputs each parser gets.
pub const ITERATIONS: &str = "LOGISEDGE_FUZZ_ITERATIONS";

/// Most bytes of an input that are printed.
const SHOWN_BYTES_MAX: usize = 4096;

/// One parser that is fed.
#[derive(Debug)]
pub struct Fuzz {
    name: &'static str,
    seed: u64,
    iterations: u64,
    samples: Vec<Vec<u8>>,
    memory_bytes_max: u64,
}

impl Fuzz {
    /// Will feed a parser `iterations` times, unless the environment says otherwise.
    pub fn new(name: &'static str, iterations: u64) -> Self {
        let of = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let seed = now.map_or(1, |now| now.as_nanos() as u64);
        Self {
            name,
            seed: of(SEED).unwrap_or(seed),
            iterations: of(ITERATIONS).unwrap_or(iterations),
            samples: Vec::new(),
            memory_bytes_max: 256 << 20,
        }
    }

    /// Adds what the parser takes: most inputs are this, altered.
    pub fn sample(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.samples.push(bytes.into());
        self
    }

    /// How far the process may grow meanwhile, where the system tells (Linux). 256 MiB unless it is
    /// said here.
    pub fn memory_bytes_max(mut self, bytes: u64) -> Self {
        self.memory_bytes_max = bytes;
        self
    }

    /// Feeds the samples themselves, then altered ones.
    ///
    /// # Panics
    /// When the parser does, after printing how to repeat it; and when the process grew too much.
    pub fn run(self, mut parse: impl FnMut(&[u8])) {
        println!(
            "{}: {SEED}={} {ITERATIONS}={}",
            self.name, self.seed, self.iterations
        );
        let before = memory::peak_bytes();
        for sample in &self.samples {
            self.feed(0, sample, &mut parse);
        }
        let mut random = Random::new(self.seed);
        for iteration in 1..=self.iterations {
            let input = alter::input(&self.samples, &mut random);
            self.feed(iteration, &input, &mut parse);
        }
        if let (Some(before), Some(after)) = (before, memory::peak_bytes()) {
            let grown = after.saturating_sub(before);
            assert!(
                grown <= self.memory_bytes_max,
                "{}: it asked for {grown} bytes of memory, {} are allowed ({SEED}={})",
                self.name,
                self.memory_bytes_max,
                self.seed
            );
        }
    }

    fn feed(&self, iteration: u64, input: &[u8], parse: &mut impl FnMut(&[u8])) {
        let fed = catch_unwind(AssertUnwindSafe(|| parse(input)));
        if let Err(panic) = fed {
            let shown = &input[..input.len().min(SHOWN_BYTES_MAX)];
            eprintln!(
                "{}: input {iteration} of {SEED}={} of {} bytes: {}",
                self.name,
                self.seed,
                input.len(),
                shown.escape_ascii()
            );
            resume_unwind(panic);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_inputs() {
        let inputs = |seed| {
            let fuzz = Fuzz {
                seed,
                iterations: 200,
                ..Fuzz::new("inputs", 0)
            };
            let mut seen = Vec::new();
            fuzz.sample(*b"{\"length\":17}")
                .run(|input| seen.push(input.to_vec()));
            seen
        };
        assert_eq!(inputs(7), inputs(7));
        assert_ne!(inputs(7), inputs(8));
        let seen = inputs(7);
        assert_eq!(seen.len(), 201);
        assert!(seen.iter().filter(|input| **input != seen[0]).count() > 190);
    }

    #[test]
    #[should_panic(expected = "on purpose")]
    fn a_panic_is_passed_on() {
        Fuzz::new("panics", 1).run(|_| panic!("on purpose"));
    }

    #[test]
    #[should_panic(expected = "bytes of memory")]
    #[cfg(target_os = "linux")]
    fn what_asks_for_too_much_memory_is_caught() {
        let mut kept = Vec::new();
        Fuzz::new("greedy", 1)
            .memory_bytes_max(1 << 20)
            .run(|_| kept.push(vec![0u8; 300 << 20]));
    }
}
