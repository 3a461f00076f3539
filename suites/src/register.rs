//! `UFFDIO_REGISTER`: UFFDIO_REGISTER(2const).

use crate::prelude::*;

/// A range of every memory type can be registered for missing faults.
#[apply(every_memory)]
fn missing_is_accepted(memory: Memory) -> Outcome {
    begin!(statements: ["REG-001", "REG-002", "REG-003"], axes: [memory, Mode::MISSING])?;
    Scene::new(memory, Mode::MISSING, 2)?;
    Ok(())
}
