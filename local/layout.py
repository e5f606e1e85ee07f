"""Where everything of a world is, whether it runs or not: ports, URLs, files and secrets."""

from __future__ import annotations

import ipaddress
import json
import re
import shlex
import socket
import sys
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from psycopg.conninfo import conninfo_to_dict

from flownexus.credentials import SecretFolder, write_private
from flownexus.settings import Timeouts
from local import REPOSITORY
from local.options import CLI_FILE, ENVIRONMENT_FILE, PASSWORD_FILE, SIMULATOR_READY_FILE, Options, Ports
from local.servers import nats, postgres
from local.servers.ports import LOOPBACK

DATABASE = "flownexus"
ROLES = {
    "flownexus-ingest-database-url": "flownexus_ingest",
    "flownexus-dispatch-database-url": "flownexus_dispatch",
    "flownexus-api-database-url": "flownexus_api",
    "flownexus-housekeeping-database-url": "flownexus_housekeeping",
    "flownexus-firmware-database-url": "flownexus_firmware",
    "flownexus-download-database-url": "flownexus_download",
    "flownexus-console-database-url": "flownexus_console",
    "flownexus-grafana-database-url": "flownexus_grafana",
}
OFF_AT_FIRST = (
    "flownexus-hook-token",
    "flownexus-oidc-client-secret",
    "flownexus-firmware-store-access-key",
    "flownexus-firmware-store-secret-key",
)
"""What somebody else gives, for settings that most have not."""
READER = "flownexus_reader"
"""The role of whoever reads by hand: psql, and what sources the file `env`."""
TOKENS = (
    "flownexus-webhook-token",
    "flownexus-connector-token",
    "flownexus-api-token",
    "flownexus-leshan-token",
    "flownexus-bootstrap-token",
)
SESSIONS_KEY = "flownexus-leshan-sessions-key"
"""What Leshan encrypts the DTLS sessions by that it keeps from a stop to the next start."""


CREDENTIAL_KEY = "flownexus-credential-key"
"""What pre-shared keys are encrypted by in the database."""
AUTHORITY = "flownexus-ca"
"""The CA that signs certificates of devices, with its key. One given is put there before the first start."""
AUTHORITY_CERTIFICATE = "flownexus-ca-certificate"
"""The CA's certificate alone, for Leshan, which signs nothing."""
SERVER_CERTIFICATE = "flownexus-leshan-certificate"
SERVER_KEY = "flownexus-leshan-certificate-key"
GATEWAY_CERTIFICATE = "flownexus-gateway-certificate"
GATEWAY_KEY = "flownexus-gateway-certificate-key"
"""By which the gateway speaks TLS, unless the user's own files are given."""


def at_host_of(public_url: str, url: str) -> str:
    """Return `url` with the host of `public_url`, and its own scheme and port."""
    host = urlsplit(public_url).hostname or ""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{f'[{host}]' if ':' in host else host}:{parts.port}"))


class Layout:
    """The places of a world: all below its home folder, and on the loopback interface's ports of its own."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.home = options.home
        self.ports: Ports = options.ports.settled()
        self.timeouts = Timeouts.of(options.long_poll_timeout)
        self.secrets = SecretFolder(self.home / "secrets")
        self._passwords = SecretFolder(self.home / "passwords")

    @property
    def gateway_url(self) -> str:
        """Return the gateway's URL for the other parts, which are on this machine."""
        return f"http://{LOOPBACK}:{self.ports.gateway}"

    @property
    def public_url(self) -> str:
        """Return the gateway's URL for people and their programs."""
        return f"https://localhost:{self.ports.tls}" if self.options.tls else self.gateway_url

    @property
    def site_url(self) -> str:
        """Return scheme, host and port of the console for browsers: no passkey is bound to an address."""
        given = self.options.stack_environment.get("CONSOLE_URL", "").rstrip("/")
        if given or self.options.tls:
            return given or self.public_url
        return f"http://localhost:{self.ports.gateway}"

    @property
    def console_url(self) -> str:
        """Return the URL of the console's pages."""
        return f"{self.site_url}/function/console"

    @property
    def tls_certificate(self) -> Path:
        """Return the file of the certificate by which the gateway speaks TLS."""
        files = self.options.tls_files
        return files.certificate if files else self.secrets.path(GATEWAY_CERTIFICATE)

    @property
    def tls_key(self) -> Path:
        """Return the file of its private key."""
        files = self.options.tls_files
        return files.key if files else self.secrets.path(GATEWAY_KEY)

    @property
    def tls_authority(self) -> Path | None:
        """Return the file of the CA to trust; None where the system's are enough."""
        files = self.options.tls_files
        return files.authority if files else self.secrets.path(AUTHORITY_CERTIFICATE)

    @property
    def leshan_url(self) -> str:
        """Return the URL of Leshan's REST API."""
        return f"http://{LOOPBACK}:{self.ports.leshan}"

    @property
    def _device_host(self) -> str:
        """Return the address by which devices on this machine reach us, as a URL has it."""
        address = ipaddress.ip_address(self.options.coap_host)
        if address.is_unspecified:
            return LOOPBACK
        return f"[{address}]" if address.version == 6 else str(address)

    @property
    def coap_url(self) -> str:
        """Return where devices register in the clear, if any may."""
        return f"coap://{self._device_host}:{self.ports.coap}"

    @property
    def coaps_url(self) -> str:
        """Return where devices register over DTLS."""
        return f"coaps://{self._device_host}:{self.ports.coaps}"

    @property
    def bootstrap_url(self) -> str:
        """Return where devices bootstrap, if there is a bootstrap server."""
        return f"coaps://{self._device_host}:{self.ports.bootstrap}"

    @property
    def downloads_url(self) -> str:
        """Return where devices on this machine download firmware packages."""
        return f"http://{self._device_host}:{self.ports.downloads}"

    @property
    def firmware_urls(self) -> tuple[str, ...]:
        """Return where devices get firmware packages, one URL a protocol: at the host of COAPS_URL."""
        coaps_url = self.options.stack_environment.get("COAPS_URL", "").rstrip("/") or self.coaps_url
        plain = (f"{at_host_of(coaps_url, self.coap_url)}/fw",) if self.options.plain_endpoints() else ()
        return (at_host_of(coaps_url, self.downloads_url), *plain, f"{coaps_url}/fw")

    @property
    def own_database(self) -> bool:
        """Say whether PostgreSQL is a part of this world, and not the user's or left out."""
        return "postgres" in self.options.parts and not self.options.database_url

    @property
    def own_nats(self) -> bool:
        """Say whether NATS is a part of this world, and not the user's or left out."""
        return "nats" in self.options.parts and not self.options.nats_url

    @property
    def cluster(self) -> postgres.Cluster:
        """Return the world's own PostgreSQL."""
        return postgres.Cluster(
            self.home / "postgres",
            self._passwords.random("postgres"),
            port=self.ports.database,
            durable=self.options.durable,
            settings={"shared_buffers": f"{self.options.shared_buffers_mb}MB"},
        )

    @property
    def nats_server(self) -> nats.Server:
        """Return the world's own NATS."""
        return nats.Server(self.home / "nats", self._passwords.random("nats"), port=self.ports.nats)

    @property
    def database_url(self) -> str:
        """Return the owner's URL of the database; a secret."""
        return self.options.database_url or self.cluster.dsn(DATABASE)

    @property
    def nats_url(self) -> str:
        """Return NATS's URL; a secret."""
        return self.options.nats_url or self.nats_server.url

    @property
    def logs(self) -> Path:
        """Return the folder of the logs."""
        return self.home / "logs"

    @property
    def ledger(self) -> Path:
        """Return the file with a line for each value that was acknowledged."""
        return self.home / "simulator" / "ledger.jsonl"

    @property
    def unacknowledged(self) -> Path:
        """Return the file with a line for each value that was sent and never acknowledged."""
        return self.home / "simulator" / "unacknowledged.jsonl"

    @property
    def requests(self) -> Path:
        """Return the file with a line for each request that a simulated device received."""
        return self.home / "simulator" / "requests.jsonl"

    @property
    def simulator_ready(self) -> Path:
        """Return the file that is there once the simulator has its devices."""
        return self.home / SIMULATOR_READY_FILE

    @property
    def simulator_port(self) -> int:
        """Return the port of the control API of a simulator that runs."""
        port: int = json.loads(self.simulator_ready.read_text())["control"]
        return port

    def role_passwords(self) -> dict[str, str]:
        """Return the password of each role of the database that is not its owner."""
        return {role: self._passwords.random(_file(role)) for role in (*ROLES.values(), READER)}

    def make_secrets(self) -> None:
        """Write the secrets that the parts read, those that are not there yet at random."""
        for secret in (*TOKENS, SESSIONS_KEY, CREDENTIAL_KEY):
            self.secrets.random(secret)
        for secret in OFF_AT_FIRST:
            if secret not in self.secrets:
                self.secrets.write(secret, "off")
        if "basic-auth-user" not in self.secrets:
            self.secrets.write("basic-auth-user", "admin")
        self.secrets.random("basic-auth-password")
        passwords = self.role_passwords()
        for secret, role in ROLES.items():
            self.secrets.write(secret, _with_user(self.database_url, role, passwords[role]))
        self.secrets.write("flownexus-nats-url", self.nats_url)
        if not {AUTHORITY, AUTHORITY_CERTIFICATE, SERVER_CERTIFICATE, SERVER_KEY} <= set(
            self.secrets.names()
        ):
            self._make_certificates()
        if self.options.tls and self.options.tls_files is None:
            self._renew_gateway_certificate()

    def _make_certificates(self) -> None:
        """Make a CA, unless there is one, and Leshan's certificate of it."""
        from flownexus.enrolment.authority import Authority, certificate_pem, now
        from flownexus.enrolment.keys import private_pem

        if AUTHORITY not in self.secrets:
            self.secrets.write(AUTHORITY, Authority.new("Flow Nexus CA", now()).pem)
        authority = Authority.read(self.secrets.read(AUTHORITY))
        self.secrets.write(AUTHORITY_CERTIFICATE, certificate_pem(authority.certificate))
        certificate, key = authority.server(self._server_names(), now())
        self.secrets.write(SERVER_KEY, private_pem(key))
        self.secrets.write(SERVER_CERTIFICATE, certificate_pem(certificate))

    def _renew_gateway_certificate(self) -> None:
        """Make the gateway's certificate, unless there is one that lasts and has the names."""
        from flownexus.enrolment.authority import Authority, certificate_pem, is_good_for, now
        from flownexus.enrolment.keys import private_pem

        authority, names = Authority.read(self.secrets.read(AUTHORITY)), self._site_names()
        there = {GATEWAY_CERTIFICATE, GATEWAY_KEY} <= set(self.secrets.names())
        if there and is_good_for(self.secrets.read(GATEWAY_CERTIFICATE), authority, names, now()):
            return
        certificate, key = authority.site(names, now())
        self.secrets.write(GATEWAY_KEY, private_pem(key))
        self.secrets.write(GATEWAY_CERTIFICATE, certificate_pem(certificate))

    def _site_names(self) -> list[str]:
        """Return the names and addresses in the gateway's certificate, by which browsers may find it."""
        told = urlsplit(self.site_url).hostname or "localhost"
        return list(dict.fromkeys([told, "localhost", LOOPBACK, socket.gethostname()]))

    def _server_names(self) -> list[str]:
        """Return the names and addresses in Leshan's certificate, by which devices may find it."""
        return list(
            dict.fromkeys([self._device_host.strip("[]"), LOOPBACK, "localhost", socket.gethostname()])
        )

    def environment(self) -> dict[str, str]:
        """Return what a client of the world needs, as in the file `env`."""
        values = {
            "FLOWNEXUS_GATEWAY": self.public_url,
            "FLOWNEXUS_URL": f"{self.public_url}/function",
            "FLOWNEXUS_LOOPBACK_GATEWAY": self.gateway_url,
            "FLOWNEXUS_CONSOLE": self.console_url,
            "FLOWNEXUS_DATABASE_URL": _with_user(self.database_url, READER),
            "PGPASSFILE": str(self._password_file),
            "FLOWNEXUS_LESHAN_URL": self.leshan_url,
            "FLOWNEXUS_NATS_URL": self.nats_url,
            **({"FLOWNEXUS_COAP": self.coap_url} if self.options.plain_endpoints() else {}),
            "FLOWNEXUS_COAPS": self.coaps_url,
            **({"FLOWNEXUS_BOOTSTRAP": self.bootstrap_url} if self.options.bootstrap else {}),
            "FLOWNEXUS_SECRETS": str(self.secrets.folder),
            "FLOWNEXUS_API_TOKEN_FILE": str(self.secrets.path("flownexus-api-token")),
            "FLOWNEXUS_LESHAN_TOKEN_FILE": str(self.secrets.path("flownexus-leshan-token")),
            "FLOWNEXUS_WEBHOOK_TOKEN_FILE": str(self.secrets.path("flownexus-webhook-token")),
            "FLOWNEXUS_BASIC_AUTH_PASSWORD_FILE": str(self.secrets.path("basic-auth-password")),
        }
        # So that a later start, of this world or another, can tell the user's own from ours, see
        # Options.from_environment.
        values["FLOWNEXUS_EMBEDDED_DATABASE_URL"] = values["FLOWNEXUS_DATABASE_URL"]
        if self.options.tls and self.tls_authority is not None:
            values["FLOWNEXUS_CA_FILE"] = str(self.tls_authority)
        if not self.options.nats_url:
            values["FLOWNEXUS_EMBEDDED_NATS_URL"] = self.nats_url
        return values

    @property
    def _password_file(self) -> Path:
        return self.home / PASSWORD_FILE

    def write_environment(self) -> None:
        """Write the file `env`, for a shell to read, and libpq's password file that it names."""
        write_private(
            self._password_file,
            password_line(self.database_url, READER, self._passwords.random(_file(READER))),
        )
        lines = [f"export {name}={shlex.quote(value)}" for name, value in self.environment().items()]
        write_private(self.home / ENVIRONMENT_FILE, "\n".join(lines) + "\n")
        write_private(self.home / CLI_FILE, self._launcher())
        (self.home / CLI_FILE).chmod(0o700)

    def _launcher(self) -> str:
        """Return the shell script that runs the command line on this world."""
        return (
            "#!/bin/sh\n"
            "# A token of the caller's own counts, but not one that his shell has of a world's file env.\n"
            "token=${FLOWNEXUS_API_TOKEN_FILE:-}\n"
            '[ "$token" != "${FLOWNEXUS_SECRETS:-}/flownexus-api-token" ] || token=\n'
            f". {shlex.quote(str(self.home / ENVIRONMENT_FILE))}\n"
            "FLOWNEXUS_API_TOKEN_FILE=${token:-$FLOWNEXUS_API_TOKEN_FILE}\n"
            f"export PYTHONPATH={shlex.quote(str(REPOSITORY))}\n"
            f'exec {shlex.quote(sys.executable)} -m cli "$@"\n'
        )


def password_line(url: str, user: str, password: str) -> str:
    """Return the line of libpq's password file for a user of the database that a URL names."""
    place = conninfo_to_dict(url)
    host = str(place.get("host") or "*")
    fields = (
        # A socket's folder may stand for localhost, and several hosts have a line each.
        "*" if host.startswith("/") or "," in host else host,
        *(str(place.get(name) or "*") for name in ("port", "dbname")),
        *(user, password),
    )
    return ":".join(re.sub(r"([\\:])", r"\\\1", field) for field in fields) + "\n"


def _file(role: str) -> str:
    """Return the name of the file of a role's password."""
    return role.replace("_", "-")


def _with_user(url: str, user: str, password: str = "") -> str:
    """Return a database's URL for another user."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    login = quote(user) + (f":{quote(password, safe='')}" if password else "")
    return urlunsplit(parts._replace(netloc=f"{login}@{host}"))
