// SPDX-License-Identifier: MIT OR Apache-2.0
//! What this thread's work takes in instructions, the kernel's for it included, where the machine
//! has counters: many virtual ones have none.

use perf_event::{Builder, Counter, events::Hardware};

/// A counter, if there is one.
#[derive(Debug)]
pub(crate) struct Instructions {
    counter: Option<Counter>,
}

impl Instructions {
    /// This machine's.
    pub(crate) fn open() -> Self {
        let mut builder = Builder::new().kind(Hardware::INSTRUCTIONS);
        builder.include_kernel();
        Self {
            counter: builder.build().ok(),
        }
    }

    /// Does the work; how many instructions it has taken.
    pub(crate) fn count<T>(
        &mut self,
        work: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<(T, Option<f64>)> {
        let Some(counter) = &mut self.counter else {
            return Ok((work()?, None));
        };
        counter.reset()?;
        counter.enable()?;
        let done = work();
        counter.disable()?;
        let taken = u32::try_from(counter.read()? / 1_000).map(|taken| 1_000.0 * f64::from(taken));
        Ok((done?, taken.ok()))
    }
}

#[cfg(test)]
mod tests {
    use super::Instructions;
    use perf_event::{Builder, events::Software};
    use std::hint::black_box;

    #[test]
    fn work_without_a_counter_is_done() -> anyhow::Result<()> {
        let mut none = Instructions { counter: None };
        assert_eq!(none.count(|| Ok(7))?, (7, None));
        Ok(())
    }

    /// Of another kind, which is the kernel's own.
    #[test]
    fn only_the_work_is_counted() -> anyhow::Result<()> {
        let mut builder = Builder::new().kind(Software::TASK_CLOCK);
        builder.include_kernel();
        let counter = Some(builder.build()?);
        let mut clock = Instructions { counter };
        let sum = || black_box((0..10_000_000_u64).fold(0, |sum, number| sum ^ black_box(number)));
        let (_, long) = clock.count(|| Ok(sum()))?;
        let ((), short) = clock.count(|| Ok(()))?;
        assert!(long > short && short.is_some(), "{long:?}, {short:?}");
        Ok(())
    }
}
