#!/usr/bin/env python3
"""The console as a browser meets it: the page, what it loads, its configuration, and NATS over WebSocket, for that page alone.

usage: console_check.py PAGE_URL WEBSOCKET_HOST:PORT ORIGIN
"""
import base64
import json
import os
import re
import socket
import struct
import sys
import time
import urllib.request

SECONDS = 60
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # it is here: no proxy of the host's


class Wrong(Exception):
    """What is wrong, as a sentence."""


def get(url):
    """(headers, body) of a page that is there."""
    with DIRECT.open(url, timeout=10) as answer:
        return answer.headers, answer.read()


def page(url, control):
    """Bytes of all that a browser loads before it speaks to NATS."""
    headers, index = get(url + "/")
    policy = headers["Content-Security-Policy"] or ""
    config = json.loads(get(url + "/config.json")[1])
    if f"connect-src 'self' {config['nats_ws']}" not in policy:
        raise Wrong(f"the page may not connect to {config['nats_ws']}: {policy}")
    if config["control"] is not control:
        raise Wrong(f"control is {config['control']}")
    files = re.findall(r'(?:src|href)="/?([\w.-]+\.(?:js|css|svg))"', index.decode())
    if {name.rsplit(".", 1)[1] for name in files} != {"js", "css", "svg"}:
        raise Wrong(f"the page loads {files}")
    return len(index) + sum(len(get(f"{url}/{name}")[1]) for name in files)


def open_websocket(host, port, origin):
    """(connection, first line of the answer) of a browser that asks from a page of this origin."""
    line = socket.create_connection((host, port), timeout=10)
    key = base64.b64encode(os.urandom(16)).decode()
    line.sendall(f"GET / HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nOrigin: {origin}\r\n"
                 f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:  # to the byte: what follows are frames
        piece = line.recv(1)
        if not piece:
            break
        head += piece
    return line, head.split(b"\r\n")[0].decode()


def send(line, text):
    data, mask = text.encode(), os.urandom(4)
    line.sendall(struct.pack("!BB", 0x82, 0x80 | len(data)) + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data)))


def exactly(line, count):
    data = b""
    while len(data) < count:
        piece = line.recv(count - len(data))
        if not piece:
            raise Wrong("the WebSocket ended")
        data += piece
    return data


def receive(line):
    """What one frame carries; the server's are not masked."""
    length = exactly(line, 2)[1] & 0x7F
    if length > 125:
        wide = 2 if length == 126 else 8
        length = int.from_bytes(exactly(line, wide), "big")
    return exactly(line, length)


def event(host, port, origin):
    """Subject of an event that came over WebSocket."""
    line, answer = open_websocket(host, port, origin)
    with line:
        if " 101 " not in answer + " ":
            raise Wrong(f"NATS does not take the page's own origin {origin}: {answer}")
        send(line, 'CONNECT {"verbose":false}\r\nSUB meltica.data.* 1\r\n')
        end, text = time.monotonic() + SECONDS, b""
        while time.monotonic() < end:
            text += receive(line)
            found = re.search(rb"^MSG (meltica\.data\.\S+) 1 ", text, re.M)
            if found:
                return found[1].decode()
        raise Wrong(f"no event in {SECONDS} s over WebSocket: {text[:200]}")


def foreign(host, port):
    """How a page of somebody else is answered."""
    line, answer = open_websocket(host, port, "http://elsewhere.example")
    line.close()
    if " 403 " not in answer:
        raise Wrong(f"NATS takes a page of any origin: {answer}")


def check(url, host, port, origin, control=False):
    """A sentence about what was seen; Wrong says what is not so."""
    size = page(url, control)
    subject = event(host, port, origin)
    foreign(host, port)
    return f"the console's page ({size // 1024} KiB) and its configuration; {subject} over WebSocket from its origin, 403 from another"


def main(url, websocket, origin):
    host, _, port = websocket.rpartition(":")
    try:
        print(check(url.rstrip("/"), host, int(port), origin))
    except (Wrong, OSError, ValueError) as wrong:
        sys.exit(f"console_check: {wrong}")


if __name__ == "__main__":
    main(*sys.argv[1:])
