package main

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"slices"

	pb "meltica.example/client/gen"
)

const (
	digestLevels      = 20
	bufferedDeltasMax = 4096
)

// side holds the levels of one side inside the known window, as whole numbers (mantissas).
type side struct {
	sign   int64 // 1 bids, -1 asks: sign * price is the greater the better
	levels map[int64]int64
	bound  int64 // worst sign * price that is known; MinInt64: there are no other levels
}

func (s *side) replace(l *pb.Levels, whole bool) {
	s.levels = make(map[int64]int64, len(l.GetPrices()))
	// A side that is not whole is known down to its last level; without any, nothing is known.
	s.bound = math.MaxInt64
	for i, price := range l.GetPrices() {
		s.levels[price] = l.Quantities[i]
		s.bound = s.sign * price
	}
	if whole {
		s.bound = math.MinInt64
	}
}

func (s *side) change(l *pb.Levels) {
	for i, price := range l.GetPrices() {
		switch quantity := l.Quantities[i]; {
		case s.sign*price < s.bound: // beyond the window: not known to be complete
		case quantity == 0:
			delete(s.levels, price)
		default:
			s.levels[price] = quantity
		}
	}
}

func (s *side) appendTo(data []byte) []byte {
	best := make([]int64, 0, len(s.levels))
	for price := range s.levels {
		best = append(best, s.sign*price)
	}
	slices.Sort(best)
	slices.Reverse(best)
	best = best[:min(digestLevels, len(best))]
	data = binary.LittleEndian.AppendUint32(data, uint32(len(best)))
	for _, rank := range best {
		price := s.sign * rank
		data = binary.LittleEndian.AppendUint64(data, uint64(price))
		data = binary.LittleEndian.AppendUint64(data, uint64(s.levels[price]))
	}
	return data
}

type book struct {
	bids, asks side
	held       bool
	wanted     bool // a checkpoint can be asked for: the fused book is LIVE, or nobody said otherwise
	last       int64
	needed     int64 // update id that a checkpoint has to reach: deltas up to it were sent, and are missing here
	epoch      uint64
	wrong      int
	buffer     []*pb.Event // deltas that came while no book is held
}

func newBook() *book {
	return &book{bids: side{sign: 1}, asks: side{sign: -1}, wanted: true}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (b *book) digest() uint32 {
	return crc32.Checksum(b.asks.appendTo(b.bids.appendTo(nil)), castagnoli)
}

func (b *book) compare(what string, version, digest uint32) bool {
	if version == 1 && digest != b.digest() {
		fmt.Fprintf(os.Stderr, "%s at %d has digest %08x, own %08x\n", what, b.last, digest, b.digest())
		b.wrong++
		b.drop()
	}
	return b.held
}

func (b *book) drop() {
	b.held, b.needed, b.buffer = false, 0, nil
}

func (b *book) replace(bids, asks *pb.Levels, bidsWhole, asksWhole bool, last int64) {
	b.bids.replace(bids, bidsWhole)
	b.asks.replace(asks, asksWhole)
	b.last, b.held = last, true
}

func (b *book) apply(e *pb.Event) bool {
	d := e.GetBookDelta()
	b.bids.change(d.Bids)
	b.asks.change(d.Asks)
	b.last = e.Source.Last
	return b.compare("BOOK_DELTA", d.DigestVersion, d.Digest)
}

// checkpoint joins, unless it does not fit what is buffered: then it has to be read again.
func (b *book) checkpoint(c *pb.BookCheckpoint) {
	if c.State != pb.BookState_BOOK_LIVE || c.LastUpdateId < b.needed {
		return
	}
	if len(b.buffer) > 0 && (c.Epoch < b.buffer[0].Epoch || c.LastUpdateId < b.buffer[0].Source.First-1) {
		return
	}
	b.replace(c.Bids, c.Asks, c.BidsWhole, c.AsksWhole, c.LastUpdateId)
	b.epoch = max(b.epoch, c.Epoch)
	buffered := b.buffer
	b.buffer = nil
	right := b.compare("checkpoint", c.DigestVersion, c.Digest)
	for _, e := range buffered {
		if right && e.Source.Last > b.last {
			right = b.apply(e)
		}
	}
}

func (b *book) onDelta(e *pb.Event) {
	s := e.Source
	b.epoch = e.Epoch
	b.wanted = b.wanted || e.GetBookDelta().DigestVersion == 1
	if b.held && s.Last <= b.last {
		return // the book has it already
	}
	if b.held && s.First <= b.last+1 {
		b.apply(e)
		return
	}
	if n := len(b.buffer); b.held || n > 0 && s.First > b.buffer[n-1].Source.Last+1 {
		b.drop() // update ids are missing
	} else if n == bufferedDeltasMax {
		b.buffer = b.buffer[1:]
	}
	b.buffer = append(b.buffer, e)
}

func (b *book) onSnapshot(s *pb.BookSnapshot) {
	if !s.Reset_ {
		return
	}
	back := b.held && s.LastUpdateId < b.last
	b.drop()
	if !back {
		depth := int(s.RequestedDepth)
		b.replace(s.Bids, s.Asks, len(s.Bids.GetPrices()) < depth, len(s.Asks.GetPrices()) < depth, s.LastUpdateId)
	}
}

// expect drops a book that is below an update id whose deltas have left: they are missing here.
func (b *book) expect(updateID int64) {
	if b.held && updateID > b.last {
		b.drop()
		b.needed = updateID
	}
}

// onBook is true when the BOOK is of the same update id as the own book, and equal.
func (b *book) onBook(k *pb.Book) bool {
	b.wanted = k.State == pb.BookState_BOOK_LIVE
	if b.wanted {
		b.expect(k.LastUpdateId) // deltas leave before the BOOK
	}
	same := b.wanted && b.held && k.DigestVersion == 1 && k.LastUpdateId == b.last
	return same && b.compare("BOOK", k.DigestVersion, k.Digest)
}

func (b *book) onStatus(s *pb.Status) {
	switch s.Kind {
	case pb.StatusKind_GAP, pb.StatusKind_IDLE:
		b.drop()
		b.wanted = false
	case pb.StatusKind_SYNCING:
		b.wanted = false
	case pb.StatusKind_LIVE:
		b.wanted = true
	case pb.StatusKind_HEADS:
		for _, head := range s.Heads {
			if head.Type == pb.EventType_BOOK_DELTA {
				b.expect(head.Last)
			}
		}
	}
}

type position struct{ epoch, sequence uint64 }

// channels is what is numbered: a channel is (instrument, type), its events are (epoch, sequence).
type channels struct {
	last         map[pb.EventType]position
	events, gaps uint64
}

// isNew is false for a repeat.
func (c *channels) isNew(e *pb.Event) bool {
	if e.Sequence == 0 {
		return true // a notice, not part of a channel
	}
	before, seen := c.last[e.Type]
	if seen && (e.Epoch < before.epoch || e.Epoch == before.epoch && e.Sequence <= before.sequence) {
		return false
	}
	c.gaps += c.reach(e.Type, e.Epoch, e.Sequence-1)
	c.last[e.Type] = position{e.Epoch, e.Sequence}
	c.events++
	return true
}

// reach brings a channel that was seen to a number: how many up to it were sent and did not come.
func (c *channels) reach(t pb.EventType, epoch, sequence uint64) uint64 {
	before, seen := c.last[t]
	if !seen || epoch < before.epoch {
		return 0
	}
	came := before.sequence
	if epoch > before.epoch {
		came = 0 // a new epoch begins again at 1
	}
	c.last[t] = position{epoch, max(came, sequence)}
	return max(came, sequence) - came
}

// heads counts events that were sent and did not come, also when nothing came after them.
func (c *channels) heads(epoch uint64, heads []*pb.Head) {
	for _, head := range heads {
		c.gaps += c.reach(head.Type, epoch, head.Sequence)
	}
}

// endEpoch counts what is missing at the end of the epoch before the one that starts.
func (c *channels) endEpoch(started uint64, s *pb.Status) {
	var highest uint64
	for _, p := range c.last {
		highest = max(highest, p.epoch)
	}
	switch {
	case highest == 0 || started <= highest: // nothing came before, or it is a repeat
	case s.PreviousEpoch == highest:
		c.heads(highest, s.Heads)
	default:
		c.gaps++ // the end of the last one seen is unknown
	}
}

// onStatus comes before isNew: EPOCH_STARTED speaks of the epoch before its own.
func (c *channels) onStatus(epoch uint64, s *pb.Status) {
	switch s.Kind {
	case pb.StatusKind_HEADS:
		c.heads(epoch, s.Heads)
	case pb.StatusKind_EPOCH_STARTED:
		c.endEpoch(epoch, s)
	case pb.StatusKind_LOST:
		if s.Reason == "unrouted" { // nobody had asked for first to last: they are no loss
			c.gaps += c.reach(s.LostType, epoch, max(s.First, 1)-1)
			c.reach(s.LostType, epoch, s.Last)
		}
	}
}
