//! The machine under podwire: QuickJS-ng, a table of system calls, and a heap in which podwire's code waits, evaluated.
#![cfg_attr(not(any(test, feature = "fuzz")), no_std, no_main)]
#![cfg_attr(any(test, feature = "fuzz"), allow(dead_code, unused_imports))]
extern crate alloc;

mod calls;
#[cfg(not(any(test, feature = "fuzz")))]
mod entry;
mod file;
mod heap;
mod kernel;
mod layout;
mod natives;
mod poison;
mod program;
mod region;
mod snapshot;
mod value;
mod watch;

#[cfg(feature = "fuzz")]
#[path = "../../test/fuzz/main.rs"]
mod fuzz;
#[cfg(feature = "fuzz")]
use fuzz::main;

use core::ffi::{CStr, c_char, c_int};
use core::sync::atomic::{AtomicBool, Ordering};
use linux_raw_sys::general::{AT_FDCWD, F_GETFD, O_RDWR, SIGPIPE, SIGXFSZ};

static MAKING: AtomicBool = AtomicBool::new(false);
/// True in the process that makes the snapshot.
fn is_making() -> bool {
    MAKING.load(Ordering::Relaxed)
}

unsafe extern "C" {
    fn signal(number: c_int, handler: usize) -> usize;
    fn clock_gettime(clock: c_int, time: *mut [i64; 2]) -> c_int;
}

#[cfg(not(feature = "fuzz"))]
#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn main(argc: c_int, argv: *const *const c_char, environment: *const *const c_char) -> c_int {
    const SIG_IGN: usize = 1;
    // SAFETY: the process has done nothing yet. A write to nobody shall say EPIPE, one beyond `ulimit -f` EFBIG,
    // and a descriptor that came closed shall not become one of our files.
    unsafe {
        signal(SIGPIPE as c_int, SIG_IGN);
        signal(SIGXFSZ as c_int, SIG_IGN);
        for fd in 0..3 {
            if sys!(__NR_fcntl, fd, F_GETFD) < 0 {
                sys!(__NR_openat, AT_FDCWD as isize, c"/dev/null".as_ptr(), O_RDWR, 0);
            }
        }
    }
    if snapshot::is_present() {
        return snapshot::start(argv, argc as usize, environment);
    }
    MAKING.store(true, Ordering::Relaxed);
    // SAFETY: argv holds argc C strings.
    let args = unsafe { core::slice::from_raw_parts(argv, argc as usize) };
    let made = match args {
        // SAFETY: as above.
        [_, bundle, out, more @ ..] if more.len() < 2 => unsafe {
            snapshot::make(
                CStr::from_ptr(*bundle),
                CStr::from_ptr(*out),
                more.first().map(|path| CStr::from_ptr(*path)),
            )
        },
        _ => Err("this executable holds no code to run: `engine BUNDLE OUT [REHEARSAL]` writes one that does".into()),
    };
    match made {
        Ok(said) => {
            file::print(1, said.as_bytes());
            0
        }
        Err(error) => {
            file::print(2, b"engine: ");
            file::print(2, error.as_bytes());
            file::print(2, b"\n");
            1
        }
    }
}

/// The engine's clock. While a snapshot is made it stands still: two builds give the same bytes.
#[cfg(not(any(test, feature = "fuzz")))]
#[unsafe(no_mangle)]
unsafe extern "C" fn gettimeofday(out: *mut [i64; 2], _zone: *mut u8) -> c_int {
    let mut now = [1, 0];
    // SAFETY: struct timespec and struct timeval are two 64-bit numbers each on every architecture podwire runs on.
    unsafe {
        if !is_making() {
            clock_gettime(0, &mut now);
        }
        *out = [now[0], now[1] / 1000];
    }
    0
}

#[cfg(not(any(test, feature = "fuzz")))]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    file::print(2, alloc::format!("podwire: the engine failed: {info}\n").as_bytes());
    // SAFETY: ends the process.
    unsafe { sys!(__NR_exit_group, 134) };
    loop {}
}

// The precompiled libraries name these two, but panics abort: nothing is ever unwound.
#[cfg(not(any(test, feature = "fuzz")))]
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}
#[cfg(not(any(test, feature = "fuzz")))]
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() {}
