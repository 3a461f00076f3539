//! Runs cases in their cells, several at once, and tells each step to whoever keeps the record.

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::case::{Case, Verdict};
use crate::error::Named as _;
use crate::isolate::{self, Cell, Finding};
use crate::kernel::leftover;
use crate::kernel::pool::Loan;
use crate::kernel::{self, Kernel};
use crate::record::{Axes, CaseResult, Counts, End, Entry, Run, Start};
use crate::watch::Watch;
use crate::{Result, kernel::feature, sys};

/// How a run is to be made.
#[derive(Debug, Clone)]
pub struct Options {
    /// Cases at once; at least 1.
    pub jobs: usize,
    /// How long a case may take.
    pub time_limit: Duration,
    /// The version of the suite, for the record.
    pub suite: String,
    /// Whether the run goes on with one that died.
    pub resumed: bool,
}

/// Says of a failed case whether it is a known deviation of this kernel: the words to it.
pub type Judge<'a> = dyn Fn(&Case, &str, &Kernel) -> Option<String> + 'a;

/// Is told each entry of the record, in order; an error ends the run.
pub type Sink<'a> = dyn FnMut(&Entry) -> Result<()> + 'a;

/// A process that is ready to run cases: hugepages lent, kernel probed, signals taken as events.
///
/// To be made and used while the process has one thread.
pub struct Session {
    kernel: Kernel,
    cells: Vec<Cell>,
    watch: Watch,
    signals: Signals,
    cleaned: Vec<String>,
    _loan: Option<Loan>,
    /// Children that are nobody's leftovers: the run's keepers, and what was there before.
    children: Vec<i32>,
}

impl Session {
    /// Gets ready to run these cases, `jobs` at once; one at once where nothing keeps them apart.
    pub fn begin(cases: &[Case], jobs: usize) -> Result<Self> {
        let jobs = if kernel::lock::are_offered() { jobs.max(1) } else { 1 };
        // Orphans of a case come to us instead of init, so that they can be reaped.
        let _ = nix::sys::prctl::set_child_subreaper(true);
        sys::share_one_heap();
        let signals = Signals::block()?;
        let cleaned = leftover::clean();
        let loan = lend_hugepages(cases, jobs);
        let kernel = Kernel::probe();
        // Asked once, for all cases to come.
        let _ = (kernel::current(), kernel::thp_size(), kernel::default_hugepage_size());
        let cells = (0..jobs).map(|_| Cell::new()).collect::<Result<_>>()?;
        let (watch, children) = (Watch::begin(), isolate::children());
        Ok(Self { kernel, cells, watch, signals, cleaned, _loan: loan, children })
    }

    /// The same with another kernel log than this machine's.
    pub fn watching(self, watch: Watch) -> Self {
        Self { watch, ..self }
    }

    /// What was cleaned up when the session began: leftovers of runs that were killed.
    pub fn cleaned(&self) -> &[String] {
        &self.cleaned
    }

    /// The kernel as probed when the session began.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// Runs cases in order and tells `sink` of each start and verdict; gives the counts, and whether a signal ended it early.
    pub fn run(
        &mut self,
        cases: &[Case],
        limit: Duration,
        judge: &Judge<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(Counts, bool)> {
        let cells = std::mem::take(&mut self.cells).into_iter().map(|cell| (cell, None)).collect();
        let mut runner = Runner {
            cells,
            judge,
            sink,
            counts: Counts::default(),
            watch: &mut self.watch,
            children: &self.children,
            kernel: &self.kernel,
        };
        let worked = runner.work(cases, limit, &self.signals);
        let counts = runner.counts;
        self.cells = runner.cells.into_iter().map(|(cell, _)| cell).collect();
        if !matches!(worked, Ok(false)) {
            for cell in &mut self.cells {
                cell.kill();
            }
            // Whoever puts something back for a case that was killed is done when this returns.
            isolate::sweep_orphans(&self.children);
        }
        Ok((counts, worked?))
    }
}

/// Runs `cases` in order and tells `sink` every entry of the record; gives the counts, and whether a signal ended it early.
///
/// To be called while the process has one thread. Hugepages that the cases need are lent for the time of the run.
pub fn run(cases: &[Case], options: &Options, judge: &Judge<'_>, sink: &mut Sink<'_>) -> Result<(Counts, bool)> {
    let begun = Instant::now();
    let mut session = Session::begin(cases, options.jobs)?;
    sink(&Entry::Run(Box::new(Run {
        suite: options.suite.clone(),
        features: feature::names(session.kernel.features),
        kernel: session.kernel.clone(),
        cases: cases.len(),
        jobs: session.cells.len(),
        time_limit: options.time_limit.as_secs(),
        resumed: options.resumed,
        cleaned: session.cleaned().to_vec(),
        unwatched: session.watch.unwatched().map(str::to_owned),
    })))?;
    let (counts, interrupted) = session.run(cases, options.time_limit, judge, sink)?;
    sink(&Entry::End(End { counts, millis: begun.elapsed().as_millis() as u64, interrupted }))?;
    Ok((counts, interrupted))
}

/// The hugepages that the hungriest cases need at once, lent until they are dropped.
///
/// Half of the free memory stays free: a case that needs more than that is skipped.
fn lend_hugepages(cases: &[Case], jobs: usize) -> Option<Loan> {
    // Larger pages are only used if somebody has set them up: they cost gigabytes.
    let size = kernel::default_hugepage_size();
    let most = kernel::machine::meminfo("MemAvailable")? as usize * 1024 / 2 / size;
    let needs = cases.iter().filter_map(|case| case.declaration.hugepages());
    let hungriest = needs.filter(|need| need.0 == size && need.1 <= most).map(|(_, count)| count).max()?;
    Loan::new(size, (hungriest * jobs).min(most) as u64)
}

/// The state of one run.
struct Runner<'a, 's> {
    cells: Vec<(Cell, Option<&'a Case>)>,
    judge: &'a Judge<'a>,
    sink: &'a mut Sink<'s>,
    counts: Counts,
    watch: &'a mut Watch,
    children: &'a [i32],
    kernel: &'a Kernel,
}

impl<'a> Runner<'a, '_> {
    fn work(&mut self, cases: &'a [Case], limit: Duration, signals: &Signals) -> Result<bool> {
        let mut waiting: VecDeque<&Case> = cases.iter().collect();
        loop {
            while let Some(free) = self.cells.iter().position(|(cell, _)| cell.is_free()) {
                let Some(at) = waiting.iter().position(|case| self.fits(case)) else { break };
                let Some(case) = waiting.remove(at) else { break };
                self.begin(free, case, limit)?;
            }
            if self.cells.iter().all(|(cell, _)| cell.is_free()) {
                return Ok(false);
            }
            let deadline = self.cells.iter().filter_map(|(cell, _)| cell.deadline()).min();
            if signals.wait(deadline)? {
                return Ok(true);
            }
            for index in 0..self.cells.len() {
                let Some((finding, elapsed)) = self.cells[index].0.finish() else { continue };
                let Some(case) = self.cells[index].1.take() else { continue };
                let running = self.cells.iter().filter_map(|(cell, _)| cell.pid());
                let ours: Vec<i32> = self.children.iter().copied().chain(running).collect();
                let finding = finding.with_left_behind(isolate::sweep_orphans(&ours));
                self.end(case, finding, elapsed)?;
            }
        }
    }

    /// Whether the pools hold enough for the case beside those that run; a case that never fits is skipped, which needs no pages.
    fn fits(&self, case: &Case) -> bool {
        let Some((size, count)) = case.declaration.hugepages() else { return true };
        if case.declaration.lack(self.kernel).is_some() {
            return true;
        }
        let Some(pool) = self.kernel.machine.pool(size) else { return true };
        let used: usize = self
            .cells
            .iter()
            .filter(|(cell, _)| !cell.is_free())
            .filter_map(|(_, case)| case.as_ref()?.declaration.hugepages())
            .filter(|(other, _)| *other == size)
            .map(|(_, count)| count)
            .sum();
        // One that runs alone is never held back: every case gets a verdict.
        used == 0 || used + count <= pool.available() as usize
    }

    fn begin(&mut self, cell: usize, case: &'a Case, limit: Duration) -> Result<()> {
        (self.sink)(&Entry::Start(Start { case: case.declaration.name.clone() }))?;
        if let Some(lack) = case.declaration.lack(self.kernel) {
            return self.end(case, Finding::skipped(lack), Duration::ZERO);
        }
        match self.cells[cell].0.start(case, limit) {
            Ok(()) => {
                self.cells[cell].1 = Some(case);
                Ok(())
            }
            Err(error) => self.end(case, Finding::from(error), Duration::ZERO),
        }
    }

    fn end(&mut self, case: &Case, finding: Finding, elapsed: Duration) -> Result<()> {
        let Finding { mut verdict, mut reason, lacks, variant } = finding;
        let log = self.watch.news();
        if !log.is_empty() && matches!(verdict, Verdict::Pass | Verdict::Skip) {
            verdict = Verdict::Fail;
            let beside: Vec<&str> =
                self.cells.iter().filter_map(|(_, case)| Some(case.as_ref()?.declaration.name.as_str())).collect();
            let beside =
                if beside.is_empty() { String::new() } else { format!("; beside it ran {}", beside.join(", ")) };
            reason = Some(format!("the kernel logged: {}{beside}", log.join(" | ")));
        }
        // No deviation is known to make the kernel warn.
        if verdict == Verdict::Fail
            && log.is_empty()
            && let Some(known) = (self.judge)(case, reason.as_deref().unwrap_or_default(), self.kernel)
        {
            verdict = Verdict::Known;
            reason = Some(format!("{known}; seen: {}", reason.unwrap_or_default()));
        }
        self.counts.add(verdict);
        let declaration = &case.declaration;
        (self.sink)(&Entry::Case(Box::new(CaseResult {
            case: declaration.name.clone(),
            area: declaration.area.clone(),
            axes: Axes(declaration.axes.clone()),
            statements: declaration.statements.iter().map(|id| (*id).to_owned()).collect(),
            verdict,
            reason,
            lacks: if verdict == Verdict::Skip { lacks } else { None },
            variant,
            micros: elapsed.as_micros() as u64,
            log,
        })))
    }
}

/// SIGCHLD and the signals that end a run, taken as events instead of as interruptions.
struct Signals {
    fd: SignalFd,
    before: SigSet,
}

impl Signals {
    fn block() -> Result<Self> {
        let mut set = SigSet::empty();
        for signal in [Signal::SIGCHLD, Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            set.add(signal);
        }
        let mut before = SigSet::empty();
        pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&set), Some(&mut before)).named("pthread_sigmask")?;
        let fd = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).named("signalfd")?;
        Ok(Self { fd, before })
    }

    /// Waits for a signal or the deadline; says whether the run is to end.
    fn wait(&self, deadline: Option<Instant>) -> Result<bool> {
        let timeout = deadline.map_or(PollTimeout::NONE, |deadline| {
            let millis = deadline.saturating_duration_since(Instant::now()).as_millis() + 1;
            PollTimeout::try_from(millis.min(60_000) as i32).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(crate::Error::call("poll", errno)),
        }
        let mut over = false;
        while let Ok(Some(signal)) = self.fd.read_signal() {
            over |= signal.ssi_signo != libc::SIGCHLD as u32;
        }
        Ok(over)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&self.before), None);
    }
}
