"""The application that Daphne or Uvicorn serves."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tracking.settings")

from django.core.asgi import get_asgi_application  # noqa: E402

pages = get_asgi_application()  # sets Django up; the imports below need that

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.security.websocket import AllowedHostsOriginValidator  # noqa: E402
from django.urls import re_path  # noqa: E402

from tracking.consumers import TrackingConsumer  # noqa: E402

groups = URLRouter([re_path(r"ws/gps-tracking/(?P<device_id>\w+)/$", TrackingConsumer.as_asgi())])
if "TRACKING_HOST" in os.environ:
    groups = AllowedHostsOriginValidator(groups)
application = ProtocolTypeRouter({"http": pages, "websocket": groups})
