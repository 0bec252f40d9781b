"""Addresses of Redis in the environment: one or more URLs with spaces between them, as `gpsbridge relay` reads them.

redis://, rediss:// with TLS, redis+unix:///PATH, and redis-sentinel://HOST:PORT,HOST:PORT/MASTER/DB for a master that Sentinels
know. Each may have USER:PASSWORD@; those without Sentinels may have options of redis-py, such as ?ssl_ca_certs=FILE.
"""

from urllib.parse import unquote

import redis
from redis.sentinel import Sentinel


def channels_host(url):
    """A host as the configuration of channels_redis has it."""
    if not url.startswith("redis-sentinel:"):
        return url.replace("redis+unix:", "unix:", 1)
    sentinels, master, options = sentinel_parts(url)
    return {"sentinels": sentinels, "master_name": master, **options}


def connect(url, timeout):
    """A client that waits so many seconds for an answer. That of a Sentinel URL asks for the master each time it connects."""
    if url.startswith("redis+unix:"):
        return redis.Redis.from_url(channels_host(url), socket_timeout=timeout)
    limits = {"socket_timeout": timeout, "socket_connect_timeout": timeout}
    if not url.startswith("redis-sentinel:"):
        return redis.Redis.from_url(url, **limits)
    sentinels, master, options = sentinel_parts(url)
    return Sentinel(sentinels, **limits).master_for(master, **options, **limits)


def place(url):
    """The URL without user and password."""
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return scheme + "://" + host.rpartition("@")[2] + slash + path


def sentinel_parts(url):
    """The addresses of the Sentinels, the name of the master, and the options for a connection to that."""
    authority, _, path = url.partition("://")[2].partition("/")
    login, _, hosts = authority.rpartition("@")
    user, _, password = login.partition(":")
    master, _, db = path.partition("/")
    options = {"username": unquote(user), "password": unquote(password), "db": int(db or 0)}
    sentinels = [(host if ":" in host else host + ":26379").rpartition(":") for host in hosts.split(",")]
    addresses = [(host.strip("[]"), int(port)) for host, _, port in sentinels]
    return addresses, master, {name: value for name, value in options.items() if value}
