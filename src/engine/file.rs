//! Whole files, for the build, and words for people.
use crate::kernel::syscall;
use crate::sys;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::CStr;
use linux_raw_sys::errno::EINTR;
use linux_raw_sys::general::{AT_FDCWD, O_CLOEXEC, O_CREAT, O_RDONLY, O_TRUNC, O_WRONLY};

fn failed(path: &CStr, result: isize) -> String {
    format!("{}: errno {}", path.to_string_lossy(), -result)
}

pub fn read(path: &CStr) -> Result<Vec<u8>, String> {
    let mut bytes: Vec<u8> = Vec::new();
    // SAFETY: the kernel writes into spare room and says how much.
    unsafe {
        let fd = sys!(__NR_openat, AT_FDCWD as isize, path.as_ptr(), O_RDONLY | O_CLOEXEC, 0);
        let mut count = fd;
        while count >= 0 {
            bytes.reserve(1 << 20);
            count = sys!(__NR_read, fd, bytes.as_mut_ptr().add(bytes.len()), bytes.capacity() - bytes.len());
            if count == 0 {
                sys!(__NR_close, fd);
                return Ok(bytes);
            }
            bytes.set_len(bytes.len() + count.max(0) as usize);
        }
        Err(failed(path, count))
    }
}

pub fn write(path: &CStr, bytes: &[u8]) -> Result<(), String> {
    // SAFETY: the kernel reads the bytes.
    let fd =
        unsafe { sys!(__NR_openat, AT_FDCWD as isize, path.as_ptr(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o755) };
    if fd < 0 {
        return Err(failed(path, fd));
    }
    let result = print(fd, bytes);
    // SAFETY: the descriptor is ours.
    unsafe { sys!(__NR_close, fd) };
    if result < 0 { Err(failed(path, result)) } else { Ok(()) }
}

/// Writes all of it; the negative errno where that fails, else 0.
pub fn print(fd: isize, mut bytes: &[u8]) -> isize {
    while !bytes.is_empty() {
        // SAFETY: the kernel reads the bytes.
        let count = unsafe {
            syscall(linux_raw_sys::general::__NR_write, [fd as usize, bytes.as_ptr() as usize, bytes.len(), 0, 0, 0])
        };
        if count == -(EINTR as isize) {
            continue;
        }
        if count <= 0 {
            return count.min(-1);
        }
        bytes = &bytes[count as usize..];
    }
    0
}
