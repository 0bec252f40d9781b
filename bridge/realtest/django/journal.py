"""What tests add to the project in bridge/django: a journal of the messages that its consumers have processed, and reasons to
refuse a connection."""

import json
import os
import time

from django.conf import settings

from tracking.consumers import TrackingConsumer, bearer_token

REFUSE = os.environ.get("TEST_REFUSE") == "1"
TOKEN = os.environ.get("TEST_TOKEN")
DEVICE = os.environ.get("TEST_DEVICE")


class JournalConsumer(TrackingConsumer):
    """The plain consumer. Its journal outlives a killed server: a line for each message has the time at which its connection
    began, in nanoseconds, and the JSON text."""

    journal = os.open(settings.DATA_DIR / "processed.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    async def connect(self):
        if REFUSE or TOKEN and bearer_token(self.scope["headers"]) != TOKEN:
            await self.close()
        elif DEVICE and self.scope["url_route"]["kwargs"]["device_id"] != DEVICE:
            await self.accept()
            await self.close(4403)
        else:
            self.began = time.time_ns()
            await super().connect()

    async def broadcast(self, message):
        # Before the group gets it: an echo that a client has seen is in the journal, also when the server is killed in between.
        os.write(self.journal, b"%d %s\n" % (self.began, json.dumps(message).encode()))
        await super().broadcast(message)
