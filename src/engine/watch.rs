//! Finds out which pages of a piece of memory code reads and writes.
use alloc::vec::Vec;
use core::ffi::c_int;
use core::ptr::addr_of_mut;
use linux_raw_sys::general::{PROT_NONE, PROT_READ, PROT_WRITE, SIGSEGV};

/// The smallest page an architecture has.
pub const PAGE: usize = 4096;

/// What was done with a page.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Access {
    None,
    Read,
    Written,
}

static mut START: usize = 0;
static mut PAGES: Vec<Access> = Vec::new();

/// struct sigaction of the C library, and of siginfo_t what is at the beginning (bits/signal.h).
#[repr(C)]
struct Action {
    handler: usize,
    mask: [u64; 16],
    flags: c_int,
    restorer: usize,
}
#[repr(C)]
struct Information {
    words: [c_int; 4],
    address: usize,
}
const SA_SIGINFO: c_int = 4;

unsafe extern "C" {
    fn sigaction(number: c_int, action: *const Action, before: *mut Action) -> c_int;
    fn mprotect(start: usize, length: usize, protection: c_int) -> c_int;
}

/// What is done with each page of that memory while `run` runs, and its result.
pub fn watch<T>(start: usize, length: usize, run: impl FnOnce() -> T) -> (Vec<Access>, T) {
    let pages = length / PAGE;
    // SAFETY: one thread; the handler only marks a page and gives access to it again, so nothing notices the protection.
    // System calls that would reach there fail instead, but none is made while a snapshot is (`calls.rs`).
    unsafe {
        (START, PAGES) = (start, [Access::None].repeat(pages));
        let action = Action { handler: on_access as *const () as usize, mask: [0; 16], flags: SA_SIGINFO, restorer: 0 };
        let mut before = Action { handler: 0, mask: [0; 16], flags: 0, restorer: 0 };
        sigaction(SIGSEGV as c_int, &action, &mut before);
        mprotect(start, pages * PAGE, PROT_NONE as c_int);
        let result = run();
        mprotect(start, pages * PAGE, (PROT_READ | PROT_WRITE) as c_int);
        sigaction(SIGSEGV as c_int, &before, core::ptr::null_mut());
        (core::mem::take(&mut *addr_of_mut!(PAGES)), result)
    }
}

/// The first access to a page makes it readable, the next one can but be a write.
extern "C" fn on_access(number: c_int, information: *const Information, _context: *const u8) {
    // SAFETY: the kernel passes a siginfo_t; the statics are those `watch` set, in the same thread.
    unsafe {
        let page = (*information).address.wrapping_sub(START) / PAGE;
        let Some(access) = (&mut *addr_of_mut!(PAGES)).get_mut(page) else {
            // none of that memory: let it happen again, and end the process as it would have
            let default = Action { handler: 0, mask: [0; 16], flags: 0, restorer: 0 };
            sigaction(number, &default, core::ptr::null_mut());
            return;
        };
        let (next, protection) = match access {
            Access::None => (Access::Read, PROT_READ),
            _ => (Access::Written, PROT_READ | PROT_WRITE),
        };
        *access = next;
        mprotect(START + page * PAGE, PAGE, protection as c_int);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_are_seen_page_by_page() {
        let memory = Box::leak(vec![0_u8; 12 * PAGE].into_boxed_slice());
        let start = (memory.as_ptr() as usize).next_multiple_of(PAGE);
        let at = |page: usize| (start + page * PAGE + 5) as *mut u8;
        let (accesses, ()) = watch(start, 10 * PAGE, || {
            // SAFETY: inside the memory above.
            unsafe {
                at(2).write_volatile(7);
                at(7).write_volatile(at(4).read_volatile() + at(7).read_volatile() + 1);
            }
        });
        let expected = |page| match page {
            2 | 7 => Access::Written,
            4 => Access::Read,
            _ => Access::None,
        };
        assert_eq!(accesses, (0..10).map(expected).collect::<Vec<_>>());
        // SAFETY: as above; everything may be written again.
        assert_eq!(
            unsafe {
                at(3).write_volatile(1);
                (at(2).read_volatile(), at(7).read_volatile())
            },
            (7, 1)
        );
    }
}
