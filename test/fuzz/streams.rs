//! Standard streams and sockets of the simulated machine.
use super::described::Call;
use super::machine::{Machine, duration, given, put};
use super::netlink;
use linux_raw_sys::errno::{EAGAIN, EINTR, ENOENT};

impl Machine {
    pub fn read_stdin(&mut self, a: [usize; 6]) -> isize {
        if super::is_broken("hang") {
            return -(EINTR as isize);
        }
        if let Some(errno) = self.plan.failure(&mut self.random, "stdin") {
            return -errno;
        }
        let most = if self.plan.is_changed(&mut self.random) { 1 + self.random.up_to_bits(8) } else { a[2] };
        let piece: Vec<u8> = self.stdin.drain(..self.stdin.len().min(most).min(a[2])).collect();
        put(a[1], &piece);
        if super::is_broken("overflow") {
            put(a[1] + a[2], &self.random.bytes(8));
        }
        piece.len() as isize
    }

    pub fn write(&mut self, a: [usize; 6]) -> isize {
        let bytes = given(a[1], a[2]);
        let name = if a[0] == 1 { "stdout" } else { "write" };
        let label = self.label(a[0]);
        if let Some(errno) = self.plan.failure(&mut self.random, name) {
            self.stdout_failed |= a[0] == 1 && errno != EINTR as isize;
            return -errno;
        }
        let least = (a[0] == 1) as usize; // what is written to is a pipe or a file: it takes something, or fails
        let count = if self.plan.is_changed(&mut self.random) {
            self.random.below(bytes.len() + 1).max(least)
        } else {
            bytes.len()
        };
        match a[0] {
            1 => self.stdout.extend(&bytes[..count]),
            2 => self.stderr.extend(&bytes[..count]),
            _ => {
                let call = Call { name: "write", words: vec![label], into: None, fd: a[0] };
                let recorded = self.find(&[self.key(&call)], true).map(|answer| answer.result);
                return recorded.filter(|&result| result < 0).map_or(count as isize, |errno| errno as isize);
            }
        }
        count as isize
    }

    pub fn send(&mut self, a: [usize; 6]) -> isize {
        let request = given(a[1], a[2]);
        let label = self.label(a[0]);
        if let Some(errno) = self.plan.failure(&mut self.random, "send") {
            return -errno;
        }
        let whole =
            self.key(&Call { name: "send", words: vec![label, netlink::request_key(&request)], into: None, fd: a[0] });
        let types = whole.rsplit_once(' ').map_or("", |(before, _)| before);
        let first_type = types.rsplit_once(' ').map_or("", |(before, _)| before);
        let recorded = self
            .find(&[whole.clone(), types.into(), first_type.into()], true)
            .map(|answer| (answer.result, &answer.parts));
        let errno = *self.random.pick(&[0, 0, 0, 1, ENOENT as i32, 17, 19, 95]);
        let replies = match recorded {
            _ if self.plan.is_changed(&mut self.random) => netlink::plain_answers(&request, errno),
            Some((result, _)) if result < 0 => return result as isize,
            Some((_, parts)) => {
                parts.iter().map(|part| netlink::numbered(part, netlink::first_number(&request))).collect()
            }
            None => netlink::plain_answers(&request, errno),
        };
        if let Some(socket) = self.descriptors.get_mut(&a[0]) {
            socket.pending = replies.into();
        }
        a[2] as isize
    }

    pub fn receive(&mut self, a: [usize; 6]) -> isize {
        self.label(a[0]);
        if let Some(errno) = self.plan.failure(&mut self.random, "recv") {
            return -errno;
        }
        let asked = self.descriptors.get_mut(&a[0]).and_then(|socket| socket.pending.pop_front());
        let Some(mut datagram) = asked.or_else(|| self.told(a[0])) else { return -(EAGAIN as isize) };
        while self.plan.is_changed(&mut self.random) && datagram.len() < 60_000 {
            netlink::damage(&mut self.random, &mut datagram);
        }
        datagram.truncate(a[2]);
        put(a[1], &datagram);
        datagram.len() as isize
    }

    /// What a member of a multicast group hears next.
    fn told(&mut self, fd: usize) -> Option<Vec<u8>> {
        let number = *self.list_for(fd)?.first()?;
        *self.cursors.entry(format!("recv {}", self.descriptors[&fd].label)).or_default() += 1;
        self.recording.answers[number].parts.first().cloned()
    }

    /// What such a member has not heard yet.
    fn list_for(&self, fd: usize) -> Option<&'static [usize]> {
        let key = format!("recv {}", self.descriptors.get(&fd).filter(|socket| socket.is_member)?.label);
        self.scenario.index.get(&key)?.get(self.cursors.get(&key).copied().unwrap_or(0)..)
    }

    pub fn poll(&mut self, a: [usize; 6]) -> isize {
        let list = given(a[0], a[1] * 8); // struct pollfd { int fd; short events; short revents; }
        let until = (a[2] != 0).then(|| duration(&given(a[2], 16)));
        if let Some(errno) = self.plan.failure(&mut self.random, "poll") {
            return -errno;
        }
        let mut ready = 0;
        for (at, entry) in list.chunks(8).enumerate() {
            let fd = i32::from_le_bytes(entry[..4].try_into().expect("four bytes")) as usize;
            let label = self.label(fd);
            let is_socket = label.starts_with("netlink");
            let waits = self.descriptors.get(&fd).is_some_and(|one| !one.pending.is_empty())
                || self.list_for(fd).is_some_and(|list| !list.is_empty());
            let is_ready = until.is_none() || (if is_socket { waits } else { !self.plan.is_changed(&mut self.random) });
            put(a[0] + at * 8 + 6, if is_ready { &entry[4..6] } else { &[0, 0] });
            ready += is_ready as isize;
        }
        if ready == 0 {
            self.nanoseconds += until.unwrap_or(0);
        }
        ready
    }
}
