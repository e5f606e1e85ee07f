"""A world with TLS=1: what people and programs use is https, and values arrive by the plain loopback port."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import ssl
import subprocess
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from local.openfaas.tls import HSTS
from tests.fixtures.nexus import Answer, Nexus, wait_for

GROUPS = ("prefix=sim-,count=1,notify=1s,lifetime=300,update=30s",)
NEXUS = {"tls": True}
PASSWORD = "seven green llamas at noon"
SESSION = "__Host-flownexus-session"


def trusting(nexus: Nexus) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=nexus.world.environment()["FLOWNEXUS_CA_FILE"])


@contextlib.contextmanager
def connected(nexus: Nexus, context: ssl.SSLContext) -> Iterator[http.client.HTTPSConnection]:
    # By name: the certificate is checked against it.
    made = http.client.HTTPSConnection("localhost", nexus.world.ports.tls, timeout=30, context=context)
    with contextlib.closing(made):
        yield made


def ask(nexus: Nexus, method: str, path: str, body: str | None = None, **headers: str) -> Answer:
    with connected(nexus, trusting(nexus)) as connection:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return Answer(response.status, response.read(), {k.lower(): v for k, v in response.getheaders()})


def cookies(answer: Answer) -> str:
    [name] = re.findall(
        rf"({SESSION}=[^;]+); Secure; HttpOnly; Path=/; SameSite=Lax", answer.headers["set-cookie"]
    )
    return str(name)


def test_the_first_administrator_signs_in_over_https_by_cookies_for_https_alone(nexus: Nexus) -> None:
    link = (nexus.world.home / "console-link").read_text().strip()
    site = f"https://localhost:{nexus.world.ports.tls}"
    assert link.startswith(f"{site}/function/console/welcome/")
    page = ask(nexus, "GET", link.removeprefix(site))
    assert (page.status, page.headers["strict-transport-security"]) == (200, HSTS)
    [token] = re.findall(r'name="form_token" value="([^"]+)"', page.body.decode())
    form = {"form_token": token, "name": "ann", "password": PASSWORD, "again": PASSWORD}
    head = {"Cookie": cookies(page), "Content-Type": "application/x-www-form-urlencoded", "Origin": site}
    done = ask(nexus, "POST", link.removeprefix(site), urlencode(form), **head)
    assert done.status == 303
    fleet = ask(nexus, "GET", "/function/console/", Cookie=cookies(done))
    assert (fleet.status, b"sim-0001" in fleet.body) == (200, True)
    own = ask(nexus, "GET", "/function/console/me/passkeys", Cookie=cookies(done)).body
    assert b"<pass-key create" in own, "passkeys are bound to this address"


def test_who_opens_the_console_over_plain_http_is_sent_to_https(nexus: Nexus) -> None:
    for path in ("/function/console", "/function/console/sign-in?next=/"):
        answer = nexus.request("GET", path, headers={"Host": f"localhost:{nexus.world.ports.gateway}"})
        assert (answer.status, answer.headers["location"]) == (
            308,
            f"https://localhost:{nexus.world.ports.tls}{path}",
        )
        assert "set-cookie" not in answer.headers
    proxied = nexus.request("GET", "/function/console/sign-in", headers={"X-Forwarded-Proto": "https"})
    assert proxied.status == 200, "a proxy that speaks TLS is let through"


def test_each_answer_over_https_tells_browsers_to_stay_with_it_and_plain_ones_do_not(nexus: Nexus) -> None:
    for path, status in (("/function/console/sign-in", 200), ("/function/api/v1/endpoints", 401),
                         ("/system/functions", 401), ("/elsewhere", 404)):  # fmt: skip
        answer = ask(nexus, "GET", path)
        assert (answer.status, answer.headers["strict-transport-security"]) == (status, HSTS), path
    assert "strict-transport-security" not in nexus.request("GET", "/function/api/v1/endpoints").headers


def test_the_command_line_lists_devices_and_their_values_over_https(nexus: Nexus) -> None:
    assert nexus.world.environment()["FLOWNEXUS_URL"].startswith("https://localhost:")

    def told(*words: str) -> str:
        done = subprocess.run(
            [str(nexus.world.home / "flownexus"), *words], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "sim-0001" in told("endpoints")
    wait_for(lambda: "/3303/0/5700" in told("values", "sim-0001"), 30)
    assert "CONFIRMED" in told("read", "--wait", "sim-0001", "/3303/0/5700")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_is_1_2_or_newer_by_a_certificate_of_the_world_s_ca(
    nexus: Nexus, version: ssl.TLSVersion
) -> None:
    right = trusting(nexus)
    right.minimum_version = right.maximum_version = version
    with connected(nexus, right) as connection:
        connection.connect()
    stranger = ssl.create_default_context()
    with connected(nexus, stranger) as connection, pytest.raises(ssl.SSLCertVerificationError):
        connection.connect()


def test_older_versions_of_tls_and_plain_http_find_nothing_there(nexus: Nexus) -> None:
    old = trusting(nexus)
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with connected(nexus, old) as connection, pytest.raises(ssl.SSLError):
        connection.connect()
    with socket.create_connection(("127.0.0.1", nexus.world.ports.tls), timeout=20) as plain:
        plain.sendall(b"GET /function/console HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert not plain.recv(100).startswith(b"HTTP")
