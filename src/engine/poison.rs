//! Tells AddressSanitizer, where it is linked (feature `asan`), which bytes of the heap are nobody's; else it does nothing.

#[cfg(feature = "asan")]
unsafe extern "C" {
    fn __asan_poison_memory_region(start: *const u8, length: usize);
    fn __asan_unpoison_memory_region(start: *const u8, length: usize);
}

/// From now on a use of these bytes is reported.
pub fn poison(_start: *mut u8, _length: usize) {
    #[cfg(feature = "asan")]
    // SAFETY: the bytes are the heap's own; their content stays.
    unsafe {
        __asan_poison_memory_region(_start, _length)
    }
}

/// From now on the bytes may be used.
pub fn unpoison(_start: *mut u8, _length: usize) {
    #[cfg(feature = "asan")]
    // SAFETY: as above.
    unsafe {
        __asan_unpoison_memory_region(_start, _length)
    }
}
