//! The pages of the region that calls write to. Which they are is found out while the executable is built: the warm-up
//! runs once more with the region write-protected, and each first write to a page is noted. Later processes have these
//! pages ready in a few calls: a page fault for each would cost more, and so would all pages of the heap.
use core::ffi::c_int;
use core::ptr::addr_of_mut;
use linux_raw_sys::general::{PROT_READ, PROT_WRITE, SIGSEGV};

/// The smallest page an architecture has.
const PAGE: usize = 4096;
/// How many runs of pages are noted; pages between are taken along as they become too many.
const MOST_RUNS: usize = 16;

/// Runs of pages, counted from the start of the region: the first page, and how many.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Hot {
    runs: [(u16, u16); MOST_RUNS],
    count: usize,
}

impl Hot {
    pub const NONE: Hot = Hot { runs: [(0, 0); MOST_RUNS], count: 0 };

    /// The start and length in bytes of each run.
    pub fn runs(&self) -> impl Iterator<Item = (usize, usize)> {
        self.runs[..self.count].iter().map(|&(first, count)| (first as usize * PAGE, count as usize * PAGE))
    }

    /// Runs of the pages for which `is_hot`, with as few others between them as `MOST_RUNS` allows.
    fn of(pages: usize, is_hot: impl Fn(usize) -> bool) -> Hot {
        (1..).find_map(|gap| Hot::with_gaps(pages, gap, &is_hot)).unwrap_or(Hot::NONE)
    }

    /// As `of`, where less than `gap` cold pages part no run; `None` for too many runs.
    fn with_gaps(pages: usize, gap: usize, is_hot: impl Fn(usize) -> bool) -> Option<Hot> {
        let mut hot = Hot::NONE;
        for page in (0..pages).filter(|&page| is_hot(page)) {
            if let Some((first, count)) = hot.runs[..hot.count].last_mut() {
                let end = (*first + *count) as usize;
                if page < end + gap {
                    *count = (page + 1 - *first as usize) as u16;
                    continue;
                }
            }
            *hot.runs.get_mut(hot.count)? = (page as u16, 1);
            hot.count += 1;
        }
        Some(hot)
    }
}

const MOST_PAGES: usize = 1 << 12;
static mut START: usize = 0;
static mut LENGTH: usize = 0;
static mut WRITTEN: [bool; MOST_PAGES] = [false; MOST_PAGES];

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

/// Which pages of that memory are written to while `run` runs.
pub fn watch(start: usize, length: usize, run: impl FnOnce()) -> Hot {
    let pages = (length / PAGE).min(MOST_PAGES);
    // SAFETY: one thread; the handler only marks a page and makes it writable again, so nothing notices the protection.
    // System calls that would write there fail instead, but none is made while a snapshot is (`calls.rs`).
    unsafe {
        (START, LENGTH) = (start, pages * PAGE);
        let action = Action { handler: on_write as *const () as usize, mask: [0; 16], flags: SA_SIGINFO, restorer: 0 };
        let mut before = Action { handler: 0, mask: [0; 16], flags: 0, restorer: 0 };
        sigaction(SIGSEGV as c_int, &action, &mut before);
        mprotect(start, pages * PAGE, PROT_READ as c_int);
        run();
        mprotect(start, pages * PAGE, (PROT_READ | PROT_WRITE) as c_int);
        sigaction(SIGSEGV as c_int, &before, core::ptr::null_mut());
        let written = &*addr_of_mut!(WRITTEN);
        Hot::of(pages, |page| written[page])
    }
}

extern "C" fn on_write(number: c_int, information: *const Information, _context: *const u8) {
    // SAFETY: the kernel passes a siginfo_t; the statics are those `watch` set, in the same thread.
    unsafe {
        let offset = (*information).address.wrapping_sub(START);
        if offset >= LENGTH {
            // no write to the region: let it happen again, and end the process as it would have
            let default = Action { handler: 0, mask: [0; 16], flags: 0, restorer: 0 };
            sigaction(number, &default, core::ptr::null_mut());
            return;
        }
        WRITTEN[offset / PAGE] = true;
        mprotect(START + offset / PAGE * PAGE, PAGE, (PROT_READ | PROT_WRITE) as c_int);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(pages: usize, is_hot: impl Fn(usize) -> bool) -> Vec<(usize, usize)> {
        Hot::of(pages, is_hot).runs().map(|(start, length)| (start / PAGE, length / PAGE)).collect()
    }

    #[test]
    fn few_runs_are_what_they_are() {
        assert_eq!(runs(10, |_| false), []);
        assert_eq!(runs(10, |page| page != 0 && page != 5 && page != 6), [(1, 4), (7, 3)]);
    }

    #[test]
    fn many_runs_are_joined_and_none_is_lost() {
        let is_hot = |page: usize| page.is_multiple_of(3) || page > 500;
        let joined = runs(600, is_hot);
        assert!(joined.len() <= MOST_RUNS);
        let taken = |page: usize| joined.iter().any(|&(first, count)| (first..first + count).contains(&page));
        assert!((0..600).filter(|&page| is_hot(page)).all(taken));
    }

    #[test]
    fn writes_are_seen_page_by_page_and_reads_are_not() {
        let memory = Box::leak(vec![0_u8; 12 * PAGE].into_boxed_slice());
        let start = (memory.as_ptr() as usize).next_multiple_of(PAGE);
        let at = |page: usize| (start + page * PAGE + 5) as *mut u8;
        let hot = watch(start, 10 * PAGE, || {
            // SAFETY: inside the memory above.
            unsafe {
                at(2).write_volatile(7);
                at(7).write_volatile(at(4).read_volatile() + 1);
            }
        });
        assert_eq!(hot.runs().collect::<Vec<_>>(), [(2 * PAGE, PAGE), (7 * PAGE, PAGE)]);
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
