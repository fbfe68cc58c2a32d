// A consumer of Meltica: asks for an order book, joins it late, follows it and proves that it is right.
//
// See docs/clients.md for what it prints, docs/wire-format.md and docs/late-join.md for the rules that it follows.

import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";

import { fromBinary } from "@bufbuild/protobuf";
import { Kvm } from "@nats-io/kv";
import { connect, type NatsConnection } from "@nats-io/transport-node";

import { Book, Channels, hex } from "./book.js";
import { BookCheckpointSchema, EventSchema } from "./gen/meltica/v1/event_pb.js";

const CHECKPOINT_AGAIN_MS = 50;

const { values: words } = parseArgs({
  options: {
    "nats-url": { type: "string", default: "nats://127.0.0.1:4222" },
    instrument: { type: "string", default: "BTC-USDT" },
    seconds: { type: "string", default: "10" },
    "until-update-id": { type: "string", default: "0" },
    consumer: { type: "string", default: "client-typescript" },
  },
});
const instrument = words.instrument;
const seconds = Number.parseInt(words.seconds, 10);
const until = BigInt(words["until-update-id"]);

interface Answer {
  status: string;
  message?: string;
  channels?: string[];
}

async function control(nc: NatsConnection, verb: string, more: object): Promise<Answer> {
  const request = { consumer: words.consumer, type: "BOOK", instruments: [instrument], ...more };
  const reply = await nc.request(`meltica.control.${verb}`, JSON.stringify(request), { timeout: 5000 });
  const answer = reply.json<Answer>();
  if (answer.status !== "CONFIRMED" && answer.status !== "PENDING") {
    throw new Error(`${verb} was refused: ${answer.status} ${answer.message ?? ""}`);
  }
  return answer;
}

function take(book: Book, channels: Channels, data: Uint8Array): void {
  const event = fromBinary(EventSchema, data);
  if (event.payload.case === "status") {
    channels.onStatus(event.epoch, event.payload.value);
  }
  if (!channels.isNew(event)) {
    return;
  }
  switch (event.payload.case) {
    case "bookDelta": {
      const { first, last } = event.source!;
      book.onDelta({ epoch: event.epoch, first, last, delta: event.payload.value });
      break;
    }
    case "bookSnapshot":
      book.onSnapshot(event.payload.value);
      break;
    case "book":
      if (book.onBook(event.payload.value)) {
        console.log(`book ${event.instrument} last_update_id=${book.last} digest=${hex(book.digest())}`);
      }
      break;
    case "status":
      book.onStatus(event.payload.value);
      break;
  }
}

// True when the end was reached with a book that was right all the time, and nothing was missing.
async function follow(nc: NatsConnection, subject: string): Promise<boolean> {
  const book = new Book();
  const channels = new Channels();
  const end = Date.now() + 1000 * seconds;
  let joined = false;
  let readAt = 0;
  const messages = nc.subscribe(subject)[Symbol.asyncIterator](); // before the checkpoint is read: nothing is missed
  const bucket = await new Kvm(nc).open("meltica-snapshots");
  let next = messages.next();
  while (Date.now() < end) {
    if (!book.held && book.wanted && Date.now() >= readAt) {
      readAt = Date.now() + CHECKPOINT_AGAIN_MS;
      const entry = await bucket.get(`${instrument}.checkpoint`);
      if (entry !== null) {
        book.checkpoint(fromBinary(BookCheckpointSchema, entry.value));
      }
    }
    if (book.held && !joined) {
      joined = true;
      console.log(
        `joined ${instrument} epoch=${book.epoch} last_update_id=${book.last} digest=${hex(book.digest())}`,
      );
    }
    if (book.held && until > 0n && book.last >= until) {
      break;
    }
    const stop = new AbortController();
    const came = await Promise.race([next, delay(CHECKPOINT_AGAIN_MS, undefined, { signal: stop.signal }).catch(() => undefined)]);
    stop.abort();
    if (came !== undefined) {
      if (came.done) {
        throw new Error("the subscription ended");
      }
      take(book, channels, came.value.data);
      next = messages.next();
    }
  }
  console.log(
    `final ${instrument} epoch=${book.epoch} events=${channels.events} gaps=${channels.gaps}` +
      ` last_update_id=${book.last} digest=${hex(book.digest())}`,
  );
  return book.held && book.last >= until && channels.gaps === 0n && book.wrong === 0;
}

const nc = await connect({ servers: words["nats-url"] });
const answer = await control(nc, "subscribe", { ttl_s: seconds + 60 });
const subject = answer.channels![0]!;
console.log(`subscribed ${instrument} ${answer.status} ${subject}`);
const right = await follow(nc, subject);
await control(nc, "unsubscribe", {});
await nc.close();
process.exitCode = right ? 0 : 1;
