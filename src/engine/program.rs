//! Runs another program: bytes in, what it wrote out, and an end to waiting.
use crate::kernel::syscall;
use crate::sys;
use crate::value::Text;
use alloc::vec::Vec;
use core::ffi::{c_char, c_int, c_short};
use core::ptr::{null, null_mut};
use linux_raw_sys::errno::{EAGAIN, EFBIG, EINTR};
use linux_raw_sys::general::{
    CLOCK_MONOTONIC, F_SETFL, O_CLOEXEC, O_NONBLOCK, POLLIN, POLLOUT, SIGCHLD, SIGKILL, SIGPIPE, SIGXFSZ, pollfd,
    timespec,
};

/// Nobody needs more than this of what a plugin or a firewall tool prints.
const LARGEST_OUTPUT: usize = 64 << 20;
/// How long a killed program may take to be gone; then it is left to its fate.
const GRACE_MS: i64 = 5_000;

pub struct Outcome {
    /// as wait(2) has it
    pub status: i32,
    pub timed_out: bool,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

/// Room for posix_spawnattr_t and posix_spawn_file_actions_t of any C library (80 and 336 bytes in musl and glibc).
#[repr(C, align(16))]
struct Opaque([u8; 512]);

/// spawn.h
const POSIX_SPAWN_SETSIGDEF: c_short = 4;
/// linux/close_range.h, Linux 5.11
const CLOSE_RANGE_CLOEXEC: usize = 4;

unsafe extern "C" {
    fn posix_spawn(
        pid: *mut c_int,
        file: *const c_char,
        actions: *const Opaque,
        attributes: *const Opaque,
        argv: *const *const c_char,
        environment: *const *const c_char,
    ) -> c_int;
    fn posix_spawn_file_actions_init(actions: *mut Opaque) -> c_int;
    fn posix_spawn_file_actions_adddup2(actions: *mut Opaque, from: c_int, to: c_int) -> c_int;
    fn posix_spawn_file_actions_destroy(actions: *mut Opaque) -> c_int;
    fn posix_spawnattr_init(attributes: *mut Opaque) -> c_int;
    fn posix_spawnattr_setflags(attributes: *mut Opaque, flags: c_short) -> c_int;
    fn posix_spawnattr_setsigdefault(attributes: *mut Opaque, signals: *const [u64; 16]) -> c_int;
    fn signal(number: c_int, handler: usize) -> usize;
}

/// Closed when it goes.
struct Fd(isize);

impl Fd {
    fn close(&mut self) {
        if self.0 >= 0 {
            // SAFETY: the descriptor is ours.
            unsafe { sys!(__NR_close, self.0) };
            self.0 = -1;
        }
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        self.close();
    }
}

/// Both ends of a pipe; ours (the first when we read, else the second) does not block.
fn pipe(ours: usize) -> Result<[Fd; 2], i32> {
    let mut ends: [i32; 2] = [-1; 2];
    // SAFETY: the kernel writes two numbers.
    errno_of(unsafe { sys!(__NR_pipe2, &raw mut ends, O_CLOEXEC) })?;
    // SAFETY: the descriptor was made just now.
    unsafe { sys!(__NR_fcntl, ends[ours], F_SETFL, O_NONBLOCK) };
    Ok(ends.map(|fd| Fd(fd as isize)))
}

fn errno_of(result: isize) -> Result<isize, i32> {
    if result < 0 { Err(-result as i32) } else { Ok(result) }
}

/// Nanoseconds of CLOCK_MONOTONIC.
pub fn now() -> i64 {
    let mut time = timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes the structure.
    unsafe {
        syscall(
            linux_raw_sys::general::__NR_clock_gettime,
            [CLOCK_MONOTONIC as usize, &raw mut time as usize, 0, 0, 0, 0],
        )
    };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

fn pointers(texts: &[Text]) -> Vec<*const c_char> {
    texts.iter().map(Text::pointer).chain([null()]).collect()
}

/// Starts the program with descriptors 0 to 2 and no other; its process id.
fn start(file: &Text, argv: &[Text], environment: &[Text], streams: [&Fd; 3]) -> Result<isize, i32> {
    let (mut actions, mut attributes) = (Opaque([0; 512]), Opaque([0; 512]));
    let (argv, environment) = (pointers(argv), pointers(environment));
    let mut defaults = [0; 16]; // sigset_t: signal N is bit N - 1
    defaults[0] = 1 << (SIGPIPE - 1) | 1 << (SIGXFSZ - 1); // we ignore them, which is inherited
    let mut pid = 0;
    // SAFETY: the C library's own use of these functions: initialised, filled, used, destroyed; lists end with null.
    let errno = unsafe {
        // a parent that ignores it, which is inherited too, would have the kernel reap the child
        signal(SIGCHLD as c_int, 0);
        // before Linux 5.11 it does not exist; what we opened has the flag anyway
        sys!(__NR_close_range, 3, u32::MAX, CLOSE_RANGE_CLOEXEC);
        posix_spawn_file_actions_init(&mut actions);
        for (to, stream) in streams.iter().enumerate() {
            posix_spawn_file_actions_adddup2(&mut actions, stream.0 as c_int, to as c_int);
        }
        posix_spawnattr_init(&mut attributes);
        posix_spawnattr_setflags(&mut attributes, POSIX_SPAWN_SETSIGDEF);
        posix_spawnattr_setsigdefault(&mut attributes, &defaults);
        let errno = posix_spawn(&mut pid, file.pointer(), &actions, &attributes, argv.as_ptr(), environment.as_ptr());
        posix_spawn_file_actions_destroy(&mut actions);
        errno
    };
    if errno == 0 { Ok(pid as isize) } else { Err(errno) }
}

/// Runs a program to its end, or to its deadline; the errno of what kept it from starting or made us give up.
pub fn run(file: &Text, argv: &[Text], environment: &[Text], input: &[u8], deadline_ms: i64) -> Result<Outcome, i32> {
    let [child_in, mut stdin] = pipe(1)?;
    let [mut stdout, child_out] = pipe(0)?;
    let [mut stderr, child_err] = pipe(0)?;
    let pid = start(file, argv, environment, [&child_in, &child_out, &child_err])?;
    drop((child_in, child_out, child_err));
    // SAFETY: the child is ours and not waited for yet. Linux 5.3; without it the deadline counts until the streams
    // end.
    let process = Fd(unsafe { sys!(__NR_pidfd_open, pid, 0) });
    let mut outcome = Outcome { status: 0, timed_out: false, stdout: Vec::new(), stderr: Vec::new() };
    let deadline = now() + deadline_ms * 1_000_000;
    let mut rest = input;
    let mut alive = true;
    let mut result = Ok(());
    while alive && result.is_ok() {
        if rest.is_empty() {
            stdin.close();
        }
        if process.0 < 0 && stdout.0 < 0 && stderr.0 < 0 {
            break;
        }
        let ready = poll(&[(&stdin, POLLOUT), (&stdout, POLLIN), (&stderr, POLLIN), (&process, POLLIN)], deadline);
        if ready == [false; 4] && now() >= deadline {
            outcome.timed_out = true;
            break;
        }
        if ready[0] {
            feed(&stdin, &mut rest);
        }
        // what a program that is gone has written is there; who else holds its streams open is not waited for
        alive = !ready[3];
        result = drain(&mut stdout, &mut outcome.stdout).and_then(|()| drain(&mut stderr, &mut outcome.stderr));
    }
    if outcome.timed_out || result.is_err() {
        // SAFETY: the child was not waited for, so the number is still its.
        unsafe { sys!(__NR_kill, pid, SIGKILL) };
        poll(&[(&process, POLLIN)], now() + GRACE_MS * 1_000_000);
    }
    outcome.status = reap(pid, outcome.timed_out && process.0 >= 0);
    result.map(|()| outcome)
}

/// Waits for the child; one that does not end though it was killed is said to be.
fn reap(pid: isize, at_once: bool) -> i32 {
    const WNOHANG: usize = 1;
    let mut status: c_int = 0;
    loop {
        // SAFETY: the kernel writes the number.
        let result = unsafe { sys!(__NR_wait4, pid, &raw mut status, if at_once { WNOHANG } else { 0 }, 0) };
        if result != -(EINTR as isize) {
            return if result == pid { status } else { SIGKILL as i32 };
        }
    }
}

/// Which of the descriptors can be used, once one can or the deadline is over; closed ones never.
fn poll<const N: usize>(wanted: &[(&Fd, u32); N], deadline: i64) -> [bool; N] {
    let mut list = wanted.map(|(fd, events)| pollfd { fd: fd.0.max(-1) as i32, events: events as c_short, revents: 0 });
    let left = (deadline - now()).max(0);
    let until = timespec { tv_sec: (left / 1_000_000_000) as _, tv_nsec: (left % 1_000_000_000) as _ };
    // SAFETY: the list has N entries; the kernel writes into them.
    unsafe { sys!(__NR_ppoll, list.as_mut_ptr(), N, &raw const until, null_mut::<u8>(), 0) };
    list.map(|one| one.revents != 0)
}

/// Writes as much as goes; nothing is left once nobody reads.
fn feed(stdin: &Fd, rest: &mut &[u8]) {
    // SAFETY: the kernel reads the bytes.
    let count = unsafe { sys!(__NR_write, stdin.0, rest.as_ptr(), rest.len()) };
    if count >= 0 {
        *rest = &rest[count as usize..];
    } else if count != -(EAGAIN as isize) && count != -(EINTR as isize) {
        *rest = &[];
    }
}

/// Reads what is there; closes at the end.
fn drain(stream: &mut Fd, into: &mut Vec<u8>) -> Result<(), i32> {
    const PIECE: usize = 64 << 10;
    while stream.0 >= 0 {
        if into.len() > LARGEST_OUTPUT {
            return Err(EFBIG as i32);
        }
        into.try_reserve(PIECE).map_err(|_| linux_raw_sys::errno::ENOMEM as i32)?;
        let spare = into.spare_capacity_mut();
        // SAFETY: the kernel writes into the spare room, and says how much.
        let count = unsafe { sys!(__NR_read, stream.0, spare.as_mut_ptr(), spare.len()) };
        match count {
            0 => stream.close(),
            // SAFETY: so many bytes were written.
            1.. => unsafe { into.set_len(into.len() + count as usize) },
            _ if count == -(EAGAIN as isize) => return Ok(()),
            _ if count == -(EINTR as isize) => {}
            _ => stream.close(),
        }
    }
    Ok(())
}
