//! Netlink as far as the simulated kernel has to know it: numbers of messages, plain answers, and damage.
use super::random::Random;

/// linux/netlink.h
pub const HEADER: usize = 16;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP: u16 = 0x300;

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

/// Where the messages of a datagram begin and end.
fn messages(bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at + HEADER <= bytes.len() {
        let length = (u32_at(bytes, at) as usize).max(HEADER);
        found.push((at, bytes.len().min(at + length)));
        at += (length + 3) & !3;
    }
    found
}

/// FNV-1a
fn hash(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |value, &byte| (value ^ byte as u32).wrapping_mul(0x0100_0193))
}

/// What test/fuzz/recorder.ts calls such a request.
pub fn request_key(bytes: &[u8]) -> String {
    let types: Vec<String> =
        messages(bytes).iter().map(|&(at, _)| format!("{}.{}", u16_at(bytes, at + 4), u16_at(bytes, at + 6))).collect();
    let mut copy = bytes.to_vec();
    messages(bytes).iter().for_each(|&(at, _)| put(&mut copy, at + 8, &[0; 4]));
    format!(
        "{} {}.{:x} {:x}",
        types.first().map_or("", String::as_str),
        types.len(),
        hash(types.join("+").as_bytes()),
        hash(&copy)
    )
}

pub fn hash_text(bytes: &[u8]) -> String {
    format!("{:x}", hash(bytes))
}

/// The number of the first message.
pub fn first_number(bytes: &[u8]) -> u32 {
    if bytes.len() >= HEADER { u32_at(bytes, 8) } else { 0 }
}

/// A recorded answer with its messages' numbers counted from `first`.
pub fn numbered(datagram: &[u8], first: u32) -> Vec<u8> {
    let mut copy = datagram.to_vec();
    for (at, _) in messages(datagram) {
        put(&mut copy, at + 8, &u32_at(datagram, at + 8).wrapping_add(first).to_le_bytes());
    }
    copy
}

/// What a kernel says that does what it is asked, or, where `errno` is not 0, does nothing of it.
pub fn plain_answers(request: &[u8], errno: i32) -> Vec<Vec<u8>> {
    let answer = |&(at, end): &(usize, usize)| {
        let flags = u16_at(request, at + 6);
        let kind = if flags & NLM_F_DUMP == NLM_F_DUMP && errno == 0 { DONE } else { ERROR };
        (errno != 0 || kind == DONE || flags & NLM_F_ACK != 0).then(|| {
            let mut reply = vec![0; HEADER];
            put(&mut reply, 4, &kind.to_le_bytes());
            put(&mut reply, 8, &request[at + 8..at + 12]);
            reply.extend((-errno).to_le_bytes());
            reply.extend(&request[at..end.min(at + HEADER)]);
            let length = reply.len() as u32;
            put(&mut reply, 0, &length.to_le_bytes());
            reply
        })
    };
    messages(request).iter().filter_map(answer).collect()
}

/// Changes one thing in a datagram, mostly so that it still looks like one.
pub fn damage(random: &mut Random, bytes: &mut Vec<u8>) {
    let all = messages(bytes);
    if all.is_empty() {
        return super::mutate::bits(random, bytes);
    }
    let (at, end) = *random.pick(&all);
    match random.below(10) {
        0 => bytes.truncate(random.below(bytes.len() + 1)),
        1 => super::mutate::bits(random, bytes),
        2 => {
            let length =
                *random.pick(&[0, 15, 16, 17, (end - at) as u32 - 1, (end - at) as u32 + 4, 0xffff_ffff, 0x8000_0010]);
            put(bytes, at, &length.to_le_bytes());
        }
        3 => {
            let kind = *random.pick(&[0, 1, ERROR, DONE, 16, 20, 24, 28, 2560, 2567, 0xffff]);
            put(bytes, at + 4, &kind.to_le_bytes());
        }
        4 => {
            let flags = *random.pick(&[0_u16, 1, 2, 0x10, 0x100, 0x200, 0xffff]); // 0x10: NLM_F_DUMP_INTR
            put(bytes, at + 6, &flags.to_le_bytes());
        }
        5 => put(bytes, at + 8, &(random.below(4) as u32).to_le_bytes()),
        6 => {
            let again = bytes[at..end].repeat(1 + random.below(16));
            bytes.splice(at..at, again);
        }
        _ => attribute(random, bytes, (at, end)),
    }
}

/// How long what stands before a message's attributes is: struct ifinfomsg and so on, struct nfgenmsg, struct nlmsgerr.
fn fixed_part(kind: u16) -> usize {
    match kind {
        ERROR => 4 + HEADER,
        20..24 => 8,
        24..32 => 12,
        0..256 => 16,
        _ => 4,
    }
}

/// Changes an attribute of a message (struct nlattr { u16 nla_len; u16 nla_type; }), or one inside of it.
fn attribute(random: &mut Random, bytes: &mut Vec<u8>, (at, end): (usize, usize)) {
    let mut inside = (at + HEADER + fixed_part(u16_at(bytes, at + 4)), end);
    let mut chosen = None;
    while let Some(found) = pick_attribute(random, bytes, inside) {
        chosen = Some(found);
        if random.one_in(2) {
            break;
        }
        inside = (found.0 + 4, found.1);
    }
    let Some((start, end)) = chosen else { return super::mutate::bits(random, bytes) };
    let length = (end - start) as u16;
    match random.below(6) {
        0 => {
            let wrong = *random.pick(&[0, 1, 3, 4, 5, length.wrapping_sub(1), length + 1, length + 4, 0x7fff, 0xffff]);
            put(bytes, start, &wrong.to_le_bytes());
        }
        1 => put(bytes, start + 2, &(random.below(64) as u16).to_le_bytes()),
        2 => super::mutate::bits(random, &mut bytes[start + 4..end]),
        3 => bytes[start + 4..end].fill(*random.pick(&[0, 1, 0xff, b'%'])),
        // cut: what follows it is read as another
        4 => put(bytes, start, &(4 + random.below(length as usize - 3) as u16).to_le_bytes()),
        // gone: the lengths around it are wrong
        _ => drop(bytes.drain(start..(start + (((end - start) + 3) & !3)).min(bytes.len()))),
    }
}

/// One of the attributes between two places, where there are any.
fn pick_attribute(random: &mut Random, bytes: &[u8], (mut at, end): (usize, usize)) -> Option<(usize, usize)> {
    let mut all = Vec::new();
    while at + 4 <= end {
        let length = u16_at(bytes, at) as usize;
        if length < 4 || at + length > end {
            break;
        }
        all.push((at, at + length));
        at += (length + 3) & !3;
    }
    (!all.is_empty()).then(|| *random.pick(&all))
}
