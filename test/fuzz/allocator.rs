//! The other allocator an engine is tried with: the sanitizer's, which has room between blocks that nobody may touch,
//! and which is out of memory when it is told to be.
use rquickjs_sys::{JSMallocFunctions, size_t};
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering};

unsafe extern "C" {
    #[link_name = "malloc"]
    fn libc_malloc(size: usize) -> *mut u8;
    #[link_name = "calloc"]
    fn libc_calloc(count: usize, size: usize) -> *mut u8;
    #[link_name = "free"]
    fn libc_free(block: *mut u8);
    #[link_name = "realloc"]
    fn libc_realloc(block: *mut u8, size: usize) -> *mut u8;
    fn malloc_usable_size(block: *const c_void) -> usize;
}

static LEFT: AtomicUsize = AtomicUsize::new(usize::MAX);

/// How many blocks are to be had from now on; an odd number ends for good, after an even one a single request fails.
pub fn limit(blocks: Option<usize>) {
    LEFT.store(blocks.map_or(usize::MAX, |count| count << 1 | count & 1), Ordering::Relaxed);
}

fn is_empty() -> bool {
    let left = LEFT.load(Ordering::Relaxed);
    if left == usize::MAX {
        return false;
    }
    if left > 1 {
        LEFT.store(left - 2, Ordering::Relaxed);
        return false;
    }
    if left == 0 {
        LEFT.store(usize::MAX, Ordering::Relaxed);
    }
    true
}

pub const FUNCTIONS: JSMallocFunctions = JSMallocFunctions {
    js_malloc: Some(malloc),
    js_calloc: Some(calloc),
    js_free: Some(free),
    js_realloc: Some(realloc),
    js_malloc_usable_size: Some(usable),
};

unsafe extern "C" fn malloc(_: *mut c_void, size: size_t) -> *mut c_void {
    // SAFETY: any size may be asked for.
    if is_empty() { null_mut() } else { unsafe { libc_malloc(size as usize) }.cast() }
}

unsafe extern "C" fn calloc(_: *mut c_void, count: size_t, size: size_t) -> *mut c_void {
    // SAFETY: as above.
    if is_empty() { null_mut() } else { unsafe { libc_calloc(count as usize, size as usize) }.cast() }
}

unsafe extern "C" fn free(_: *mut c_void, block: *mut c_void) {
    // SAFETY: the engine gives back what it got.
    unsafe { libc_free(block.cast()) }
}

unsafe extern "C" fn realloc(_: *mut c_void, block: *mut c_void, size: size_t) -> *mut c_void {
    // SAFETY: as above. What becomes smaller stays where it is in the engine's own memory, and needs no more.
    let is_smaller = unsafe { !block.is_null() && malloc_usable_size(block) >= size as usize };
    // SAFETY: the engine passes what it got.
    if !is_smaller && is_empty() { null_mut() } else { unsafe { libc_realloc(block.cast(), size as usize) }.cast() }
}

unsafe extern "C" fn usable(block: *const c_void) -> size_t {
    // SAFETY: the engine asks about what it got.
    unsafe { malloc_usable_size(block) as size_t }
}
