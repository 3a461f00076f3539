//! The mappings of this process as a perversion needs them: `/proc/self/maps`, proc_pid_maps(5).

/// One mapping.
pub(super) struct Vma {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) shared: bool,
    pub(super) writable: bool,
    /// How far into its file it begins.
    pub(super) offset: u64,
    /// What the kernel calls the file; empty for anonymous memory.
    pub(super) path: String,
}

impl Vma {
    /// The file of a mapping, opened through the kernel's own link to it.
    pub(super) fn file(&self) -> Option<std::fs::File> {
        let link = format!("/proc/self/map_files/{:x}-{:x}", self.start, self.end);
        std::fs::OpenOptions::new().read(true).write(true).open(link).ok()
    }
}

fn parse(line: &str) -> Option<Vma> {
    let mut words = line.split_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    let (permissions, offset) = (words.next()?, words.next()?);
    let path = words.nth(2).unwrap_or_default().to_owned();
    let (shared, writable) = (permissions.ends_with('s'), permissions.contains('w'));
    Some(Vma { start: number(start)?, end: number(end)?, shared, writable, offset: number(offset)?, path })
}

/// The mappings that touch `start..end`, in order.
pub(super) fn within(start: u64, end: u64) -> Vec<Vma> {
    let text = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    text.lines().filter_map(parse).filter(|vma| vma.start < end && vma.end > start).collect()
}

/// The mapping there.
pub(super) fn at(address: u64) -> Option<Vma> {
    within(address, address.saturating_add(1)).pop()
}

/// Whether part of `start..end` is not mapped.
pub(super) fn has_gaps(start: u64, end: u64) -> bool {
    let mapped: u64 = within(start, end).iter().map(|vma| vma.end.min(end) - vma.start.max(start)).sum();
    mapped < end - start
}
