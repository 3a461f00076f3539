//! `UFFD_FEATURE_*` by name: UFFDIO_API(2const).

use crate::uapi;

/// Every feature bit of the header with its name, in the order of the bits.
pub const FEATURES: [(u64, &str); 19] = [
    (uapi::UFFD_FEATURE_PAGEFAULT_FLAG_WP, "PAGEFAULT_FLAG_WP"),
    (uapi::UFFD_FEATURE_EVENT_FORK, "EVENT_FORK"),
    (uapi::UFFD_FEATURE_EVENT_REMAP, "EVENT_REMAP"),
    (uapi::UFFD_FEATURE_EVENT_REMOVE, "EVENT_REMOVE"),
    (uapi::UFFD_FEATURE_MISSING_HUGETLBFS, "MISSING_HUGETLBFS"),
    (uapi::UFFD_FEATURE_MISSING_SHMEM, "MISSING_SHMEM"),
    (uapi::UFFD_FEATURE_EVENT_UNMAP, "EVENT_UNMAP"),
    (uapi::UFFD_FEATURE_SIGBUS, "SIGBUS"),
    (uapi::UFFD_FEATURE_THREAD_ID, "THREAD_ID"),
    (uapi::UFFD_FEATURE_MINOR_HUGETLBFS, "MINOR_HUGETLBFS"),
    (uapi::UFFD_FEATURE_MINOR_SHMEM, "MINOR_SHMEM"),
    (uapi::UFFD_FEATURE_EXACT_ADDRESS, "EXACT_ADDRESS"),
    (uapi::UFFD_FEATURE_WP_HUGETLBFS_SHMEM, "WP_HUGETLBFS_SHMEM"),
    (uapi::UFFD_FEATURE_WP_UNPOPULATED, "WP_UNPOPULATED"),
    (uapi::UFFD_FEATURE_POISON, "POISON"),
    (uapi::UFFD_FEATURE_WP_ASYNC, "WP_ASYNC"),
    (uapi::UFFD_FEATURE_MOVE, "MOVE"),
    (uapi::UFFD_FEATURE_RWP, "RWP"),
    (uapi::UFFD_FEATURE_RWP_ASYNC, "RWP_ASYNC"),
];

/// The names of the bits in `mask`; a bit that the header does not name is given by its number.
pub fn names(mask: u64) -> Vec<String> {
    (0..64)
        .filter(|bit| mask >> bit & 1 == 1)
        .map(|bit| {
            FEATURES
                .iter()
                .find(|(feature, _)| *feature == 1 << bit)
                .map_or_else(|| format!("bit {bit}"), |(_, name)| (*name).to_owned())
        })
        .collect()
}
