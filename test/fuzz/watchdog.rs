//! Ends what does not end by itself: first the script, with an exception that says where it was, then the process.
use crate::kernel::enter;
use linux_raw_sys::general::{__NR_setitimer, ITIMER_PROF, SIGPROF};
use rquickjs_sys::{JS_SetInterruptHandler, JSRuntime};
use std::ffi::{c_int, c_void};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering};

static LATE: AtomicBool = AtomicBool::new(false);

unsafe extern "C" {
    fn signal(number: c_int, handler: usize) -> usize;
}

extern "C" fn ring(_: c_int) {
    LATE.store(true, Ordering::Relaxed);
    // SAFETY: the next one ends the process.
    unsafe { signal(SIGPROF as c_int, 0) };
}

unsafe extern "C" fn interrupt(_: *mut JSRuntime, _: *mut c_void) -> c_int {
    LATE.load(Ordering::Relaxed) as c_int
}

pub fn watch(runtime: *mut JSRuntime) {
    // SAFETY: the handler touches nothing but a flag.
    unsafe { JS_SetInterruptHandler(runtime, Some(interrupt), null_mut()) };
}

/// Counts processor time from now on.
pub fn arm(seconds: usize) {
    LATE.store(false, Ordering::Relaxed);
    let time = [seconds, 0, seconds, 0]; // struct itimerval: interval, value
    // SAFETY: the handler touches nothing but a flag; the kernel reads the structure.
    unsafe {
        signal(SIGPROF as c_int, ring as *const () as usize);
        enter(__NR_setitimer, [ITIMER_PROF as usize, &raw const time as usize, 0, 0, 0, 0]);
    }
}

/// True once the time is over.
pub fn is_late() -> bool {
    LATE.load(Ordering::Relaxed)
}
