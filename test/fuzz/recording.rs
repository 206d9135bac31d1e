//! What test/fuzz/record.ts wrote down: calls of podwire, what each asked of its host, and what it was answered.
use std::collections::HashMap;

/// The result of a write of whatever length it was.
pub const ALL: i64 = i64::MAX;

pub struct Answer {
    /// as the system call returned it; a program's status
    pub result: i64,
    /// what was written to memory; a socket's datagrams; a program's "1" for timed out, its output and its errors
    pub parts: Vec<Vec<u8>>,
}

type Index = HashMap<String, Vec<usize>>;

pub struct Scenario {
    pub name: String,
    pub argv: Vec<Vec<u8>>,
    pub environment: Vec<Vec<u8>>,
    pub stdin: Vec<u8>,
    pub exit: i32,
    /// how many calls it made
    pub length: usize,
    /// the numbers of answers, in their order, by what was asked
    pub index: Index,
}

pub struct Recording {
    pub answers: Vec<Answer>,
    pub scenarios: Vec<Scenario>,
    /// the answers of all scenarios
    pub everywhere: Index,
    /// the same by the name of the call alone
    pub by_name: Index,
}

impl Recording {
    pub fn parse(text: &str) -> Recording {
        let (table, rest) = text.split_once("\n\n").expect("a table of calls, an empty line, scenarios");
        let lines: Vec<&str> = table.lines().skip(1).collect();
        let keys: Vec<Vec<String>> = lines.iter().map(|line| keys_of(line)).collect();
        let answers = lines.iter().map(|line| answer(line)).collect();
        let scenarios = rest.split("\n\n").map(|block| scenario(block, &keys)).collect();
        let mut everywhere = Index::new();
        (0..keys.len()).for_each(|number| note(&mut everywhere, &keys, number));
        let mut by_name = Index::new();
        for (number, key) in keys.iter().enumerate() {
            let name = key[0].trim_start_matches("pod ").split(' ').next().unwrap_or("");
            by_name.entry(name.to_owned()).or_default().push(number);
        }
        Recording { answers, scenarios, everywhere, by_name }
    }
}

fn note(index: &mut Index, keys: &[Vec<String>], number: usize) {
    for key in &keys[number] {
        index.entry(key.clone()).or_default().push(number);
    }
}

/// A call as it was made; a request to a socket also without its content, and with its first message's type alone.
fn keys_of(line: &str) -> Vec<String> {
    let key = text_of(line.split('\t').next().unwrap_or(""));
    let mut keys = vec![key.clone()];
    if key.starts_with("send ") || key.starts_with("pod send ") {
        let mut shorter = key.as_str();
        for _ in 0..2 {
            shorter = shorter.rsplit_once(' ').expect("socket, type, count and content").0;
            keys.push(shorter.to_owned());
        }
    }
    keys
}

fn answer(line: &str) -> Answer {
    let mut columns = line.split('\t').skip(1);
    let result = columns.next().expect("a result");
    Answer {
        result: if result == "all" { ALL } else { result.parse().expect("a number") },
        parts: columns.map(unescape).collect(),
    }
}

fn scenario(block: &str, keys: &[Vec<String>]) -> Scenario {
    let all = |word: &str| {
        block
            .lines()
            .filter_map(|line| line.split_once(' ').filter(|(first, _)| *first == word).map(|(_, rest)| unescape(rest)))
            .collect()
    };
    let lists: Vec<Vec<u8>> = all("calls");
    let mut index = Index::new();
    let mut length = 0;
    for range in String::from_utf8_lossy(&lists[0]).split_whitespace() {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        for number in from.parse::<usize>().expect("a number")..=to.parse().expect("a number") {
            note(&mut index, keys, number);
            length += 1;
        }
    }
    let one = |word: &str| -> Vec<u8> { all(word).into_iter().next().unwrap_or_default() };
    let exit = String::from_utf8_lossy(&one("exit")).parse().expect("a number");
    Scenario {
        name: String::from_utf8_lossy(&one("scenario")).into(),
        argv: all("argv"),
        environment: all("env"),
        stdin: one("stdin"),
        exit,
        length,
        index,
    }
}

fn text_of(escaped: &str) -> String {
    String::from_utf8_lossy(&unescape(escaped)).into()
}

/// Undoes `escapeBytes` of test/fuzz/recorder.ts.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'~' => bytes.push(0),
            b'\\' => rest = unescape_one(rest, &mut bytes),
            _ => bytes.push(byte),
        }
    }
    bytes
}

fn unescape_one<'a>(rest: &'a [u8], bytes: &mut Vec<u8>) -> &'a [u8] {
    let text = |from: &'a [u8]| std::str::from_utf8(from).expect("ASCII");
    match rest[0] {
        b'n' => bytes.push(b'\n'),
        b'\\' => bytes.push(b'\\'),
        b'x' => {
            bytes.push(u8::from_str_radix(text(&rest[1..3]), 16).expect("two digits"));
            return &rest[3..];
        }
        _ => {
            let end = rest.iter().position(|&byte| byte == b';').expect("a count of zeros");
            bytes.resize(bytes.len() + text(&rest[..end]).parse::<usize>().expect("a number"), 0);
            return &rest[end + 1..];
        }
    }
    &rest[1..]
}
