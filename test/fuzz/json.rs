//! Where the values of a JSON text are, without what they are: for changes that keep the rest, and to check answers.

#[derive(Clone, Copy)]
pub struct Span {
    pub start: usize,
    pub end: usize,
    /// where its key begins; `start` for what has none
    pub pair: usize,
    /// how many objects and lists it is in
    pub depth: usize,
}

/// A list or object that has not ended yet.
struct Open {
    span: usize,
    is_object: bool,
}

/// Every value that is complete, and whether the text is JSON.
pub fn values(text: &[u8]) -> (Vec<Span>, bool) {
    let mut spans = Vec::new();
    let valid = scan(text, &mut spans).is_some();
    spans.retain(|span| span.end > 0);
    (spans, valid)
}

/// True for an object with a number as that member.
pub fn has_number(text: &[u8], key: &str) -> Option<i64> {
    let (spans, valid) = values(text);
    let quoted = format!("\"{key}\"");
    let found = spans.iter().find(|span| span.depth == 1 && text[span.pair..].starts_with(quoted.as_bytes()))?;
    std::str::from_utf8(&text[found.start..found.end]).ok()?.parse().ok().filter(|_| valid)
}

fn scan(text: &[u8], spans: &mut Vec<Span>) -> Option<()> {
    let mut open: Vec<Open> = Vec::new();
    let mut at = 0;
    loop {
        at = space(text, at);
        let pair = at;
        if open.last().is_some_and(|last| last.is_object) {
            at = space(text, string(text, at)?);
            at = space(text, expect(text, at, b':')?);
        }
        spans.push(Span { start: at, end: 0, pair, depth: open.len() });
        let span = spans.len() - 1;
        match *text.get(at)? {
            bracket @ (b'{' | b'[') => {
                let inside = space(text, at + 1);
                if text.get(inside) == Some(&(bracket + 2)) {
                    at = inside + 1;
                } else {
                    open.push(Open { span, is_object: bracket == b'{' });
                    at = inside;
                    continue;
                }
            }
            b'"' => at = string(text, at)?,
            _ => at = word(text, at)?,
        }
        spans[span].end = at;
        // what ends here, and whether something follows
        loop {
            at = space(text, at);
            let Some(last) = open.last() else { return (at == text.len()).then_some(()) };
            let end = if last.is_object { b'}' } else { b']' };
            match *text.get(at)? {
                b',' => {
                    at += 1;
                    break;
                }
                byte if byte == end => {
                    at += 1;
                    spans[last.span].end = at;
                    open.pop();
                }
                _ => return None,
            }
        }
    }
}

fn space(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    at
}

fn expect(text: &[u8], at: usize, byte: u8) -> Option<usize> {
    (text.get(at) == Some(&byte)).then_some(at + 1)
}

fn string(text: &[u8], at: usize) -> Option<usize> {
    let mut at = expect(text, at, b'"')?;
    loop {
        match *text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            0..=31 => return None,
            _ => at += 1,
        }
    }
}

/// A number or a literal, roughly.
fn word(text: &[u8], at: usize) -> Option<usize> {
    let length = text[at..].iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte)).count();
    (length > 0).then_some(at + length)
}
