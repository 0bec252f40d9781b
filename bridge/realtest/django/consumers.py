"""One tracking group for each device: what a member sends, every member gets, the sender included."""

import json
import os
import time

from channels.generic.websocket import AsyncWebsocketConsumer

REFUSE = os.environ.get("TRACKING_REFUSE") == "1"
TOKEN = os.environ.get("TRACKING_TOKEN")
DEVICE = os.environ.get("TRACKING_DEVICE")


class Journal:
    """The messages that this server has taken up, in a file that outlives a killed server: on each line the time at which
    its connection began, in nanoseconds, and its JSON text."""

    def __init__(self, path):
        self.file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def add(self, connected, message):
        os.write(self.file, b"%d %s\n" % (connected, json.dumps(message).encode()))


journal = Journal(os.environ["TRACKING_JOURNAL"])


class TrackingConsumer(AsyncWebsocketConsumer):
    group = None

    async def connect(self):
        if REFUSE or TOKEN and dict(self.scope["headers"]).get(b"authorization") != b"Bearer " + TOKEN.encode():
            await self.close()
            return
        if DEVICE and self.scope["url_route"]["kwargs"]["device_id"] != DEVICE:
            await self.accept()
            await self.close(4403)
            return
        self.group = "gps_tracking_" + self.scope["url_route"]["kwargs"]["device_id"]
        await self.channel_layer.group_add(self.group, self.channel_name)
        self.connected = time.time_ns()
        # Accepted only now: whoever sees the connection open is a member already.
        await self.accept()

    async def disconnect(self, code):
        if self.group is not None:
            await self.channel_layer.group_discard(self.group, self.channel_name)

    async def receive(self, text_data=None, bytes_data=None):
        message = json.loads(text_data)
        # Before the group gets it: an echo that a client has seen is then in the journal even if the server is
        # killed in between.
        journal.add(self.connected, message)
        await self.channel_layer.group_send(self.group, {"type": "gps.message", "message": message})

    async def gps_message(self, event):
        await self.send(text_data=json.dumps(event["message"]))
