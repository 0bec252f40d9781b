"""The application that Daphne or Uvicorn serves: pages over HTTP, tracking groups over WebSocket."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tracking.settings")

from django.core.asgi import get_asgi_application  # noqa: E402

pages = get_asgi_application()  # sets Django up, which the imports below need

from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.security.websocket import AllowedHostsOriginValidator  # noqa: E402
from django.conf import settings  # noqa: E402
from django.urls import re_path  # noqa: E402
from django.utils.module_loading import import_string  # noqa: E402

consumer = import_string(settings.TRACKING_CONSUMER)
groups = URLRouter([re_path(r"^ws/gps-tracking/(?P<device_id>\w+)/$", consumer.as_asgi())])
application = ProtocolTypeRouter(
    {"http": pages, "websocket": AllowedHostsOriginValidator(AuthMiddlewareStack(groups))}
)
