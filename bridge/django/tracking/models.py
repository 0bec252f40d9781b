"""Trackers and their fixes."""

import hashlib
import hmac
import math
import secrets

from django.db import models
from django.db.backends.signals import connection_created
from django.dispatch import receiver
from django.utils.dateparse import parse_datetime


class Tracker(models.Model):
    """A device that may publish. Only the hash of its token is kept: the token has 256 random bits, so it needs no salt."""

    device_id = models.CharField(max_length=80, primary_key=True)
    token_hash = models.CharField(max_length=64)

    @classmethod
    def issue(cls, device_id):
        """Makes a new token for a device, in place of an old one, and returns it."""
        token = secrets.token_urlsafe(32)
        cls.objects.update_or_create(device_id=device_id, defaults={"token_hash": digest(token)})
        return token

    @classmethod
    def accepts(cls, device_id, token):
        """Whether a token is the one of the device."""
        known = cls.objects.filter(device_id=device_id).values_list("token_hash", flat=True).first()
        return known is not None and hmac.compare_digest(known, digest(token))


def digest(token):
    return hashlib.sha256(token.encode()).hexdigest()


class Fix(models.Model):
    """One message of class TPV. (device_id, run, seq) identifies it, so a repeat is the same row."""

    device_id = models.CharField(max_length=80)
    run = models.CharField(max_length=32)  # a start of the tracker's program
    seq = models.BigIntegerField()  # counts from 1 in a run
    time = models.DateTimeField(null=True)  # the receiver's, absent while it has none
    mode = models.SmallIntegerField(default=0)  # 1 no fix, 2 two-dimensional, 3 three-dimensional
    lat = models.FloatField(null=True)
    lon = models.FloatField(null=True)
    received = models.DateTimeField(auto_now_add=True)
    message = models.JSONField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["device_id", "run", "seq"], name="fix_once")]
        indexes = [models.Index(fields=["device_id", "time"])]

    @classmethod
    def of(cls, device_id, message):
        """The fix in a message, not stored yet. None for what has no identity, and cannot be stored once."""
        if not isinstance(message, dict) or message.get("class") != "TPV":
            return None
        run, seq = message.get("run"), message.get("seq")
        if not isinstance(run, str) or not 0 < len(run) <= 32 or not whole(seq) or not 0 <= seq < 2**63:
            return None
        mode = message.get("mode")
        lat, lon = number(message.get("lat"), 90), number(message.get("lon"), 180)
        return cls(
            device_id=device_id,
            run=run,
            seq=seq,
            time=moment(message.get("time")),
            mode=mode if whole(mode) and 0 <= mode <= 3 else 0,
            lat=lat,
            lon=lon if lat is not None else None,
            message=message,
        )

    def store(self):
        """Stores the fix unless it is stored already, in one statement that is committed when it returns."""
        Fix.store_all([self])

    @classmethod
    def store_all(cls, fixes):
        """Stores those of the fixes that are not stored already, in one transaction."""
        cls.objects.bulk_create(fixes, ignore_conflicts=True)


def whole(value):
    return isinstance(value, int) and not isinstance(value, bool)


def number(value, limit):
    """A value if it is a number within ± limit, else None."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and abs(value) <= limit:
        return float(value)
    return None


def moment(value):
    """The time in a text of RFC 3339, None where it is none."""
    try:
        time = parse_datetime(value)
    except (TypeError, ValueError):
        return None
    return time if time is not None and time.tzinfo is not None else None


@receiver(connection_created)
def tune_sqlite(connection, **_):
    """Readers do not wait for the writer (WAL), and what is committed survives a power cut (FULL)."""
    if connection.vendor == "sqlite":
        connection.cursor().execute("PRAGMA journal_mode = WAL")
        connection.cursor().execute("PRAGMA synchronous = FULL")
