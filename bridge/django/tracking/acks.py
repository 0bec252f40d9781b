"""Short acknowledgements: for a tracker that asks by subprotocol, a message of 50 bytes in place of its own fixes.

It acknowledges everything that came on its connection up to one fix, and may be held back: a tracker allows for DELAY.
"""

import asyncio
import json

PROTOCOL = "gpsbridge.ack.v1"
DELAY = 6  # seconds, in which six fixes come at 1 Hz
MOST = 6  # messages that one is for: of a backlog the tracker sends six before it waits


class Acks:
    """The acknowledgements of one connection."""

    def __init__(self, send):
        self.send = send
        self.last = None  # run and seq
        self.count = 0  # messages since the last one
        self.timer = None

    async def add(self, message):
        """Takes a message that the group has been given. The first one is acknowledged at once, and one that comes twice in a row."""
        key = (message.get("run"), message.get("seq")) if isinstance(message, dict) else (None, None)
        if None in key:
            return
        at_once = self.last in (None, key)
        self.last = key
        self.count += 1
        if at_once or self.count >= MOST:
            self.cancel()
            await self.acknowledge()
        elif self.timer is None:
            self.timer = asyncio.create_task(self.later())

    async def later(self):
        await asyncio.sleep(DELAY)
        self.timer = None
        await self.acknowledge()

    async def acknowledge(self):
        self.count = 0
        run, seq = self.last
        await self.send(text_data=json.dumps({"ack": {"run": run, "seq": seq}}))

    def cancel(self):
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
