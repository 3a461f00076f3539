//! System V shared memory: segments that go with their last mapping, and those that a kill left behind.

use nix::errno::Errno;

use crate::gate::Address;

/// The upper half of the keys of our segments, so that one that was left behind can be told from those of others.
const OURS: u32 = 0x7566_0000;

/// `shmget`, `shmat`, and the mark for removal: a segment that goes with its last mapping.
///
/// `at` is where to attach it; `SHM_REMAP` replaces what is there. Gives the segment's id.
pub fn attach_new(length: usize, at: Address) -> Result<i32, Errno> {
    let id = get(length)?;
    // SAFETY: SHM_REMAP replaces a mapping of the harness.
    let mapped = unsafe { libc::shmat(id, at as *const libc::c_void, libc::SHM_REMAP) };
    let attached = if mapped as isize == -1 { Err(Errno::last()) } else { Ok(id) };
    remove(id)?;
    attached
}

/// A new segment under a key of ours that is free.
fn get(length: usize) -> Result<i32, Errno> {
    let flags = 0o600 | libc::IPC_CREAT | libc::IPC_EXCL;
    let first = std::process::id();
    for step in 0..=0xffff {
        let key = OURS | (first.wrapping_add(step) & 0xffff);
        // SAFETY: no memory is passed.
        match Errno::result(unsafe { libc::shmget(key as i32, length, flags) }) {
            Err(Errno::EEXIST) => {}
            made => return made,
        }
    }
    Err(Errno::EEXIST)
}

/// `shmctl(id, IPC_RMID)`: the segment lives on while it is attached.
fn remove(id: i32) -> Result<(), Errno> {
    // SAFETY: no memory is passed.
    Errno::result(unsafe { libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut()) }).map(drop)
}

/// Removes the segments of killed cases: of ours, attached nowhere, and made by a process that is no more.
pub(crate) fn sweep() -> usize {
    let table = std::fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
    table.lines().filter_map(left_behind).filter(|id| remove(*id).is_ok()).count()
}

/// The id of a segment that was left behind: proc_sysvipc(5).
fn left_behind(line: &str) -> Option<i32> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [key, id, _permissions, _size, creator, _last, attached, ..] = fields.as_slice() else { return None };
    let key = key.parse::<i32>().ok()?.cast_unsigned();
    let alive = std::path::Path::new("/proc").join(creator).exists();
    if key & 0xffff_0000 == OURS && *attached == "0" && !alive { id.parse().ok() } else { None }
}
