import socket
import urllib.parse

from datamanager.config import Config


def test_the_fixture_leads_to_servers_that_listen(local_servers: Config) -> None:
    for url in (local_servers.mongo.url, local_servers.s3.endpoint, local_servers.redis.url):
        parts = urllib.parse.urlsplit(url)
        with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=5):
            pass
