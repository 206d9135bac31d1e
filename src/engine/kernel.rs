//! System calls, as the kernel has them: a negative result is an errno (syscall(2); asm/unistd.h for the numbers).
use core::arch::asm;
use core::ops::RangeInclusive;
use linux_raw_sys::general::{MAP_ANONYMOUS, MAP_PRIVATE, MREMAP_MAYMOVE, PROT_NONE, PROT_READ, PROT_WRITE};

/// What a call returns when it failed.
pub const MAP_FAILED: RangeInclusive<isize> = -4095..=-1;
/// asm-generic/mman-common.h, Linux 5.14
pub const MADV_POPULATE_READ: usize = 22;
pub const MADV_POPULATE_WRITE: usize = 23;

/// Any system call.
///
/// # Safety
/// What the call does to memory must be sound: pointers among the arguments lead to memory of the length they are used
/// with.
#[cfg(target_arch = "x86_64")]
pub unsafe fn enter(number: u32, args: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: the kernel keeps every register but these three; the caller vouches for the rest.
    unsafe {
        asm!("syscall", inlateout("rax") number as isize => result, in("rdi") args[0], in("rsi") args[1],
            in("rdx") args[2], in("r10") args[3], in("r8") args[4], in("r9") args[5],
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

/// Any system call.
///
/// # Safety
/// What the call does to memory must be sound: pointers among the arguments lead to memory of the length they are used
/// with.
#[cfg(target_arch = "aarch64")]
pub unsafe fn enter(number: u32, args: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: the kernel keeps every register but x0; the caller vouches for the rest.
    unsafe {
        asm!("svc 0", in("x8") number as usize, inlateout("x0") args[0] as isize => result, in("x1") args[1],
            in("x2") args[2], in("x3") args[3], in("x4") args[4], in("x5") args[5], options(nostack));
    }
    result
}

#[cfg(feature = "fuzz")]
pub use crate::fuzz::syscall;
#[cfg(not(feature = "fuzz"))]
pub use enter as syscall;

/// As `syscall`, with as many arguments as are given.
#[macro_export]
macro_rules! sys {
    ($number:ident $(, $arg:expr)*) => {{
        let given: &[usize] = &[$($arg as usize),*];
        let mut args = [0; 6];
        args[..given.len()].copy_from_slice(given);
        $crate::kernel::syscall(linux_raw_sys::general::$number, args)
    }};
}

/// Zeroed memory of its own.
pub fn map(length: usize) -> isize {
    // SAFETY: a new mapping touches none that is there.
    unsafe { sys!(__NR_mmap, 0, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1_isize, 0) }
}

/// Makes a mapping longer or shorter, perhaps at another place; the caller forgets the old one.
pub fn mremap(start: *mut u8, old: usize, new: usize) -> isize {
    // SAFETY: the heap passes a mapping it made and moves its only pointer to it.
    unsafe { sys!(__NR_mremap, start, old, new, MREMAP_MAYMOVE, 0) }
}

pub fn munmap(start: *mut u8, length: usize) {
    // SAFETY: the heap passes a mapping it made and whose block was given back.
    unsafe { sys!(__NR_munmap, start, length) };
}

/// Has the pages of memory ready, to be read or written to; where the kernel cannot, they come one by one.
pub fn prefault(start: usize, length: usize, advice: usize) {
    // SAFETY: the content stays.
    unsafe { sys!(__NR_madvise, start, length & !4095, advice) };
}

/// Makes memory trap whoever touches it.
pub fn guard(start: usize, length: usize) {
    // SAFETY: the caller gives up the memory.
    unsafe { sys!(__NR_mprotect, start, length, PROT_NONE) };
}
