//! What a process and those it forks count together.
use crate::kernel::enter;
use linux_raw_sys::general::{__NR_mmap, MAP_ANONYMOUS, MAP_SHARED, PROT_READ, PROT_WRITE};

pub const VERBS: [&str; 8] = ["ADD", "CHECK", "DEL", "GC", "STATUS", "VERSION", "other", "none"];
const NOTES: usize = 64;
const LENGTH: usize = 240;

/// Something worth reading that is no finding: the text, how often, and the first input.
#[derive(Clone, Copy)]
pub struct Note {
    length: usize,
    pub count: usize,
    pub first: usize,
    text: [u8; LENGTH],
}

impl Note {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.text[..self.length]).into_owned()
    }
}

pub struct Shared {
    /// the input that is being run
    pub current: usize,
    pub inputs: usize,
    /// how many ended with 0, 1 and 2
    pub ends: [usize; 3],
    pub last_words: usize,
    /// how many ended the process themselves
    pub exits: usize,
    pub calls: usize,
    /// answers that were looked for, and those found in the recording of their own scenario
    pub asked: usize,
    pub known: usize,
    pub findings: usize,
    pub verbs: [usize; VERBS.len()],
    /// by CNI code; the last are all others
    pub codes: [usize; 1001],
    pub notes: [Note; NOTES],
}

impl Shared {
    /// Zeroed memory that stays the same one over fork.
    pub fn map() -> &'static mut Shared {
        let flags = MAP_SHARED | MAP_ANONYMOUS;
        // SAFETY: a new mapping of zeros, which every field may be; it stays, and one process at a time writes to it.
        unsafe {
            let address = enter(
                __NR_mmap,
                [0, size_of::<Shared>(), (PROT_READ | PROT_WRITE) as usize, flags as usize, usize::MAX, 0],
            );
            assert!(address > 0, "no memory");
            &mut *(address as *mut Shared)
        }
    }

    /// Counts a text; how often it was noted.
    pub fn note(&mut self, text: &str) -> usize {
        let text = &text.as_bytes()[..text.len().min(LENGTH)];
        let same = |note: &&mut Note| note.count == 0 || &note.text[..note.length] == text;
        let Some(note) = self.notes.iter_mut().find(same) else { return 0 };
        if note.count == 0 {
            note.first = self.current;
            note.length = text.len();
            note.text[..text.len()].copy_from_slice(text);
        }
        note.count += 1;
        note.count
    }

    pub fn add(&mut self, other: &Shared) {
        self.inputs += other.inputs;
        self.last_words += other.last_words;
        self.exits += other.exits;
        self.calls += other.calls;
        self.asked += other.asked;
        self.known += other.known;
        self.findings += other.findings;
        self.ends.iter_mut().zip(other.ends).for_each(|(sum, count)| *sum += count);
        self.verbs.iter_mut().zip(other.verbs).for_each(|(sum, count)| *sum += count);
        self.codes.iter_mut().zip(other.codes).for_each(|(sum, count)| *sum += count);
    }
}
