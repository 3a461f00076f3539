//! Files of `/proc` and `/sys`, which say nothing of their size: std would read them in pieces, from 32 bytes on.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Most of these files fit into this many bytes; the kernel hands out a page at a time.
const ROOM: usize = 4096;

/// The whole text of such a file.
pub fn read(path: impl AsRef<Path>) -> io::Result<String> {
    let (mut file, mut bytes, mut filled) = (File::open(path)?, vec![0; ROOM], 0);
    loop {
        match file.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if filled == bytes.len() {
            bytes.resize(2 * filled, 0);
        }
    }
    bytes.truncate(filled);
    String::from_utf8(bytes).map_err(|_| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_file_is_read() {
        let own = read("/proc/self/status").expect("/proc");
        assert!(own.starts_with("Name:") && own.ends_with('\n'));
        let symbols = read("/proc/self/smaps").expect("/proc");
        assert!(symbols.len() > 2 * ROOM, "{}", symbols.len());
        assert!(symbols.trim_end().lines().last().is_some_and(|line| line.starts_with("VmFlags:")));
        assert!(read("/proc/no such file").is_err());
    }
}
