//! Changes to JSON that leave most of it as it was: one value, one key, one member.
use super::random::Random;
use super::{json, mutate};

/// Values that programs trip over.
pub const ODD: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-1",
    "1",
    "65536",
    "4294967296",
    "9007199254740993",
    "-9223372036854775809",
    "1e400",
    "-0",
    "1e-7",
    "0.5",
    "1500.0",
    "\"\"",
    "\"\\ud800\"",
    "\"\\u0000\"",
    "\"a\\u0000b\"",
    "\"\\udc00\\ud800\"",
    "\"\u{202e}\"",
    "[]",
    "{}",
    "[null]",
    "[[]]",
    "[{}]",
    "{\"a\":{}}",
    "{\"__proto__\":{\"mtu\":1}}",
    "\"__proto__\"",
    "\"constructor\"",
    "\"lo\"",
    "\"eth0\"",
    "\"br0\"",
    "\"sixteen-bytes-xx\"",
    "\"../x\"",
    "\"a b\"",
    "\"%d\"",
    "\"10.9.0.5\"",
    "\"10.9.0.0/24\"",
    "\"10.9.0.0/33\"",
    "\"0.0.0.0/0\"",
    "\"::/0\"",
    "\"::ffff:1.2.3.4\"",
    "\"fd00:9::/64\"",
    "\"fe80::1\"",
    "\"127.0.0.1\"",
    "\"224.0.0.1\"",
    "\"255.255.255.255/32\"",
    "\"0a:58:0a:09:00:05\"",
    "\"00:00:00:00:00:00\"",
    "\"ff:ff:ff:ff:ff:ff\"",
    "\"host-local\"",
    "\"static\"",
    "\"other\"",
    "\"nftables\"",
    "\"iptables\"",
    "\"link-local\"",
    "\"0.1.0\"",
    "\"0.2.0\"",
    "\"0.3.1\"",
    "\"0.4.0\"",
    "\"1.0.0\"",
    "\"1.1.0\"",
    "\"9.9.9\"",
    "\"tcp\"",
    "\"UDP\"",
    "\"sctp\"",
    "\"-m x\"",
];

const KEYS: &[&str] = &[
    "name",
    "type",
    "cniVersion",
    "bridge",
    "isGateway",
    "isDefaultGateway",
    "forceAddress",
    "ipMasq",
    "ipMasqBackend",
    "mtu",
    "hairpinMode",
    "promiscMode",
    "vlan",
    "vlanTrunk",
    "id",
    "minID",
    "maxID",
    "preserveDefaultVlan",
    "macspoofchk",
    "enabledad",
    "disableContainerInterface",
    "portIsolation",
    "gatewayMode",
    "dns",
    "nameservers",
    "search",
    "args",
    "cni",
    "mac",
    "ips",
    "ipRanges",
    "runtimeConfig",
    "portMappings",
    "hostPort",
    "containerPort",
    "protocol",
    "hostIP",
    "backend",
    "snat",
    "masqAll",
    "markMasqBit",
    "externalSetMarkChain",
    "conditionsV4",
    "conditionsV6",
    "ipam",
    "ranges",
    "subnet",
    "rangeStart",
    "rangeEnd",
    "gateway",
    "routes",
    "dst",
    "gw",
    "priority",
    "table",
    "scope",
    "dataDir",
    "resolvConf",
    "prevResult",
    "interfaces",
    "interface",
    "sandbox",
    "address",
    "cni.dev/valid-attachments",
    "containerID",
    "ifname",
    "log",
    "level",
    "file",
    "capabilities",
    "HOSTPORT",
    "Name",
    "plugins",
    "__proto__",
];

/// A value as JSON has it, seldom a large one.
fn odd_value(random: &mut Random) -> Vec<u8> {
    match random.below(60) {
        0 => [b"\"".to_vec(), b"x".repeat(random.up_to_bits(16)), b"\"".to_vec()].concat(),
        1 => nested(random, b"[", b"]"),
        2 => nested(random, b"{\"a\":", b"}"),
        3 => [b"[".to_vec(), b"1,".repeat(random.up_to_bits(10)), b"1]".to_vec()].concat(),
        4 => b"9".repeat(1 + random.up_to_bits(9)),
        5 => format!("{}", random.next() as i64).into_bytes(),
        6 => format!("\"10.{}.{}.{}/{}\"", random.below(256), random.below(256), random.below(256), random.below(34))
            .into_bytes(),
        _ => random.pick(ODD).as_bytes().to_vec(),
    }
}

fn nested(random: &mut Random, open: &[u8], close: &[u8]) -> Vec<u8> {
    let depth = if random.one_in(8) { random.up_to_bits(17) } else { random.up_to_bits(8) };
    [open.repeat(depth), b"0".to_vec(), close.repeat(depth)].concat()
}

/// Changes one thing in a JSON text, which it need not be any more; `donor` is another one.
pub fn change(random: &mut Random, text: &mut Vec<u8>, donor: &[u8]) {
    let (spans, _) = json::values(text);
    if spans.is_empty() || random.one_in(12) {
        return mutate::text(random, text);
    }
    let span = *random.pick(&spans);
    let replacement = match random.below(12) {
        0..4 => odd_value(random),
        4 | 5 => {
            let (theirs, _) = json::values(donor);
            if theirs.is_empty() { odd_value(random) } else { slice(donor, random.pick(&theirs)) }
        }
        6 => slice(text, random.pick(&spans)),
        7 => [b"[".to_vec(), slice(text, &span), b"]".to_vec()].concat(),
        8 if span.pair < span.start => return remove(text, &span),
        9 if span.pair < span.start => return rename(random, text, &span),
        _ => {
            let key = random.pick(KEYS);
            let pair = [format!("\"{key}\":").as_bytes(), &odd_value(random)].concat();
            let inside = slice(text, &span);
            match inside.first() {
                Some(b'{') if inside.len() > 2 => [b"{".to_vec(), pair, b",".to_vec(), inside[1..].to_vec()].concat(),
                Some(b'{') => [b"{".to_vec(), pair, b"}".to_vec()].concat(),
                Some(b'[') if inside.len() > 2 => {
                    [b"[".to_vec(), inside[1..inside.len() - 1].to_vec(), b",".to_vec(), inside[1..].to_vec()].concat()
                }
                _ => odd_value(random),
            }
        }
    };
    text.splice(span.start..span.end, replacement);
}

fn slice(text: &[u8], span: &json::Span) -> Vec<u8> {
    text[span.start..span.end].to_vec()
}

/// Without a member, and without the comma behind or before it.
fn remove(text: &mut Vec<u8>, span: &json::Span) {
    let (mut from, mut to) = (span.pair, span.end);
    if text.get(to) == Some(&b',') {
        to += 1;
    } else if from > 0 && text[from - 1] == b',' {
        from -= 1;
    }
    text.drain(from..to);
}

fn rename(random: &mut Random, text: &mut Vec<u8>, span: &json::Span) {
    let key = random.pick(KEYS);
    text.splice(span.pair..span.start, format!("\"{key}\":").into_bytes());
}
