"""Answers relays that ask who may connect (auth_url of gpsbridge relay): 204 allows it, 403 refuses it.

A relay asks as the client: with its Cookie, Authorization and Origin, and with the device and what the client wants in two headers.
"""

from django.http import HttpResponse

from tracking.consumers import bearer_token
from tracking.models import Tracker


def may_connect(request):
    """Trackers publish with their token, users watch with their session, as FixConsumer has it."""
    device_id = request.headers.get("X-Gpsbridge-Device", "")  # empty: the list of devices, the relay's status
    if request.headers.get("X-Gpsbridge-Role") == "publish":
        token = bearer_token([(b"authorization", request.headers.get("Authorization", "").encode("latin-1"))])
        allowed = token is not None and Tracker.accepts(device_id, token)
    else:
        allowed = request.user.is_authenticated
    return HttpResponse(status=204 if allowed else 403)
