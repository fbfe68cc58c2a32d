//! The book that this consumer keeps, and the numbers of the channels.

use std::collections::{HashMap, VecDeque};

use crate::pb;

const DIGEST_LEVELS: usize = 20;
const BUFFERED_DELTAS_MAX: usize = 4096;

/// Levels of one side inside the known window, as whole numbers (mantissas).
struct Side {
    sign: i64, // 1 bids, -1 asks: sign * price is the greater the better
    levels: HashMap<i64, i64>,
    bound: i64, // worst sign * price that is known; MIN: there are no other levels
}

impl Side {
    fn new(sign: i64) -> Self {
        Side { sign, levels: HashMap::new(), bound: i64::MAX }
    }

    fn replace(&mut self, side: &pb::Levels, whole: bool) {
        self.levels = side.prices.iter().copied().zip(side.quantities.iter().copied()).collect();
        // A side that is not whole is known down to its last level; without any, nothing is known.
        let last = side.prices.last().map_or(i64::MAX, |price| self.sign * price);
        self.bound = if whole { i64::MIN } else { last };
    }

    fn change(&mut self, side: &pb::Levels) {
        for (&price, &quantity) in side.prices.iter().zip(&side.quantities) {
            if self.sign * price < self.bound {
                continue; // beyond the window: not known to be complete
            }
            if quantity == 0 {
                self.levels.remove(&price);
            } else {
                self.levels.insert(price, quantity);
            }
        }
    }

    fn append_to(&self, data: &mut Vec<u8>) {
        let mut best: Vec<_> = self.levels.iter().collect();
        best.sort_unstable_by_key(|(price, _)| -self.sign * **price);
        best.truncate(DIGEST_LEVELS);
        data.extend((best.len() as u32).to_le_bytes());
        for (price, quantity) in best {
            data.extend(price.to_le_bytes());
            data.extend(quantity.to_le_bytes());
        }
    }
}

pub struct Book {
    bids: Side,
    asks: Side,
    pub held: bool,
    pub wanted: bool, // a checkpoint can be asked for: the fused book is LIVE, or nobody said otherwise
    pub last: i64,
    needed: i64, // update id that a checkpoint has to reach: deltas up to it were sent, and are missing here
    pub epoch: u64,
    pub wrong: u64,
    buffer: VecDeque<(pb::Source, u64, pb::BookDelta)>, // that came, with their epochs, while no book is held
}

impl Book {
    pub fn new() -> Self {
        let (bids, asks) = (Side::new(1), Side::new(-1));
        Book { bids, asks, held: false, wanted: true, last: 0, needed: 0, epoch: 0, wrong: 0, buffer: VecDeque::new() }
    }

    pub fn digest(&self) -> u32 {
        let mut data = Vec::new();
        self.bids.append_to(&mut data);
        self.asks.append_to(&mut data);
        crc32c::crc32c(&data)
    }

    fn compare(&mut self, what: &str, version: u32, digest: u32) -> bool {
        if version == 1 && digest != self.digest() {
            eprintln!("{what} at {} has digest {digest:08x}, own {:08x}", self.last, self.digest());
            self.wrong += 1;
            self.drop();
        }
        self.held
    }

    fn drop(&mut self) {
        (self.held, self.needed) = (false, 0);
        self.buffer.clear();
    }

    fn replace(&mut self, bids: Option<&pb::Levels>, asks: Option<&pb::Levels>, whole: (bool, bool), last: i64) {
        let none = pb::Levels::default();
        self.bids.replace(bids.unwrap_or(&none), whole.0);
        self.asks.replace(asks.unwrap_or(&none), whole.1);
        (self.last, self.held) = (last, true);
    }

    fn apply(&mut self, source: &pb::Source, delta: &pb::BookDelta) -> bool {
        delta.bids.iter().for_each(|side| self.bids.change(side));
        delta.asks.iter().for_each(|side| self.asks.change(side));
        self.last = source.last;
        self.compare("BOOK_DELTA", delta.digest_version, delta.digest)
    }

    /// Joins, unless it does not fit what is buffered: then it has to be read again.
    pub fn checkpoint(&mut self, c: &pb::BookCheckpoint) {
        if c.state() != pb::BookState::BookLive || c.last_update_id < self.needed {
            return;
        }
        if let Some((source, epoch, _)) = self.buffer.front()
            && (c.epoch < *epoch || c.last_update_id < source.first - 1)
        {
            return;
        }
        self.replace(c.bids.as_ref(), c.asks.as_ref(), (c.bids_whole, c.asks_whole), c.last_update_id);
        self.epoch = self.epoch.max(c.epoch);
        let buffered = std::mem::take(&mut self.buffer);
        let mut right = self.compare("checkpoint", c.digest_version, c.digest);
        for (source, _, delta) in &buffered {
            if right && source.last > self.last {
                right = self.apply(source, delta);
            }
        }
    }

    pub fn on_delta(&mut self, source: pb::Source, epoch: u64, delta: pb::BookDelta) {
        self.epoch = epoch;
        self.wanted |= delta.digest_version == 1;
        if self.held && source.last <= self.last {
            return; // the book has it already
        }
        if self.held && source.first <= self.last + 1 {
            self.apply(&source, &delta);
            return;
        }
        if self.held || self.buffer.back().is_some_and(|(before, ..)| source.first > before.last + 1) {
            self.drop(); // update ids are missing
        } else if self.buffer.len() == BUFFERED_DELTAS_MAX {
            self.buffer.pop_front();
        }
        self.buffer.push_back((source, epoch, delta));
    }

    pub fn on_snapshot(&mut self, s: &pb::BookSnapshot) {
        if !s.reset {
            return;
        }
        let back = self.held && s.last_update_id < self.last;
        self.drop();
        if !back {
            let whole = |side: &Option<pb::Levels>| {
                side.as_ref().map_or(0, |levels| levels.prices.len()) < s.requested_depth as usize
            };
            self.replace(s.bids.as_ref(), s.asks.as_ref(), (whole(&s.bids), whole(&s.asks)), s.last_update_id);
        }
    }

    /// Drops a book that is below an update id whose deltas have left: they are missing here.
    fn expect(&mut self, update_id: i64) {
        if self.held && update_id > self.last {
            self.drop();
            self.needed = update_id;
        }
    }

    /// True when the BOOK is of the same update id as the own book, and equal.
    pub fn on_book(&mut self, b: &pb::Book) -> bool {
        self.wanted = b.state() == pb::BookState::BookLive;
        if self.wanted {
            self.expect(b.last_update_id); // deltas leave before the BOOK
        }
        let same = self.wanted && self.held && b.digest_version == 1 && b.last_update_id == self.last;
        same && self.compare("BOOK", b.digest_version, b.digest)
    }

    pub fn on_status(&mut self, s: &pb::Status) {
        use pb::StatusKind::{Gap, Heads, Idle, Live, Syncing};
        if matches!(s.kind(), Gap | Idle) {
            self.drop();
        }
        if matches!(s.kind(), Gap | Idle | Syncing | Live) {
            self.wanted = s.kind() == Live;
        }
        if s.kind() == Heads {
            for head in s.heads.iter().filter(|head| head.r#type() == pb::EventType::BookDelta) {
                self.expect(head.last);
            }
        }
    }
}

/// What is numbered: a channel is (instrument, type), its events are (epoch, sequence).
#[derive(Default)]
pub struct Channels {
    last: HashMap<i32, (u64, u64)>,
    pub events: u64,
    pub gaps: u64,
}

impl Channels {
    /// False for a repeat.
    pub fn is_new(&mut self, e: &pb::Event) -> bool {
        if e.sequence == 0 {
            return true; // a notice, not part of a channel
        }
        if self.last.get(&e.r#type).is_some_and(|&before| (e.epoch, e.sequence) <= before) {
            return false;
        }
        self.gaps += self.reach(e.r#type, e.epoch, e.sequence - 1);
        self.last.insert(e.r#type, (e.epoch, e.sequence));
        self.events += 1;
        true
    }

    /// Brings a channel that was seen to a number: how many up to it were sent and did not come.
    fn reach(&mut self, kind: i32, epoch: u64, sequence: u64) -> u64 {
        let Some(last) = self.last.get_mut(&kind).filter(|last| epoch >= last.0) else {
            return 0;
        };
        let came = if epoch == last.0 { last.1 } else { 0 }; // a new epoch begins again at 1
        *last = (epoch, came.max(sequence));
        last.1 - came
    }

    /// Counts events that were sent and did not come, also when nothing came after them.
    fn heads(&mut self, epoch: u64, heads: &[pb::Head]) {
        for head in heads {
            self.gaps += self.reach(head.r#type, epoch, head.sequence);
        }
    }

    /// Counts what is missing at the end of the epoch before the one that starts.
    fn end_epoch(&mut self, started: u64, s: &pb::Status) {
        let highest = self.last.values().map(|last| last.0).max().unwrap_or(0);
        if highest == 0 || started <= highest {
            return; // nothing came before, or it is a repeat
        }
        if s.previous_epoch == highest {
            self.heads(highest, &s.heads);
        } else {
            self.gaps += 1; // the end of the last one seen is unknown
        }
    }

    /// Before is_new: EPOCH_STARTED speaks of the epoch before its own.
    pub fn on_status(&mut self, epoch: u64, s: &pb::Status) {
        match s.kind() {
            pb::StatusKind::Heads => self.heads(epoch, &s.heads),
            pb::StatusKind::EpochStarted => self.end_epoch(epoch, s),
            // Nobody had asked for first to last: they are no loss.
            pb::StatusKind::Lost if s.reason == "unrouted" => {
                self.gaps += self.reach(s.lost_type, epoch, s.first.max(1) - 1);
                self.reach(s.lost_type, epoch, s.last);
            }
            _ => (),
        }
    }
}
