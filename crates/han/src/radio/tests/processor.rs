//! A simulated radio processor with a meter behind it: it does what it is told
//! and counts what comes.

use std::collections::{BTreeMap, VecDeque};

use crate::ash::{Deframer, Frame};

/// The meter's EUI-64.
pub(super) const METER: u64 = 0x000D_6F00_0000_0001;

/// The trust center's, where the meter is beside it.
const OTHER: u64 = 0x000D_6F00_0000_00FF;

pub(super) struct Processor {
    deframer: Deframer,
    next_out: u8,
    next_in: u8,
    up: bool,
    unacknowledged: VecDeque<(u8, Vec<u8>)>,
    out: Vec<u8>,
    random: u64,
    /// Frames of EZSP by identifier.
    pub(super) frames: BTreeMap<u16, u64>,
    /// Messages by profile, cluster, control octet and command.
    pub(super) messages: BTreeMap<(u16, u16, u8, u8), u64>,
    pub(super) damaged: u64,
    pub(super) dead: bool,
    pub(super) version: u8,
    is_joined: bool,
    pub(super) lets_in: bool,
    pub(super) joined_pan: Option<u16>,
    pub(super) key: Vec<u8>,
    pub(super) rejoins: u32,
    pub(super) meter_node: u16,
    pub(super) serves: u16,
    pub(super) silent: bool,
    /// Whether it speaks again once it has joined anew.
    pub(super) comes_back: bool,
    pub(super) wants_keys: bool,
    pub(super) subject: u64,
    pub(super) lies: bool,
    pub(super) stored: Option<bool>,
    pub(super) lose_one_in: Option<u64>,
    pub(super) lost: usize,
    /// A seed, where frames are damaged before they are framed.
    pub(super) hostile: u64,
}

impl Processor {
    /// One that belongs to the meter's network.
    pub(super) fn joined() -> Self {
        Self {
            is_joined: true,
            ..Self::outside()
        }
    }

    /// One that belongs to none.
    pub(super) fn outside() -> Self {
        Self {
            deframer: Deframer::new(),
            next_out: 0,
            next_in: 0,
            up: false,
            unacknowledged: VecDeque::new(),
            out: Vec::new(),
            random: 88_172_645_463_325_252,
            frames: BTreeMap::new(),
            messages: BTreeMap::new(),
            damaged: 0,
            dead: false,
            version: 13,
            is_joined: false,
            lets_in: true,
            joined_pan: None,
            key: Vec::new(),
            rejoins: 0,
            meter_node: 0,
            serves: 0x0702,
            silent: false,
            comes_back: false,
            wants_keys: false,
            subject: METER,
            lies: false,
            stored: None,
            lose_one_in: None,
            lost: 0,
            hostile: 0,
        }
    }

    pub(super) fn unicasts(&self, cluster: u16) -> u64 {
        let own = self
            .messages
            .iter()
            .filter(|((_, own, ..), _)| *own == cluster);
        own.map(|(_, count)| count).sum()
    }

    pub(super) fn written(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    pub(super) fn handle(&mut self, mut octets: &[u8]) {
        if self.dead {
            return;
        }
        while let Some(frame) = self.deframer.next(&mut octets) {
            match frame {
                Some(Frame::Rst) => self.restart(),
                Some(Frame::Data {
                    number,
                    again,
                    acknowledged,
                    data,
                }) if self.up => {
                    self.acknowledged(acknowledged);
                    if number == self.next_in {
                        self.next_in = (self.next_in + 1) & 7;
                        self.put(&Frame::Ack {
                            acknowledged: self.next_in,
                        });
                        self.command(&data);
                    } else if again {
                        self.put(&Frame::Ack {
                            acknowledged: self.next_in,
                        });
                    }
                }
                Some(Frame::Ack { acknowledged }) => self.acknowledged(acknowledged),
                Some(Frame::Nak { acknowledged }) => {
                    self.acknowledged(acknowledged);
                    self.repeat();
                }
                None => {
                    self.damaged += 1;
                    if self.up {
                        self.put(&Frame::Nak {
                            acknowledged: self.next_in,
                        });
                    }
                }
                Some(_) => {}
            }
        }
    }

    pub(super) fn restart(&mut self) {
        self.up = true;
        (self.next_in, self.next_out) = (0, 0);
        self.unacknowledged.clear();
        self.put(&Frame::RstAck {
            version: 2,
            code: 2,
        });
    }

    pub(super) fn lose_network(&mut self) {
        self.callback(0x0019, &[0x91]);
    }

    /// Sends what is not acknowledged again.
    pub(super) fn repeat(&mut self) {
        if self.dead {
            return;
        }
        for (number, data) in self.unacknowledged.clone() {
            self.put(&Frame::Data {
                number,
                again: true,
                acknowledged: self.next_in,
                data,
            });
        }
    }

    fn acknowledged(&mut self, next: u8) {
        if let Some(index) = self
            .unacknowledged
            .iter()
            .position(|(number, _)| (number + 1) & 7 == next)
        {
            self.unacknowledged.drain(..=index);
        }
    }

    fn put(&mut self, frame: &Frame) {
        self.out.extend_from_slice(&frame.to_octets());
    }

    fn next_random(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random
            .wrapping_add(self.hostile.wrapping_mul(0x9E37_79B9))
            >> 7
    }

    fn send(&mut self, mut data: Vec<u8>) {
        if self.hostile != 0 && self.next_random().is_multiple_of(8) {
            let at = usize::try_from(self.next_random()).unwrap() % data.len();
            match self.next_random() % 3 {
                0 => data.truncate(at),
                1 => data[at] ^= 1 << (self.next_random() % 8),
                _ => data.push(0xFF),
            }
        }
        let number = self.next_out;
        self.next_out = (self.next_out + 1) & 7;
        self.unacknowledged.push_back((number, data.clone()));
        self.put(&Frame::Data {
            number,
            again: false,
            acknowledged: self.next_in,
            data,
        });
    }

    fn respond(&mut self, id: u16, parameters: &[u8]) {
        let [low, high] = id.to_le_bytes();
        self.send([&[0, 0x80, 0x01, low, high], parameters].concat());
    }

    fn callback(&mut self, id: u16, parameters: &[u8]) {
        let [low, high] = id.to_le_bytes();
        self.send([&[0, 0x90, 0x01, low, high], parameters].concat());
    }

    fn command(&mut self, data: &[u8]) {
        if let [_, 0, 0, _] = data {
            let version = self.version;
            self.send(vec![0, 0x80, 0x00, version, 2, 0, 0x74]);
            return;
        }
        let id = u16::from_le_bytes([data[3], data[4]]);
        let parameters = data[5..].to_vec();
        *self.frames.entry(id).or_default() += 1;
        match id {
            0x0000 => {
                let version = self.version;
                self.respond(id, &[version, 2, 0, 0x74]);
            }
            0x0017 if self.is_joined => {
                self.respond(id, &[0]);
                self.callback(0x0019, &[0x90]);
            }
            0x0017 => self.respond(id, &[0x93]),
            0x001A => {
                self.respond(id, &[0]);
                let lets_in = u8::from(self.lets_in);
                for (pan, joinable, quality) in [
                    (0x1A61_u16, lets_in, 90),
                    (0x1A62, lets_in, 200),
                    (0x1A63, 0, 255),
                ] {
                    let mut found = vec![15];
                    found.extend_from_slice(&pan.to_le_bytes());
                    found.extend_from_slice(&[1; 8]);
                    found.extend_from_slice(&[joinable, 2, 0, quality, 0xD0]);
                    self.callback(0x001B, &found);
                }
                self.callback(0x001C, &[15, 0]);
            }
            0x001F if parameters.len() == 21 => {
                self.joined_pan = Some(u16::from_le_bytes([parameters[9], parameters[10]]));
                self.respond(id, &[0]);
                self.callback(0x0019, &[0x90]);
            }
            0x0021 => {
                self.rejoins += 1;
                self.silent &= !self.comes_back;
                self.respond(id, &[0]);
                self.callback(0x0019, &[0x90]);
            }
            0x0026 => self.respond(id, &[9; 8]),
            0x0028 => self.respond(id, &[0; 22]),
            0x0005 => self.respond(id, &[]),
            0x0068 => {
                if let Some(key) = parameters.get(2..18) {
                    self.key = key.to_vec();
                }
                self.respond(id, &[0]);
            }
            0x00A5 => {
                let mut told = vec![0];
                told.extend_from_slice(&[0xCE; 48]);
                self.respond(id, &told);
            }
            0x00A4 => {
                self.respond(id, &[0xBA]);
                let mut told = vec![0];
                told.extend_from_slice(&[0xE1; 22]);
                self.callback(0x009E, &told);
            }
            0x009F => {
                self.respond(id, &[0xBA]);
                let mut told = vec![0];
                told.extend_from_slice(&[0x51; 16]);
                told.extend_from_slice(&[0x52; 16]);
                self.callback(0x00A0, &told);
            }
            0x00A1 => {
                if let Some(store) = parameters.first() {
                    self.stored = Some(*store == 1);
                    self.wants_keys &= *store != 1;
                }
                self.respond(id, &[0]);
            }
            0x0034 => {
                self.respond(id, &[0, 1]);
                self.unicast(&parameters);
            }
            _ => self.respond(id, &[0]),
        }
    }

    fn unicast(&mut self, parameters: &[u8]) {
        let word = |at: usize| u16::from_le_bytes([parameters[at], parameters[at + 1]]);
        let (node, profile, cluster) = (word(1), word(3), word(5));
        let (from, to) = (parameters[7], parameters[8]);
        let contents = &parameters[16..];
        let key = match profile {
            0 => (profile, cluster, 0, 0),
            _ => (profile, cluster, contents[0], contents[2]),
        };
        *self.messages.entry(key).or_default() += 1;
        if self.silent {
            return;
        }
        let sequence = if profile == 0 {
            contents[0]
        } else {
            contents[1]
        };
        let Some((cluster, answer)) = self.answer(node, profile, cluster, sequence, contents)
        else {
            return;
        };
        if let Some(one_in) = self.lose_one_in
            && self.next_random().is_multiple_of(one_in)
        {
            self.lost += 1;
            return;
        }
        let mut told = vec![0];
        told.extend_from_slice(&profile.to_le_bytes());
        told.extend_from_slice(&cluster.to_le_bytes());
        told.extend_from_slice(&[to, from, 0x40, 0x01, 0, 0, 5, 200, 0xD8]);
        told.extend_from_slice(&node.to_le_bytes());
        told.extend_from_slice(&[0xFF, 0xFF]);
        told.push(u8::try_from(answer.len()).unwrap());
        told.extend_from_slice(&answer);
        self.callback(0x0045, &told);
    }

    fn answer(
        &self,
        node: u16,
        profile: u16,
        cluster: u16,
        sequence: u8,
        contents: &[u8],
    ) -> Option<(u16, Vec<u8>)> {
        let eui64 = match node {
            node if node == self.meter_node => METER,
            0 => OTHER,
            _ => return None,
        };
        let mut out = Vec::new();
        match (profile, cluster) {
            (0, 0x0000) => {
                let wanted = u64::from_le_bytes(contents.get(1..9)?.try_into().unwrap());
                let found = wanted == METER;
                out.extend_from_slice(&[sequence, if found { 0 } else { 0x81 }]);
                out.extend_from_slice(&wanted.to_le_bytes());
                out.extend_from_slice(&self.meter_node.to_le_bytes());
            }
            (0, 0x0001) => {
                out.extend_from_slice(&[sequence, 0]);
                out.extend_from_slice(&eui64.to_le_bytes());
                out.extend_from_slice(&node.to_le_bytes());
            }
            (0, 0x0004) => {
                out.extend_from_slice(&[sequence, 0]);
                out.extend_from_slice(&node.to_le_bytes());
                // The first endpoint is of another kind.
                let profile = if contents[3] == 1 { 0x0104_u16 } else { 0x0109 };
                out.extend_from_slice(&[10, contents[3]]);
                out.extend_from_slice(&profile.to_le_bytes());
                out.extend_from_slice(&[0x00, 0x05, 0, 1]);
                out.extend_from_slice(&self.serves.to_le_bytes());
                out.push(0);
            }
            (0, 0x0006) => {
                out.extend_from_slice(&[sequence, 0]);
                out.extend_from_slice(&node.to_le_bytes());
                out.extend_from_slice(&[2, 1, 2]);
            }
            (0x0109, 0x0702) if self.wants_keys => {
                out.extend_from_slice(&[0x18, sequence, 0x0B, 0x00, 0x7E]);
            }
            (0x0109, 0x0702) if contents[0] == 0 && contents[2] == 0 => {
                out.extend_from_slice(&[0x18, sequence, 0x01]);
                for id in contents[3..].chunks_exact(2) {
                    out.extend_from_slice(id);
                    match u16::from_le_bytes([id[0], id[1]]) {
                        0x0000 => out.extend_from_slice(&[0, 0x25, 0x15, 0xCD, 0x5B, 7, 0, 0]),
                        0x0400 => out.extend_from_slice(&[0, 0x2A, 0x24, 0xFA, 0xFF]),
                        0x0200 => out.extend_from_slice(&[0, 0x18, 2]),
                        0x0300 | 0x0306 => out.extend_from_slice(&[0, 0x30, 0]),
                        0x0301 => out.extend_from_slice(&[0, 0x22, 1, 0, 0]),
                        0x0302 => out.extend_from_slice(&[0, 0x22, 0xE8, 3, 0]),
                        0x0308 => {
                            out.extend_from_slice(&[0, 0x41, 7]);
                            out.extend_from_slice(b"GWD0001");
                        }
                        _ => out.push(0x86),
                    }
                }
            }
            (0x0109, 0x0800) if contents[0] == 0 => {
                out.extend_from_slice(&[0x18, sequence, 0x01, 0, 0, 0, 0x19, 1, 0]);
            }
            (0x0109, 0x0800) => {
                out.extend_from_slice(&[0x09, sequence, contents[2]]);
                match contents[2] {
                    0 => {
                        out.extend_from_slice(&[1, 0, 10, 10]);
                        let mut certificate = [0xCE; 48];
                        certificate[22..30].copy_from_slice(&self.subject.to_be_bytes());
                        out.extend_from_slice(&certificate);
                    }
                    1 => out.extend_from_slice(&[0xE2; 22]),
                    2 => out.extend_from_slice(&[if self.lies { 0x53 } else { 0x52 }; 16]),
                    _ => return None,
                }
            }
            _ => return None,
        }
        let cluster = if profile == 0 {
            cluster | 0x8000
        } else {
            cluster
        };
        Some((cluster, out))
    }
}
