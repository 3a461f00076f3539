//! Whatever a kernel writes into a message is decoded without a panic, and by the fields of its event alone.

use proptest::prelude::*;
use uffd_harness::message::{Event, Message};
use uffd_harness::uapi;

proptest! {
    #[test]
    fn any_bytes_are_a_message(raw in any::<[u8; 32]>()) {
        let message = Message::new(raw);
        match message.event() {
            Event::Unknown(number) => prop_assert_eq!(number, raw[0]),
            _ => prop_assert!((uapi::UFFD_EVENT_PAGEFAULT..=uapi::UFFD_EVENT_UNMAP).contains(&raw[0])),
        }
        let _ = message.unused_is_zero();
    }

    #[test]
    fn a_page_fault_is_read_from_its_fields(flags: u64, address: u64, ptid: u32, dirty in 1_usize..8) {
        let mut raw = [0; 32];
        raw[0] = uapi::UFFD_EVENT_PAGEFAULT;
        raw[8..16].copy_from_slice(&flags.to_ne_bytes());
        raw[16..24].copy_from_slice(&address.to_ne_bytes());
        raw[24..28].copy_from_slice(&ptid.to_ne_bytes());
        prop_assert_eq!(Message::new(raw).event(), Event::Pagefault { flags, address, ptid });
        prop_assert!(Message::new(raw).unused_is_zero());
        for unused in [dirty, 28 + dirty % 4] {
            let mut soiled = raw;
            soiled[unused] = 1;
            prop_assert!(!Message::new(soiled).unused_is_zero());
        }
    }
}
