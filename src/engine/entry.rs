//! The first instructions of the process: they leave the kernel's stack, of which `ulimit -s` may have left a page
//! (less than JSON.parse needs, and less than the C library), for one of our own. That is at the same address in every
//! process, as a heap made at build time needs, for the engine notes where its stack is.
use core::arch::global_asm;
use core::ffi::{c_char, c_int};
use core::ptr::{addr_of_mut, null};

const SIZE: usize = 4 << 20;
const GUARD: usize = 65536;
/// What script may use of the stack; the rest is for what the engine calls meanwhile, and for the guard.
pub const FOR_SCRIPT: usize = SIZE - (512 << 10);

#[repr(align(65536))]
struct Stack(#[allow(dead_code)] [u8; SIZE]);
static mut STACK: Stack = Stack([0; SIZE]);

#[cfg(target_arch = "x86_64")]
global_asm!(
    ".globl podwire_start",
    "podwire_start:",
    "xor ebp, ebp", // the end of the chain of frames
    "mov rdi, rsp",
    "lea rsp, [rip + {stack} + {size}]",
    "call {start}",
    "ud2",
    stack = sym STACK,
    size = const SIZE,
    start = sym start,
);

#[cfg(target_arch = "aarch64")]
global_asm!(
    ".globl podwire_start",
    "podwire_start:",
    "mov x29, #0", // the end of the chain of frames
    "mov x30, #0",
    "mov x0, sp",
    "adrp x1, {stack}",
    "add x1, x1, :lo12:{stack}",
    "mov x2, #{size}",
    "add x1, x1, x2",
    "mov sp, x1",
    "bl {start}",
    "brk #1",
    stack = sym STACK,
    size = const SIZE,
    start = sym start,
);

type Main = extern "C" fn(c_int, *const *const c_char, *const *const c_char) -> c_int;

unsafe extern "C" {
    /// The C library's own beginning (musl, src/env/__libc_start_main.c): readies itself, calls `main`, exits with its
    /// result.
    fn __libc_start_main(
        main: Main,
        argc: c_int,
        argv: *const *const c_char,
        init: *const u8,
        fini: *const u8,
        ldso: *const u8,
    ) -> c_int;
}

/// `top` is where the kernel left argc, argv and the environment, one after the other.
unsafe extern "C" fn start(top: *const usize) -> ! {
    crate::kernel::guard(addr_of_mut!(STACK) as usize, GUARD);
    // SAFETY: the kernel's stack stays where it is, and its content is what the C library expects of it.
    unsafe { __libc_start_main(crate::main, *top as c_int, top.add(1).cast(), null(), null(), null()) };
    unreachable!()
}
