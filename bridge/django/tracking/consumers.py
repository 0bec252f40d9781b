"""Tracking groups: what a member sends, every member of the group gets, the sender included.

The message that comes back to the sender is its acknowledgement. A tracker deletes its copy of a fix when it sees it, so
FixConsumer stores the fix first. acks.py has a shorter one for trackers that ask.
"""

import json

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings

from tracking.acks import PROTOCOL, Acks
from tracking.models import Fix, Tracker

BAD_MESSAGE = 4400
NOT_ALLOWED = 4403


class TrackingConsumer(AsyncWebsocketConsumer):
    """The group alone."""

    group = None
    acks = None  # where this member asked for short ones, and settings allow them

    async def connect(self):
        self.device_id = self.scope["url_route"]["kwargs"]["device_id"]
        self.group = "gps_tracking_" + self.device_id
        await self.channel_layer.group_add(self.group, self.channel_name)
        if settings.TRACKING_SHORT_ACKS and PROTOCOL in self.scope["subprotocols"]:
            self.acks = Acks(self.send)
        # After joining: a client that sees its connection open misses nothing.
        await self.accept(PROTOCOL if self.acks else None)

    async def disconnect(self, code):
        if self.acks:
            self.acks.cancel()
        if self.group is not None:
            await self.channel_layer.group_discard(self.group, self.channel_name)

    async def receive(self, text_data=None, bytes_data=None):
        await self.broadcast(json.loads(text_data))

    async def broadcast(self, message):
        event = {"type": "gps.message", "message": message}
        if self.acks:
            event["sender"] = self.channel_name
        await self.channel_layer.group_send(self.group, event)
        if self.acks:
            await self.acks.add(message)

    async def gps_message(self, event):
        if event.get("sender") != self.channel_name:
            await self.send(text_data=json.dumps(event["message"]))


class FixConsumer(TrackingConsumer):
    """The group for trackers with a token, which publish, and users with a session, who watch. Fixes are stored."""

    publishes = False

    async def connect(self):
        token = bearer_token(self.scope["headers"])
        device_id = self.scope["url_route"]["kwargs"]["device_id"]
        self.publishes = token is not None and await database_sync_to_async(Tracker.accepts)(device_id, token)
        if self.publishes or self.scope["user"].is_authenticated:
            await super().connect()
        else:
            await self.close()  # before accepting: the client sees HTTP 403

    async def receive(self, text_data=None, bytes_data=None):
        if not self.publishes:
            await self.close(NOT_ALLOWED)
            return
        try:
            message = json.loads(text_data, parse_constant=refuse)
        except (TypeError, ValueError):  # binary, or not JSON
            await self.close(BAD_MESSAGE)
            return
        fix = Fix.of(self.device_id, message)
        if fix is not None:
            await database_sync_to_async(fix.store)()
        await self.broadcast(message)


def refuse(constant):
    """NaN and Infinity are not JSON: browsers and PostgreSQL refuse them."""
    raise ValueError(constant)


def bearer_token(headers):
    """The token of the header "Authorization: Bearer TOKEN", None without one."""
    for name, value in headers:
        if name == b"authorization":
            scheme, _, token = value.decode("latin-1").partition(" ")
            if scheme.lower() == "bearer" and token.strip():
                return token.strip()
    return None
