"""Fixes that relays keep in Redis streams, on their way into the database.

`gpsbridge relay --layer` acknowledges a fix when it is in one of 16 streams (bridge/layer); the consumer's receive() never sees
it. A worker reads the streams as a consumer group, stores what it has read in one transaction, and only then acknowledges it to
Redis: the entries of a worker that dies are read again, and the key of a fix makes storing it twice the same row.
"""

import json
import logging
import threading
import time

import redis
from django.db import DataError, Error, connection

from tracking.consumers import refuse
from tracking.models import Fix
from tracking.redis_url import connect, place

PARTITIONS = 16
MOST = 64  # entries of each stream in one transaction
BLOCK = 1  # seconds to wait for an entry: the end of a worker waits for it
TIMEOUT = 5  # seconds in which a Redis answers, or is asked for again
DEAD = 60  # seconds after which another worker takes over entries; one that was only slow stores them too, which does no harm
CLAIM = 30  # seconds between two looks for such entries and for the master

log = logging.getLogger(__name__)


class Worker:
    """Stores what comes in the streams of one or more Redis hosts, until it is stopped."""

    def __init__(self, urls, stream, group, name):
        parts = [[f"{stream}:{p}" for p in range(i, PARTITIONS, len(urls))] for i in range(len(urls))]
        self.hosts = [Host(url, streams, group, name) for url, streams in zip(urls, parts)]
        self.stopping = threading.Event()

    def stop(self):
        """Has run return when the entries in hand are stored."""
        self.stopping.set()

    def run(self):
        while not self.stopping.is_set():
            for host in self.hosts:
                try:
                    entries = host.read(BLOCK / len(self.hosts))
                    if entries and self.store(entries):
                        host.acknowledge(entries)
                except redis.RedisError as error:
                    host.reset()
                    log.warning("%s: %s: trying again", place(host.url), error)
                    self.stopping.wait(1)

    def store(self, entries):
        """Stores entries, whatever it takes; False where the worker is to stop and they are not stored."""
        fixes = [fix for fix in map(decode, entries) if fix is not None]
        while True:
            try:
                store_all(fixes)
                return True
            except Error as error:  # the database is down, or locked
                log.warning("database: %s: trying again", error)
                connection.close()
            if self.stopping.wait(1):
                return False


class Host:
    """The streams on one Redis, read by one consumer of a group."""

    def __init__(self, url, streams, group, name):
        self.url, self.streams, self.group, self.name = url, streams, group, name
        self.reset()

    def reset(self):
        """Forgets the connection."""
        self.redis, self.own, self.due = None, False, 0

    def read(self, block):
        """Some entries: this worker's that it has not acknowledged, or else new ones."""
        if time.monotonic() >= self.due:
            self.begin()
        if self.own:
            entries = self.fetch("0")
            self.own = bool(entries)
            if entries:
                return entries
        return self.fetch(">", block=max(1, int(block * 1000)))

    def begin(self):
        """Connects, to the master that the Sentinels name now, and takes over the entries of dead workers."""
        self.redis = connect(self.url, TIMEOUT)
        self.readable = [stream for stream in self.streams if self.create(stream)]
        for stream in self.readable:
            self.claim(stream)
        self.own, self.due = True, time.monotonic() + CLAIM

    def create(self, stream):
        """Makes the group, which begins with the oldest entry that is there. False for a key that is no stream: the others are read."""
        try:
            self.redis.xgroup_create(stream, self.group, id="0", mkstream=True)
        except redis.ResponseError as error:
            if "WRONGTYPE" in str(error):
                log.error("%s: %s is no stream: delete it", place(self.url), stream)
                return False
            if not str(error).startswith("BUSYGROUP"):
                raise
        return True

    def fetch(self, after, block=None):
        answer = self.redis.xreadgroup(self.group, self.name, dict.fromkeys(self.readable, after), count=MOST, block=block)
        return [(stream, entry, members) for stream, entries in answer for entry, members in entries]

    def claim(self, stream):
        """Makes this worker's what others have read and not acknowledged for long."""
        start = "0-0"
        while start != b"0-0":
            start = self.redis.xautoclaim(stream, self.group, self.name, DEAD * 1000, start, count=MOST)[0]

    def acknowledge(self, entries):
        with self.redis.pipeline(transaction=False) as pipeline:
            for stream in {stream for stream, _, _ in entries}:
                pipeline.xack(stream, self.group, *[entry for of, entry, _ in entries if of == stream])
            pipeline.execute()


def decode(entry):
    """The fix in an entry; None for what cannot be stored, which is logged."""
    _, _, members = entry
    if not members:  # trimmed before it was read
        return None
    try:
        fix = Fix.of(members[b"device_id"].decode(), json.loads(members[b"message"], parse_constant=refuse))
    except (KeyError, ValueError):
        fix = None
    if fix is None:
        log.error("not stored, because it is no fix: %s", members.get(b"message", members))
    return fix


def store_all(fixes):
    """Stores fixes in one transaction. What the database refuses for its content is logged, and the others are stored singly."""
    try:
        Fix.store_all(fixes)
    except (DataError, ValueError) as error:  # psycopg2 has the latter for a NUL
        if len(fixes) == 1:
            log.error("not stored: %s: %s", error, fixes[0].message)
            return
        for fix in fixes:
            store_all([fix])
