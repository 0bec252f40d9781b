"""Stores the fixes that relays keep in Redis."""

import signal
import socket

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from tracking.streams import Worker


class Command(BaseCommand):
    help = "Stores the fixes that gpsbridge relay keeps in Redis streams. Ends on SIGTERM; several may run."

    def add_arguments(self, parser):
        help = "name of this worker, the same at its next start (default: the host's)"
        parser.add_argument("--name", default=socket.gethostname(), help=help)

    def handle(self, *args, name, **options):
        if not settings.TRACKING_STREAM_URLS:
            raise CommandError("no Redis to read from: set TRACKING_STREAM_URLS, see README.md")
        try:
            worker = Worker(settings.TRACKING_STREAM_URLS, settings.TRACKING_STREAM, settings.TRACKING_STREAM_GROUP, name)
        except ValueError as error:
            raise CommandError(f"TRACKING_STREAM_URLS: {error}")
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: worker.stop())
        self.stdout.write(f"{name} stores the fixes of {settings.TRACKING_STREAM}")
        self.stdout.flush()
        worker.run()
