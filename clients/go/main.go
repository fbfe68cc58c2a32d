// A consumer of Meltica: asks for an order book, joins it late, follows it and proves that it is right.
//
// See docs/clients.md for what it prints, docs/wire-format.md and docs/late-join.md for the rules that it follows.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	pb "meltica.example/client/gen"
)

const checkpointAgain = 50 * time.Millisecond

var (
	natsURL    = flag.String("nats-url", nats.DefaultURL, "NATS server")
	instrument = flag.String("instrument", "BTC-USDT", "instrument token")
	seconds    = flag.Int("seconds", 10, "end after so long")
	until      = flag.Int64("until-update-id", 0, "end as soon as the book is there")
	consumer   = flag.String("consumer", "client-go", "whose the subscription is")
)

type answer struct {
	Status, Message string
	Channels        []string
}

func control(nc *nats.Conn, verb string, ttl int) (answer, error) {
	request := map[string]any{"consumer": *consumer, "type": "BOOK", "instruments": []string{*instrument}}
	if ttl > 0 {
		request["ttl_s"] = ttl
	}
	body, err := json.Marshal(request)
	if err != nil {
		return answer{}, err
	}
	reply, err := nc.Request("meltica.control."+verb, body, 5*time.Second)
	if err != nil {
		return answer{}, fmt.Errorf("%s: %w", verb, err)
	}
	var a answer
	if err = json.Unmarshal(reply.Data, &a); err == nil && a.Status != "CONFIRMED" && a.Status != "PENDING" {
		err = fmt.Errorf("%s was refused: %s %s", verb, a.Status, a.Message)
	}
	return a, err
}

func take(b *book, c *channels, data []byte) error {
	e := &pb.Event{}
	if err := proto.Unmarshal(data, e); err != nil {
		return err
	}
	if s := e.GetStatus(); s != nil {
		c.onStatus(e.Epoch, s)
	}
	if !c.isNew(e) {
		return nil
	}
	switch p := e.Payload.(type) {
	case *pb.Event_BookDelta:
		b.onDelta(e)
	case *pb.Event_BookSnapshot:
		b.onSnapshot(p.BookSnapshot)
	case *pb.Event_Book:
		if b.onBook(p.Book) {
			fmt.Printf("book %s last_update_id=%d digest=%08x\n", e.Instrument, b.last, b.digest())
		}
	case *pb.Event_Status:
		b.onStatus(p.Status)
	}
	return nil
}

func readCheckpoint(bucket jetstream.KeyValue, b *book) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	entry, err := bucket.Get(ctx, *instrument+".checkpoint")
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil // not yet
	}
	if err != nil {
		return err
	}
	c := &pb.BookCheckpoint{}
	if err = proto.Unmarshal(entry.Value(), c); err == nil {
		b.checkpoint(c)
	}
	return err
}

// follow is true when the end was reached with a book that was right all the time, and nothing was missing.
func follow(nc *nats.Conn, subject string) (bool, error) {
	b, c, joined := newBook(), &channels{last: map[pb.EventType]position{}}, false
	subscription, err := nc.SubscribeSync(subject) // before the checkpoint is read, so that nothing is missed between
	if err != nil {
		return false, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return false, err
	}
	bucket, err := js.KeyValue(context.Background(), "meltica-snapshots")
	if err != nil {
		return false, err
	}
	end, readAt := time.Now().Add(time.Duration(*seconds)*time.Second), time.Time{}
	for time.Now().Before(end) {
		if !b.held && b.wanted && !time.Now().Before(readAt) {
			readAt = time.Now().Add(checkpointAgain)
			if err = readCheckpoint(bucket, b); err != nil {
				return false, err
			}
		}
		if b.held && !joined {
			joined = true
			fmt.Printf("joined %s epoch=%d last_update_id=%d digest=%08x\n", *instrument, b.epoch, b.last, b.digest())
		}
		if b.held && *until > 0 && b.last >= *until {
			break
		}
		message, err := subscription.NextMsg(checkpointAgain)
		if errors.Is(err, nats.ErrTimeout) {
			continue
		}
		if err == nil {
			err = take(b, c, message.Data)
		}
		if err != nil {
			return false, err
		}
	}
	fmt.Printf("final %s epoch=%d events=%d gaps=%d last_update_id=%d digest=%08x\n",
		*instrument, b.epoch, c.events, c.gaps, b.last, b.digest())
	return b.held && b.last >= *until && c.gaps == 0 && b.wrong == 0, nil
}

func run() (bool, error) {
	nc, err := nats.Connect(*natsURL)
	if err != nil {
		return false, err
	}
	defer nc.Close()
	a, err := control(nc, "subscribe", *seconds+60)
	if err != nil {
		return false, err
	}
	fmt.Printf("subscribed %s %s %s\n", *instrument, a.Status, a.Channels[0])
	right, err := follow(nc, a.Channels[0])
	if err != nil {
		return false, err
	}
	_, err = control(nc, "unsubscribe", 0)
	return right, err
}

func main() {
	flag.Parse()
	right, err := run()
	if err != nil {
		log.Fatal(err)
	}
	if !right {
		os.Exit(1)
	}
}
