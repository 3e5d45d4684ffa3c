"""Webhooks are called where they may be, in bounded time and memory, and told why they failed."""

import asyncio
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.webhooks import Target, webhook_target

from datamanager.config import EventsConfig
from datamanager.errors import ConfigError, Refused
from datamanager.storage.alert_rules import AlertRule, Webhook, check_rule, check_url
from datamanager.worker.alerts.webhook import CallOutcome, WebhookCaller, is_allowed, open_webhook_caller

OPEN = EventsConfig(webhook_private="allow", webhook_timeout_s=0.5)


@pytest.fixture
async def target() -> AsyncIterator[Target]:
    async with webhook_target() as found:
        yield found


@pytest.fixture
async def caller() -> AsyncIterator[WebhookCaller]:
    async with open_webhook_caller(OPEN) as found:
        yield found


async def call(caller: WebhookCaller, url: str, **headers: str) -> CallOutcome:
    return await caller.call(url, headers, key="k:fired", body=b'{"a": 1}')


async def test_the_body_the_key_and_the_rules_own_headers_arrive(target: Target, caller: WebhookCaller) -> None:
    assert await call(caller, f"{target.url}/hook?x=1", Authorization="Bearer t") == CallOutcome(200)
    [found] = target.calls
    assert (found.path, found.body) == ("/hook?x=1", {"a": 1})
    assert found.headers["idempotency-key"] == "k:fired"
    assert found.headers["content-type"] == "application/json"
    assert found.headers["authorization"] == "Bearer t"
    assert found.headers["host"] == target.url.removeprefix("http://")


async def test_a_name_is_resolved_once_and_its_address_called_under_its_name(
    target: Target, caller: WebhookCaller
) -> None:
    port = target.url.rpartition(":")[2]
    assert (await call(caller, f"http://localhost:{port}/x")).status == 200
    assert target.calls[0].headers["host"] == f"localhost:{port}"


async def test_a_name_that_answers_differently_the_next_moment_changes_nothing(
    target: Target, caller: WebhookCaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, asked = socket.getaddrinfo, []

    def resolve(host: Any, *args: Any, **more: Any) -> Any:
        asked.append(host)
        if host != "rebind.test":
            return real(host, *args, **more)
        return real("127.0.0.1" if asked.count(host) == 1 else "127.9.9.9", *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    port = target.url.rpartition(":")[2]
    assert (await call(caller, f"http://rebind.test:{port}/x")).status == 200
    assert asked.count("rebind.test") == 1


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for `localhost` alone, and its key."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("there is no openssl to make a certificate")
    key, made = tmp_path / "key.pem", tmp_path / "cert.pem"
    what = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(made)]
    subprocess.run([program, "req", *what, *names], check=True, capture_output=True)  # noqa: S603  # a tool of the system
    return made, key


async def test_a_certificate_is_held_against_the_name_though_the_address_is_called(
    certificate: tuple[Path, Path],
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    trusting = ssl.create_default_context(cafile=str(certificate[0]))
    async with webhook_target(context) as target, httpx.AsyncClient(verify=trusting, trust_env=False) as client:
        caller = WebhookCaller(client, private=True, timeout_s=5)
        port = target.url.rpartition(":")[2]
        assert await call(caller, f"https://localhost:{port}/x") == CallOutcome(200)
        assert "CERTIFICATE_VERIFY_FAILED" in (await call(caller, f"https://127.0.0.1:{port}/x")).error
    async with webhook_target(context) as target, open_webhook_caller(OPEN) as caller:
        port = target.url.rpartition(":")[2]
        assert "CERTIFICATE_VERIFY_FAILED" in (await call(caller, f"https://localhost:{port}/x")).error
        assert target.calls == []


@pytest.mark.parametrize("status", [300, 400, 404, 500, 503])
async def test_any_answer_but_success_is_a_failure(target: Target, caller: WebhookCaller, status: int) -> None:
    target.answers["/x"] = lambda _: status
    outcome = await call(caller, f"{target.url}/x")
    assert (outcome.status, outcome.is_final) == (status, False)
    assert str(status) in outcome.error


async def test_a_redirect_is_not_followed(target: Target, caller: WebhookCaller) -> None:
    target.answers["/x"] = lambda _: b"HTTP/1.1 302 F\r\nlocation: /secret\r\ncontent-length: 0\r\n\r\n"
    outcome = await call(caller, f"{target.url}/x")
    assert outcome.status == 302
    assert "redirects are not followed" in outcome.error
    assert target.on("/secret") == []


async def _slowly(piece: bytes, pause_s: float) -> AsyncIterator[bytes]:
    while True:
        yield piece
        await asyncio.sleep(pause_s)


@pytest.mark.parametrize("piece", [b"", b"x-slow: 1\r\n"])
async def test_whoever_hangs_or_dribbles_is_left_after_the_time_limit(
    target: Target, caller: WebhookCaller, piece: bytes
) -> None:
    async def answer() -> AsyncIterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\n"
        async for some in _slowly(piece, 0.05):
            yield some

    target.answers["/x"] = lambda _: answer()
    began_s = time.monotonic()
    outcome = await call(caller, f"{target.url}/x")
    assert "within 0.5 s" in outcome.error
    assert time.monotonic() - began_s < 2


async def test_of_a_huge_answer_nothing_but_the_status_is_read(target: Target, caller: WebhookCaller) -> None:
    async def answer() -> AsyncIterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\ncontent-length: 100000000000\r\n\r\n"
        for _ in range(1000):
            yield b"x" * 1_000_000

    target.answers["/x"] = lambda _: answer()
    assert await call(caller, f"{target.url}/x") == CallOutcome(200)
    await asyncio.sleep(0.1)
    assert target.sent_bytes < 50_000_000  # what the sockets' buffers took


async def test_endless_headers_are_a_failure(target: Target, caller: WebhookCaller) -> None:
    async def answer() -> AsyncIterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\n"
        for _ in range(1000):
            yield b"x-more: " + b"y" * 10_000 + b"\r\n"

    target.answers["/x"] = lambda _: answer()
    assert "Protocol" in (await call(caller, f"{target.url}/x")).error


async def test_nobody_there_is_a_failure_that_is_tried_again(caller: WebhookCaller) -> None:
    outcome = await call(caller, "http://127.0.0.1:1/x")
    assert (outcome.status, outcome.is_final) == (0, False)
    assert "ConnectError" in outcome.error


async def test_a_name_that_nobody_knows_is_a_failure_that_is_tried_again(caller: WebhookCaller) -> None:
    outcome = await call(caller, "http://nobody.invalid/x")
    assert outcome.error
    assert not outcome.is_final


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "0", "2130706433", "127.1", "[::ffff:127.0.0.1]"])
async def test_by_default_no_private_address_is_called_whatever_it_is_called(target: Target, host: str) -> None:
    port = target.url.rpartition(":")[2]
    async with open_webhook_caller(EventsConfig()) as closed:
        outcome = await call(closed, f"http://{host}:{port}/x")
    assert outcome.is_final
    assert "DATAMANAGER_WEBHOOK_PRIVATE=allow" in outcome.error
    assert target.calls == []


@pytest.mark.parametrize(
    ("address", "by_default", "allowed"),
    [
        ("93.184.215.14", True, True),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True, True),
        ("10.0.0.1", False, True),
        ("172.16.0.1", False, True),
        ("192.168.1.1", False, True),
        ("100.64.0.1", False, True),
        ("127.0.0.1", False, True),
        ("::1", False, True),
        ("fd00::1", False, True),
        ("::ffff:10.0.0.1", False, True),
        ("169.254.169.254", False, False),
        ("::ffff:169.254.169.254", False, False),
        ("fe80::1%eth0", False, False),
        ("224.0.0.1", False, False),
        ("0.0.0.0", False, False),  # noqa: S104  # nothing is bound
        ("::", False, False),
        ("64:ff9b::a00:1", False, False),
        ("2002:a00:1::", False, False),
        ("2001:0:a00:1::", False, False),
    ],
)
def test_which_addresses_may_be_called(address: str, by_default: bool, allowed: bool) -> None:
    assert is_allowed(address, private=False) == by_default
    assert is_allowed(address, private=True) == allowed


@pytest.mark.parametrize("word", ["", "yes", "Allow"])
async def test_another_word_for_the_setting_stops_the_start(word: str) -> None:
    with pytest.raises(ConfigError, match="DATAMANAGER_WEBHOOK_PRIVATE"):
        async with open_webhook_caller(replace(OPEN, webhook_private=word)):
            pass


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "ftp://example.org/",
        "file:///etc/passwd",
        "http://",
        "http:///x",
        "http://u:p@example.org/",
        "http://u@example.org/",
        "http://example.org:0/",
        "http://example.org:99999/",
        "http://example.org:x/",
        "http://exa mple.org/",
        "http://example.org/\r\nx: y",
        "http://[::1/",
        "http://[x]/",
        "http://ex\u00e4mple.org/",
        f"http://{'a' * 64}.org/",
        "http://example.org/" + "x" * 1100,
    ],
)
def test_what_is_no_address_of_a_webhook_is_refused(url: str) -> None:
    with pytest.raises(Refused, match=r"webhook\.url"):
        check_url(url)


@pytest.mark.parametrize("url", ["http://example.org", "https://example.org:8443/a/b?c=d", "http://[2001:db8::1]:80/"])
def test_addresses_of_webhooks_are_taken(url: str) -> None:
    assert check_url(url).hostname


def rule(**more: Any) -> AlertRule:
    fields: dict[str, Any] = {"name": "r", "channel": "x", "op": ">", "threshold": 1.0}
    return AlertRule(**(fields | more))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"name": ""}, "name"),
        ({"name": "a/b"}, "name"),
        ({"name": "x" * 65}, "name"),
        ({"name": ".."}, "name"),
        ({"channel": ""}, "channel"),
        ({"channel": "x" * 513}, "channel"),
        ({"stream": "x" * 513}, "stream"),
        ({"threshold": None}, "threshold is missing"),
        ({"threshold": float("inf")}, "threshold is no finite"),
        ({"low": 1.0}, "low means nothing"),
        ({"op": "outside"}, "threshold means nothing"),
        ({"op": "outside", "threshold": None, "low": 2.0, "high": 1.0}, "low is above high"),
        ({"op": "outside", "threshold": None, "low": 0.0, "high": 1.0, "hysteresis": 0.51}, "hysteresis"),
        ({"for_s": -0.1}, "for_s"),
        ({"for_s": float("nan")}, "for_s"),
        ({"for_s": 7 * 86400 + 1}, "for_s"),
        ({"op": "absent", "threshold": None, "for_s": 0.9}, "for_s"),
        ({"hysteresis": -1.0}, "hysteresis"),
        ({"op": "==", "hysteresis": 1.0}, "hysteresis"),
        ({"webhook": Webhook(url="x")}, "webhook"),
        ({"webhook": Webhook(url="http://x/", headers={"Host": "y"})}, "header 'Host'"),
        ({"webhook": Webhook(url="http://x/", headers={"a b": "y"})}, "header 'a b'"),
        ({"webhook": Webhook(url="http://x/", headers={"a": "y\r\nz: 1"})}, "value of 'a'"),
        ({"webhook": Webhook(url="http://x/", headers={f"h{n}": "" for n in range(33)})}, "32 headers"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_by_name(more: dict[str, Any], says: str) -> None:
    with pytest.raises(Refused, match=says):
        check_rule(rule(**more))


@pytest.mark.parametrize(
    "more",
    [
        {"name": "x" * 64, "channel": "x" * 512},
        {"op": "outside", "threshold": None, "low": 0.0, "high": 1.0, "hysteresis": 0.5},
        {"for_s": 7 * 86400.0},
        {"op": "absent", "threshold": None, "for_s": 1.0},
        {"webhook": Webhook(url="http://x/", headers={f"h{n}": "v" * 1024 for n in range(32)})},
    ],
)
def test_rules_at_the_limits_are_taken(more: dict[str, Any]) -> None:
    assert check_rule(rule(**more)) == rule(**more)


def test_what_headers_hold_is_not_shown() -> None:
    shown = rule(webhook=Webhook(url="http://x/", headers={"Authorization": "Bearer secret"})).shown()
    assert shown.webhook is not None
    assert shown.webhook.headers == {"Authorization": "***"}
