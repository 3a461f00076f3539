//! Every memory type is what its name says: mapped, empty, between inaccessible neighbours, its alias the same memory.
//!
//! Each check is a case, so that what it maps and breaks is gone with its process.

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use uffd_harness::actor::{Access, Actor, Ending};
use uffd_harness::case::{Case, Outcome, Stop, Verdict};
use uffd_harness::memory::{Memory, Pattern, vma};
use uffd_harness::need::Need;
use uffd_harness::record::Entry;
use uffd_harness::runner::Session;
use uffd_harness::{sys, uffd::Range};

/// The memory type under test, by its place in [`Memory::ALL`]; a case is a fork and sees what was set before it.
static MEMORY: AtomicUsize = AtomicUsize::new(0);

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let trials = Memory::ALL
        .into_iter()
        .enumerate()
        .map(|(index, memory)| {
            Trial::ignorable_test(format!("{memory}_is_what_its_name_says"), move || check(index, memory))
        })
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn check(index: usize, memory: Memory) -> Result<Completion, Failed> {
    MEMORY.store(index, Ordering::Relaxed);
    let mut case = Case::named("memory::check", look);
    case.declaration.memory = Some(memory);
    case.declaration.needs = vec![Need::Memory(memory)];
    let mut verdict = Err("no verdict".into());
    Session::begin(std::slice::from_ref(&case), 1)?.run(
        std::slice::from_ref(&case),
        Duration::from_secs(20),
        &|_, _, _| None,
        &mut |entry| {
            if let Entry::Case(result) = entry {
                let reason = result.reason.clone().unwrap_or_default();
                verdict = match result.verdict {
                    Verdict::Pass => Ok(Completion::Completed),
                    Verdict::Skip => Ok(Completion::ignored_with(reason)),
                    _ => Err(Failed::from(reason)),
                };
            }
            Ok(())
        },
    )?;
    verdict
}

fn require(condition: bool, what: &str) -> Outcome {
    if condition { Ok(()) } else { Err(Stop::Fail(what.to_owned())) }
}

fn look() -> Outcome {
    let memory = Memory::ALL[MEMORY.load(Ordering::Relaxed)];
    let region = memory.map(2)?;
    let page_size = memory.page_size();
    require(region.page_count() >= 2 && region.len() % page_size == 0, "two whole pages")?;
    require(region.start() % page_size == 0, "aligned to its page size")?;
    require(!region.page(0).state()?.present() && !region.page(1).state()?.present(), "nothing is mapped at first")?;
    require(vma::count(region.range())? == 1, "one mapping")?;
    for neighbour in [region.start() - 1, region.end()] {
        let ending = Actor::access(Access::Read, neighbour)?.join()?;
        require(
            matches!(ending, Ending::Signal(info) if info.signal == libc::SIGSEGV),
            "the neighbours are inaccessible",
        )?;
    }
    let (pattern, other) = (Pattern::new(1), Pattern::new(2));
    if memory.has_alias() {
        let alias = region.alias()?;
        alias.page(0).fill(pattern);
        require(!region.page(0).state()?.present(), "filling the alias maps nothing here")?;
        require(region.page(0).differs(pattern).is_none(), "the alias is the same memory")?;
        region.page(0).fill(other);
        require(alias.page(0).differs(other).is_none() == memory.is_shared(), "stores are shared, or private")?;
    } else {
        require(region.page(0).differs(Pattern::ZERO).is_none(), "it reads as zeros")?;
        region.page(0).fill(pattern);
        require(region.page(0).differs(pattern).is_none(), "it keeps what is stored")?;
    }
    // A transparent huge page holds both.
    require(memory == Memory::AnonThp || !region.page(1).state()?.present(), "the second page is untouched")?;
    require(region.page(0).state()?.file() == memory.is_shared() || memory.is_hugetlb(), "pagemap tells file pages")?;
    let behind = Range::new(region.end() as u64, page_size as u64);
    require(sys::advise(behind.start as usize, 4096, libc::MADV_NORMAL).is_ok(), "the neighbour is mapped")
}
