//! A consumer of Meltica: asks for an order book, joins it late, follows it and proves that it is right.
//!
//! See docs/clients.md for what it prints, docs/wire-format.md and docs/late-join.md for the rules that it follows.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use async_nats::jetstream;
use futures_util::StreamExt;
use prost::Message;
use serde_json::{Value, json};

mod book;
#[allow(dead_code)] // there is more in the contract than this needs
mod pb {
    include!(concat!(env!("OUT_DIR"), "/meltica.v1.rs"));
}
use book::{Book, Channels};
use pb::event::Payload;

type Failure = Box<dyn std::error::Error>;

const CHECKPOINT_AGAIN: Duration = Duration::from_millis(50);

struct Options {
    nats_url: String,
    instrument: String,
    seconds: u64,
    until_update_id: i64,
    consumer: String,
}

fn options() -> Result<Options, Failure> {
    let mut o = Options {
        nats_url: "nats://127.0.0.1:4222".into(),
        instrument: "BTC-USDT".into(),
        seconds: 10,
        until_update_id: 0,
        consumer: "client-rust".into(),
    };
    let mut words = std::env::args().skip(1);
    while let Some(name) = words.next() {
        let value = words.next().ok_or(format!("{name} needs a value"))?;
        match name.as_str() {
            "--nats-url" => o.nats_url = value,
            "--instrument" => o.instrument = value,
            "--seconds" => o.seconds = value.parse()?,
            "--until-update-id" => o.until_update_id = value.parse()?,
            "--consumer" => o.consumer = value,
            _ => return Err(format!("no option {name}").into()),
        }
    }
    Ok(o)
}

async fn control(nc: &async_nats::Client, verb: &str, o: &Options) -> Result<Value, Failure> {
    let mut request = json!({"consumer": o.consumer, "type": "BOOK", "instruments": [o.instrument]});
    if verb == "subscribe" {
        request["ttl_s"] = json!(o.seconds + 60);
    }
    let reply = nc.request(format!("meltica.control.{verb}"), request.to_string().into()).await?;
    let answer: Value = serde_json::from_slice(&reply.payload)?;
    match answer["status"].as_str() {
        Some("CONFIRMED" | "PENDING") => Ok(answer),
        _ => Err(format!("{verb} was refused: {answer}").into()),
    }
}

fn take(book: &mut Book, channels: &mut Channels, data: &[u8]) -> Result<(), Failure> {
    let event = pb::Event::decode(data)?;
    if let Some(Payload::Status(status)) = &event.payload {
        channels.on_status(event.epoch, status);
    }
    if !channels.is_new(&event) {
        return Ok(());
    }
    match event.payload {
        Some(Payload::BookDelta(delta)) => book.on_delta(event.source.unwrap_or_default(), event.epoch, delta),
        Some(Payload::BookSnapshot(snapshot)) => book.on_snapshot(&snapshot),
        Some(Payload::Book(b)) => {
            if book.on_book(&b) {
                println!("book {} last_update_id={} digest={:08x}", event.instrument, book.last, book.digest());
            }
        }
        Some(Payload::Status(status)) => book.on_status(&status),
        _ => (),
    }
    Ok(())
}

async fn follow(nc: &async_nats::Client, o: &Options, subject: String) -> Result<bool, Failure> {
    let (mut book, mut channels, mut joined) = (Book::new(), Channels::default(), false);
    // Before the checkpoint is read, so that nothing is missed between.
    let mut subscription = nc.subscribe(subject).await?;
    let bucket = jetstream::new(nc.clone()).get_key_value("meltica-snapshots").await?;
    let end = Instant::now() + Duration::from_secs(o.seconds);
    let mut read_at = Instant::now();
    while Instant::now() < end {
        if !book.held && book.wanted && Instant::now() >= read_at {
            read_at = Instant::now() + CHECKPOINT_AGAIN;
            if let Some(value) = bucket.get(format!("{}.checkpoint", o.instrument)).await? {
                book.checkpoint(&pb::BookCheckpoint::decode(value)?);
            }
        }
        if book.held && !joined {
            joined = true;
            let (epoch, last, digest) = (book.epoch, book.last, book.digest());
            println!("joined {} epoch={epoch} last_update_id={last} digest={digest:08x}", o.instrument);
        }
        if book.held && o.until_update_id > 0 && book.last >= o.until_update_id {
            break;
        }
        match tokio::time::timeout(CHECKPOINT_AGAIN, subscription.next()).await {
            Ok(Some(message)) => take(&mut book, &mut channels, &message.payload)?,
            Ok(None) => return Err("the subscription ended".into()),
            Err(_) => (), // nothing came: look whether a checkpoint is wanted
        }
    }
    println!(
        "final {} epoch={} events={} gaps={} last_update_id={} digest={:08x}",
        o.instrument,
        book.epoch,
        channels.events,
        channels.gaps,
        book.last,
        book.digest()
    );
    Ok(book.held && book.last >= o.until_update_id && channels.gaps == 0 && book.wrong == 0)
}

async fn run() -> Result<bool, Failure> {
    let o = options()?;
    let nc = async_nats::connect(&o.nats_url).await?;
    let answer = control(&nc, "subscribe", &o).await?;
    let subject = answer["channels"][0].as_str().ok_or("the answer names no channel")?;
    println!("subscribed {} {} {subject}", o.instrument, answer["status"].as_str().unwrap_or_default());
    let right = follow(&nc, &o, subject.to_owned()).await?;
    control(&nc, "unsubscribe", &o).await?;
    Ok(right)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}
