//! System calls in the words of the recording: by name and by what they are about.
use super::machine::{Machine, given};
use linux_raw_sys::general::*;
use std::ffi::{CStr, c_char};

/// A system call by its name, what it is known by, and where it writes to.
pub struct Call {
    pub name: &'static str,
    pub words: Vec<String>,
    pub into: Option<(usize, usize)>,
    pub fd: usize,
}

/// The C string at an address.
fn text(address: usize) -> String {
    // SAFETY: the engine passes a C string where the call takes one.
    unsafe { CStr::from_ptr(address as *const c_char) }.to_string_lossy().into_owned()
}

impl Machine {
    pub fn describe(&mut self, number: u32, a: [usize; 6]) -> Call {
        let (name, words, into) = match number {
            __NR_openat => ("open", vec![text(a[1]), format!("{:x}", a[2])], None),
            __NR_linkat => ("link", vec![text(a[1]), text(a[3])], None),
            __NR_renameat2 => ("rename", vec![text(a[1]), text(a[3])], None),
            __NR_symlinkat => ("symlink", vec![text(a[0]), text(a[2])], None),
            __NR_faccessat => ("access", vec![text(a[1]), a[2].to_string()], None),
            __NR_unlinkat => (if a[2] == 0 { "unlink" } else { "rmdir" }, vec![text(a[1])], None),
            __NR_mkdirat => ("mkdir", vec![text(a[1])], None),
            __NR_readlinkat => ("readlink", vec![text(a[1])], Some((a[2], a[3]))),
            __NR_statfs => ("statfs", vec![text(a[0])], Some((a[1], 120))),
            __NR_statx => ("statx", vec![self.label(a[0]), text(a[1]), format!("{:x}", a[2])], Some((a[4], 256))),
            __NR_socket => ("socket", vec![a[0].to_string(), a[1].to_string(), a[2].to_string()], None),
            __NR_ioctl => ("ioctl", vec![self.label(a[0]), a[1].to_string()], None),
            __NR_flock => ("flock", vec![self.label(a[0]), a[1].to_string()], None),
            __NR_setsockopt => {
                given(a[3], a[4]);
                ("setsockopt", vec![self.label(a[0]), a[1].to_string(), a[2].to_string()], None)
            }
            __NR_getsockopt => {
                let length = u32::from_le_bytes(given(a[4], 4).try_into().expect("four bytes"));
                (
                    "getsockopt",
                    vec![self.label(a[0]), a[1].to_string(), a[2].to_string()],
                    Some((a[3], length as usize)),
                )
            }
            __NR_getrandom => ("getrandom", vec![a[1].to_string()], Some((a[0], a[1]))),
            __NR_read => ("read", vec![self.label(a[0])], Some((a[1], a[2]))),
            __NR_getdents64 => ("getdents64", vec![self.label(a[0])], Some((a[1], a[2]))),
            __NR_setns => ("setns", vec![self.label(a[0])], None),
            __NR_bind => ("bind", vec![self.label(a[0])], None),
            __NR_fsync => ("fsync", vec![self.label(a[0])], None),
            __NR_ftruncate => ("ftruncate", vec![self.label(a[0])], None),
            __NR_fchmod => ("fchmod", vec![self.label(a[0])], None),
            __NR_utimensat => {
                given(a[2], 32);
                ("futimens", vec![self.label(a[0])], None)
            }
            _ => {
                self.faults.push(format!("system call {number}, which no test knows"));
                ("?", vec![], None)
            }
        };
        Call { name, words, into, fd: a[0] }
    }
}
