"""Settings of the tracking server. The environment chooses what differs between installations; README.md lists it."""

import os
import secrets
from pathlib import Path

if "TRACKING_REDIS_URL" in os.environ:
    from tracking.redis_url import channels_host

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(os.environ.get("TRACKING_DATA", BASE_DIR / "data"))
DATA_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)


def secret_key():
    """The key of this installation, made at the first start. Processes on several machines share it by environment."""
    path, new = DATA_DIR / "secret_key", DATA_DIR / f"secret_key.{os.getpid()}"
    if not path.exists():
        new.touch(mode=0o600)
        new.write_text(secrets.token_urlsafe(50))
        try:
            os.link(new, path)
        except FileExistsError:
            pass  # another process was first
        new.unlink()
    return path.read_text()


SECRET_KEY = os.environ.get("TRACKING_SECRET_KEY") or secret_key()
DEBUG = False
# Host names of the pages. AllowedHostsOriginValidator (asgi.py) accepts a WebSocket from these origins alone.
ALLOWED_HOSTS = os.environ.get("TRACKING_HOSTS", "localhost,127.0.0.1,[::1]").split(",")
ROOT_URLCONF = "tracking.urls"
ASGI_APPLICATION = "tracking.asgi.application"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "channels",
    "tracking",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": ["django.template.context_processors.request", "django.contrib.auth.context_processors.auth"]},
    }
]
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "devices"
LOGOUT_REDIRECT_URL = "login"
if os.environ.get("TRACKING_HTTPS") == "1":  # behind a web server that terminates TLS
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True

if "TRACKING_POSTGRES" in os.environ:
    # Host, user and password come from libpq's own variables: PGHOST, PGUSER, PGPASSWORD or PGPASSFILE.
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": os.environ["TRACKING_POSTGRES"],
            "CONN_MAX_AGE": 60,
        }
    }
else:
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": DATA_DIR / "tracking.sqlite3",
            "CONN_MAX_AGE": None,
            "OPTIONS": {"timeout": 20},  # seconds to wait for another writer
        }
    }

# In memory: one process. Redis: any number of processes, on any number of machines.
if "TRACKING_REDIS_URL" in os.environ:
    layer = {
        "BACKEND": {
            "core": "channels_redis.core.RedisChannelLayer",
            "pubsub": "channels_redis.pubsub.RedisPubSubChannelLayer",
        }[os.environ.get("TRACKING_LAYER", "core")],
        "CONFIG": {"hosts": [channels_host(url) for url in os.environ["TRACKING_REDIS_URL"].split()]},
    }
else:
    layer = {"BACKEND": "channels.layers.InMemoryChannelLayer", "CONFIG": {}}
if "TRACKING_CAPACITY" in os.environ:
    layer["CONFIG"]["capacity"] = int(os.environ["TRACKING_CAPACITY"])
CHANNEL_LAYERS = {"default": layer}

# The class that serves the route. tracking.consumers.TrackingConsumer is the smallest one: it needs no database and no token.
TRACKING_CONSUMER = os.environ.get("TRACKING_CONSUMER", "tracking.consumers.FixConsumer")
# Acknowledge in short to trackers that ask (acks.py). It costs fewer bytes. It shows that a fix is stored and was given to the
# channel layer; its own message coming back shows that the layer carried it too.
TRACKING_SHORT_ACKS = os.environ.get("TRACKING_SHORT_ACKS") == "1"
# The streams in which relays keep fixes, for the worker that stores them (streams.py): Redis hosts in the order of the relays.
TRACKING_STREAM_URLS = os.environ.get("TRACKING_STREAM_URLS", os.environ.get("TRACKING_REDIS_URL", "")).split()
TRACKING_STREAM = os.environ.get("TRACKING_STREAM", "gpsbridge:fixes")
TRACKING_STREAM_GROUP = os.environ.get("TRACKING_STREAM_GROUP", "database")
