//! Changes to what podwire reads: a variable, a file, a folder's names. What follows from them is another input each
//! time, for the choices come from the input's number.
use super::configuration;
use super::random::Random;

/// Changes one thing in a text of lines.
pub fn text(random: &mut Random, text: &mut Vec<u8>) {
    let at = random.below(text.len() + 1);
    let rest = text.len() - at;
    match random.below(14) {
        0 => text.clear(),
        1 | 2 => text.truncate(at),
        3 | 4 if rest > 0 => text[at] ^= 1 << random.below(8),
        5 if rest > 0 => text[at] = random.next() as u8,
        6 => {
            text.drain(at..at + random.up_to_bits(6).min(rest));
        }
        7 => {
            let piece = random.up_to_bits(8);
            text.splice(at..at, random.bytes(piece));
        }
        8 => {
            let line = text[at..at + random.up_to_bits(7).min(rest)].to_vec();
            text.splice(at..at, line);
        }
        9 => {
            let word = random.pick(configuration::ODD).trim_matches('"').as_bytes().to_vec();
            text.splice(at..at + random.up_to_bits(4).min(rest), word);
        }
        10 => {
            let byte = *random.pick(b"\0\n\r\t ,:={}[]\"\\/.-\x7f\xc0\xed\xff");
            text.splice(at..at, vec![byte; random.up_to_bits(6)]);
        }
        11 if random.one_in(8) => text.extend(b"x\n".repeat(random.up_to_bits(15))),
        _ => {
            let digits: Vec<usize> = (0..text.len()).filter(|&at| text[at].is_ascii_digit()).collect();
            if !digits.is_empty() {
                text[*random.pick(&digits)] = b'0' + random.below(10) as u8;
            }
        }
    }
}

/// Flips some bits of a structure.
pub fn bits(random: &mut Random, bytes: &mut [u8]) {
    for _ in 0..1 + random.below(4) {
        let at = random.below(bytes.len());
        if let Some(byte) = bytes.get_mut(at) {
            *byte = if random.one_in(3) { random.next() as u8 } else { *byte ^ (1 << random.below(8)) };
        }
    }
}

const NAMES: &[&[u8]] = &[
    b"10.9.0.9",
    b"10.9.0.999",
    b"fd00:9::9",
    b"lock",
    b".podwire",
    b"last_reserved_ip.0",
    b"last_reserved_ip.x",
    b"\xff\xfe",
    b"a b",
    b"veth0",
    b"10.9.0.5.new",
    b"..x",
    b"255.255.255.255",
    b"::",
];

/// Another list of a folder's names, in the kernel's form:
/// struct linux_dirent64 { u64 d_ino; s64 d_off; u16 d_reclen; u8 d_type; char d_name[]; }
pub fn names(random: &mut Random, records: &[u8]) -> Vec<u8> {
    let mut names: Vec<Vec<u8>> = Vec::new();
    let mut at = 0;
    while at + 19 < records.len() {
        let length = u16::from_le_bytes([records[at + 16], records[at + 17]]) as usize;
        names.push(records[at + 19..at + length].iter().copied().take_while(|&byte| byte != 0).collect());
        at += length;
    }
    for _ in 0..1 + random.below(3) {
        let at = random.below(names.len());
        match random.below(3) {
            0 if !names.is_empty() => drop(names.remove(at)),
            1 => names.insert(at, random.pick(NAMES).to_vec()),
            _ => names.insert(at, vec![b'n'; 1 + random.up_to_bits(7)]),
        }
    }
    names.iter().flat_map(|name| dirent(name)).collect()
}

fn dirent(name: &[u8]) -> Vec<u8> {
    let length = (19 + name.len() + 1 + 7) & !7;
    let mut record = vec![0; length];
    record[0] = 1;
    record[16..18].copy_from_slice(&(length as u16).to_le_bytes());
    record[18] = 8; // DT_REG
    record[19..19 + name.len()].copy_from_slice(name);
    record
}
