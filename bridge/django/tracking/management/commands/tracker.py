"""Issues the token of a tracker."""

import re

from django.core.management.base import BaseCommand, CommandError

from tracking.models import Tracker


class Command(BaseCommand):
    help = "Prints a new token for a device, which replaces an old one."

    def add_arguments(self, parser):
        parser.add_argument("device_id", help="1 to 80 of A-Z, a-z, 0-9 and _")

    def handle(self, *args, device_id, **options):
        if not re.fullmatch(r"[A-Za-z0-9_]{1,80}", device_id):
            raise CommandError(f"{device_id!r} is not a device ID: use 1 to 80 of A-Z, a-z, 0-9 and _")
        self.stdout.write(Tracker.issue(device_id))
