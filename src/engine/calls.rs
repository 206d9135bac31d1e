//! The system calls that TypeScript may make: `Host` in src/kernel/host.ts says what each takes and returns.
use crate::sys;
use crate::value::{self, Args, Text};
use core::ffi::{CStr, c_int};
use core::ptr::null;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use linux_raw_sys::errno::{EINVAL, ENOENT};
use linux_raw_sys::general::{AT_FDCWD, AT_REMOVEDIR, O_CLOEXEC, O_NONBLOCK, SIG_BLOCK, timespec};
use rquickjs_sys::*;

/// An argument: a number, or the address and length of bytes or of a C string.
#[derive(Clone, Copy, Default)]
pub struct Given {
    value: usize,
    length: usize,
}

pub struct Call {
    pub name: &'static CStr,
    pub arity: i32,
    run: unsafe fn(&[Given; 5]) -> isize,
}

macro_rules! calls {
    ($($name:literal ($($arg:ident),*) => $body:expr;)*) => {
        &[$(Call {
            name: $name,
            arity: <[&str]>::len(&[$(stringify!($arg)),*]) as i32,
            run: |given| {
                let [$($arg,)* ..] = *given;
                // SAFETY: lengths are those of the bytes passed, which live until the call is over; the kernel's
                // structures are as long as host.ts says, which `call` leaves to src/kernel: the one place that makes
                // these calls.
                unsafe { $body }
            },
        }),*]
    };
}

/// Whether something was written to standard output.
static ANSWERED: AtomicBool = AtomicBool::new(false);

pub fn has_answered() -> bool {
    ANSWERED.load(Relaxed)
}

/// A run begins: in the fuzz target it is one of many.
pub fn forget_answers() {
    ANSWERED.store(false, Relaxed);
}

/// Paths that are relative are so to the current directory.
const HERE: isize = AT_FDCWD as isize;

/// Only calls that every architecture has: arm64 has no open(2), poll(2) and so on.
pub static CALLS: &[Call] = calls! {
    c"exit" (code) => sys!(__NR_exit_group, code.value);
    c"open" (path, flags, mode) => sys!(__NR_openat, HERE, path.value, flags.value | O_CLOEXEC as usize, mode.value);
    c"close" (fd) => sys!(__NR_close, fd.value);
    c"read" (fd, into) => sys!(__NR_read, fd.value, into.value, into.length);
    c"write" (fd, bytes) => {
        let count = sys!(__NR_write, fd.value, bytes.value, bytes.length);
        ANSWERED.fetch_or(fd.value == 1 && count > 0, Relaxed);
        count
    };
    c"fsync" (fd) => sys!(__NR_fsync, fd.value);
    c"ftruncate" (fd, length) => sys!(__NR_ftruncate, fd.value, length.value);
    c"link" (from, to) => sys!(__NR_linkat, HERE, from.value, HERE, to.value, 0);
    c"unlink" (path) => sys!(__NR_unlinkat, HERE, path.value, 0);
    c"rename" (from, to) => sys!(__NR_renameat2, HERE, from.value, HERE, to.value, 0);
    c"mkdir" (path, mode) => sys!(__NR_mkdirat, HERE, path.value, mode.value);
    c"rmdir" (path) => sys!(__NR_unlinkat, HERE, path.value, AT_REMOVEDIR);
    c"symlink" (target, path) => sys!(__NR_symlinkat, target.value, HERE, path.value);
    c"readlink" (path, into) => sys!(__NR_readlinkat, HERE, path.value, into.value, into.length);
    c"fchmod" (fd, mode) => sys!(__NR_fchmod, fd.value, mode.value);
    c"access" (path, mode) => sys!(__NR_faccessat, HERE, path.value, mode.value);
    c"statx" (directory, path, flags, mask, into) => {
        sys!(__NR_statx, directory.value, path.value, flags.value, mask.value, into.value)
    };
    c"statfs" (path, into) => sys!(__NR_statfs, path.value, into.value);
    c"getdents64" (fd, into) => sys!(__NR_getdents64, fd.value, into.value, into.length);
    c"flock" (fd, operation) => sys!(__NR_flock, fd.value, operation.value);
    c"poll" (list, ms) => {
        let time = time_of(ms.value, 1000);
        let until = if (ms.value as isize) < 0 { null() } else { &raw const time };
        sys!(__NR_ppoll, list.value, list.length / 8, until, 0, 0)
    };
    c"sleep" (microseconds) => {
        let time = time_of(microseconds.value, 1_000_000);
        sys!(__NR_nanosleep, &raw const time, 0)
    };
    c"futimens" (fd, times) => sys!(__NR_utimensat, fd.value, 0, times.value, 0);
    c"ioctl" (fd, request, argument) => sys!(__NR_ioctl, fd.value, request.value, argument.value);
    c"setns" (fd, kind) => sys!(__NR_setns, fd.value, kind.value);
    c"socket" (domain, kind, protocol) => sys!(__NR_socket, domain.value, kind.value, protocol.value);
    c"bind" (fd, address) => sys!(__NR_bind, fd.value, address.value, address.length);
    c"connect" (fd, address) => sys!(__NR_connect, fd.value, address.value, address.length);
    c"send" (fd, bytes, flags) => sys!(__NR_sendto, fd.value, bytes.value, bytes.length, flags.value, 0, 0);
    c"sendTo" (fd, bytes, flags, address) => {
        sys!(__NR_sendto, fd.value, bytes.value, bytes.length, flags.value, address.value, address.length)
    };
    c"listen" (fd, backlog) => sys!(__NR_listen, fd.value, backlog.value);
    c"accept" (fd, flags) => sys!(__NR_accept4, fd.value, 0, 0, flags.value);
    c"recv" (fd, into, flags) => sys!(__NR_recvfrom, fd.value, into.value, into.length, flags.value, 0, 0);
    c"setsockopt" (fd, level, option, bytes) => {
        sys!(__NR_setsockopt, fd.value, level.value, option.value, bytes.value, bytes.length)
    };
    c"getsockopt" (fd, level, option, into, length) => {
        sys!(__NR_getsockopt, fd.value, level.value, option.value, into.value, length.value)
    };
    c"attachFilter" (fd, program) => {
        let filter = sock_fprog { len: (program.length / 8) as u16, filter: program.value };
        sys!(__NR_setsockopt, fd.value, SOL_SOCKET, SO_ATTACH_FILTER, &raw const filter, size_of::<sock_fprog>())
    };
    c"signals" (set) => {
        match sys!(__NR_rt_sigprocmask, SIG_BLOCK, set.value, 0, set.length) {
            0 => sys!(__NR_signalfd4, -1_isize, set.value, set.length, O_CLOEXEC | O_NONBLOCK),
            failure => failure,
        }
    };
    c"getrandom" (into) => sys!(__NR_getrandom, into.value, into.length, 0);
    c"getpid" () => sys!(__NR_getpid);
};

/// asm-generic/socket.h
const SOL_SOCKET: usize = 1;
const SO_ATTACH_FILTER: usize = 26;

/// linux/filter.h
#[repr(C)]
#[allow(non_camel_case_types)]
struct sock_fprog {
    len: u16,
    filter: usize,
}

fn time_of(units: usize, per_second: usize) -> timespec {
    timespec { tv_sec: (units / per_second) as _, tv_nsec: (units % per_second * (1_000_000_000 / per_second)) as _ }
}

/// A call by a native function of the engine, whose number in the table is `which`.
pub unsafe extern "C" fn call(
    context: *mut JSContext,
    _this: JSValue,
    count: c_int,
    values: *mut JSValue,
    which: c_int,
) -> JSValue {
    let call = &CALLS[which as usize];
    // SAFETY: the engine's own arguments.
    let args = unsafe { Args::new(context, count, values) };
    let mut given = [Given::default(); 5];
    let mut texts = [const { None::<Text> }; 5];
    for (at, slot) in given.iter_mut().enumerate().take(call.arity as usize) {
        if let Some(number) = args.number(at) {
            slot.value = number as usize;
        } else if let Some(bytes) = args.bytes(at) {
            *slot = Given { value: bytes.as_mut_ptr() as usize, length: bytes.len() };
        } else {
            let Some(text) = args.text(at) else { return value::refuse(context, call.name) };
            if !text.is_whole() {
                return value::from_number(-(EINVAL as i64));
            }
            *slot = Given { value: text.pointer() as usize, length: text.bytes().len() };
            texts[at] = Some(text);
        }
    }
    if crate::is_making() {
        return value::from_number(-(ENOENT as i64)); // what runs for the snapshot sees an empty machine
    }
    // SAFETY: see `calls`; texts live until here.
    let result = unsafe { (call.run)(&given) };
    drop(texts);
    value::from_number(result as i64)
}

/// An object with every call of the table as a function.
pub fn object(context: *mut JSContext) -> JSValue {
    // SAFETY: a function with a number is passed as one without; the engine knows which it is by its kind.
    unsafe {
        let object = JS_NewObject(context);
        let function = core::mem::transmute::<JSCFunctionMagic, JSCFunction>(Some(call));
        for (at, one) in CALLS.iter().enumerate() {
            let kind = JSCFunctionEnum_JS_CFUNC_generic_magic;
            let value = JS_NewCFunction2(context, function, one.name.as_ptr(), one.arity, kind, at as c_int);
            value::set(context, object, one.name, value);
        }
        object
    }
}
