"""Starts the tracking server."""

import os
import sys

from django.core.management import call_command
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = "Brings the database up to date and serves pages and tracking groups with Daphne."

    def add_arguments(self, parser):
        parser.add_argument("--bind", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
        parser.add_argument("--port", type=int, default=8000, help="port to listen on (default 8000)")

    def handle(self, *args, bind, port, **options):
        call_command("migrate", verbosity=0)
        self.stdout.write(f"http://{bind}:{port}/ serves the map; trackers connect to ws://{bind}:{port}/")
        self.stdout.flush()
        application = "tracking.asgi:application"
        os.execv(sys.executable, [sys.executable, "-m", "daphne", "-b", bind, "-p", str(port), application])
