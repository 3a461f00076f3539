//! The mappings of this process as the kernel keeps them: `/proc/self/smaps` and `/proc/self/maps`, proc_pid_smaps(5).

use std::fs::File;
use std::io::{BufRead as _, BufReader};

use crate::uffd::Range;
use crate::{Error, Result, text};

/// One mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vma {
    /// First address.
    pub start: u64,
    /// First address behind it.
    pub end: u64,
    /// The two-letter `VmFlags`, such as `um` (MISSING), `uw` (WP), `ui` (MINOR), `ur` (RWP).
    pub flags: Vec<String>,
    /// The bytes of its pages that are dirty, `Shared_Dirty` and `Private_Dirty` together; hugetlb pages are not counted.
    pub dirty: u64,
}

impl Vma {
    /// The flags that userfaultfd sets, in the order um, uw, ui, ur.
    pub fn uffd_flags(&self) -> Vec<&'static str> {
        ["um", "uw", "ui", "ur"].into_iter().filter(|flag| self.flags.iter().any(|own| own == flag)).collect()
    }
}

/// The mappings that `range` touches, in order of address.
pub fn within(range: Range) -> Result<Vec<Vma>> {
    let path = "/proc/self/smaps";
    let failed = |error| Error::file(path, error);
    let mut text = String::new();
    // Only so far: each mapping costs the kernel a walk of its page table, and most lie behind the regions.
    for line in BufReader::new(File::open(path).map_err(failed)?).lines() {
        let line = line.map_err(failed)?;
        if bounds(&line).is_some_and(|(start, _)| start >= range.end()) {
            break;
        }
        text.push_str(&line);
        text.push('\n');
    }
    Ok(parse(&text).into_iter().filter(|vma| vma.start < range.end() && vma.end > range.start).collect())
}

/// How many mappings `range` is made of; cheaper than [`within`].
pub fn count(range: Range) -> Result<usize> {
    let path = "/proc/self/maps";
    let text = text::read(path).map_err(|error| Error::file(path, error))?;
    Ok(text.lines().filter_map(bounds).filter(|(start, end)| *start < range.end() && *end > range.start).count())
}

/// The mapping of this name, such as `[vdso]` or `[stack]`.
pub fn named(name: &str) -> Result<Option<Range>> {
    let path = "/proc/self/maps";
    let text = text::read(path).map_err(|error| Error::file(path, error))?;
    let line = text.lines().find(|line| line.split_whitespace().nth(5) == Some(name));
    Ok(line.and_then(bounds).map(|(start, end)| Range::new(start, end - start)))
}

fn bounds(line: &str) -> Option<(u64, u64)> {
    let (start, end) = line.split_whitespace().next()?.split_once('-')?;
    Some((u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?))
}

fn parse(smaps: &str) -> Vec<Vma> {
    let mut vmas: Vec<Vma> = Vec::new();
    for line in smaps.lines() {
        if let Some(flags) = line.strip_prefix("VmFlags:") {
            if let Some(vma) = vmas.last_mut() {
                vma.flags = flags.split_whitespace().map(str::to_owned).collect();
            }
        } else if let Some(size) = line.strip_prefix("Shared_Dirty:").or_else(|| line.strip_prefix("Private_Dirty:")) {
            if let Some(vma) = vmas.last_mut() {
                vma.dirty += size.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024;
            }
        } else if let Some((start, end)) = bounds(line) {
            vmas.push(Vma { start, end, flags: Vec::new(), dirty: 0 });
        }
    }
    vmas
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smaps_is_read_with_its_flags() {
        let text = "7f00-7f10 rw-p 0 00:00 0 \nSize: 4 kB\nShared_Dirty:  4 kB\nPrivate_Dirty:   8 kB\nVmFlags: rd wr um uw \n\
                    7f10-7f20 r--p 0 00:00 0\nVmFlags: rd \n";
        let vmas = parse(text);
        assert_eq!(vmas.len(), 2);
        assert_eq!((vmas[0].start, vmas[0].end), (0x7f00, 0x7f10));
        assert_eq!(vmas[0].uffd_flags(), ["um", "uw"]);
        assert!(vmas[1].uffd_flags().is_empty());
        assert_eq!((vmas[0].dirty, vmas[1].dirty), (12 << 10, 0));
    }
}
