"""Settings of the tracking server that the tests run. Everything that a test can choose comes in by environment."""

import os

SECRET_KEY = "only a test server on the loopback address"
DEBUG = False
ALLOWED_HOSTS = [os.environ.get("TRACKING_HOST", "*")]
ROOT_URLCONF = "tracking.urls"
INSTALLED_APPS = ["channels"]
USE_TZ = True
TIME_ZONE = "UTC"

REDIS_URL = os.environ.get("TRACKING_REDIS_URL")
if REDIS_URL:
    layer = {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL]},
    }
else:
    layer = {"BACKEND": "channels.layers.InMemoryChannelLayer", "CONFIG": {}}
if "TRACKING_CAPACITY" in os.environ:
    layer["CONFIG"]["capacity"] = int(os.environ["TRACKING_CAPACITY"])
CHANNEL_LAYERS = {"default": layer}
