"""The client of one bucket: objects written, read in part, and removed by the start of their names."""

from __future__ import annotations

import base64
import hashlib
import http.client
import logging
import random
import re
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from html import escape, unescape
from http import HTTPStatus
from queue import Empty, Full, LifoQueue
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from flownexus.errors import NotFoundError, UnavailableError
from flownexus.objects.signature import Signer, encoded, query_text

log = logging.getLogger(__name__)

BUCKET: Final = "firmware_store_bucket"
REGION: Final = "firmware_store_region"
ACCESS_KEY: Final = "flownexus-firmware-store-access-key"
SECRET_KEY: Final = "flownexus-firmware-store-secret-key"  # noqa: S105  # the name of its file
TIMEOUT_S: Final = 4.0
"""For a connection to stand, and for each part of an answer to come."""
TRIES: Final = 3
"""Each request may be repeated: the same object is written, read or removed once more."""
PAUSE_S: Final = 0.2
IDLE_CONNECTIONS: Final = 8
MAX_ANSWER: Final = 4 * 1024 * 1024
"""Bytes: an object has 512 KiB at most, a list of 1,000 names about as much."""
MAX_LISTED: Final = 1000
"""How many objects are listed, and removed, by one request (S3's own limit)."""
_KEY: Final = re.compile(r"<Key>(.*?)</Key>", re.DOTALL)
_CODE: Final = re.compile(r"<Code>(\w+)</Code>")
_WRONG_KEY: Final = {"SignatureDoesNotMatch", "InvalidAccessKeyId", "AuthorizationHeaderMalformed"}


class Answer(NamedTuple):
    """What the store answered."""

    status: int
    body: bytes

    @property
    def code(self) -> str:
        """Return the code of an error, such as NoSuchKey; else what HTTP calls the status."""
        found = _CODE.search(self.body.decode(errors="replace"))
        return found[1] if found else http.client.responses.get(self.status, "unknown")


class Bucket:
    """A bucket of a store. Threads may share it."""

    def __init__(self, url: str, name: str, signer: Signer) -> None:
        self._url = urlsplit(url)
        self._name = name
        self._signer = signer
        self._tls = ssl.create_default_context() if self._url.scheme == "https" else None
        self._idle: LifoQueue[http.client.HTTPConnection] = LifoQueue(IDLE_CONNECTIONS)

    def write(self, name: str, content: bytes) -> None:
        """Keep an object whole, or not at all; raise UnavailableError."""
        answer = self._ask("PUT", name, body=content)
        if answer.status != HTTPStatus.OK:
            raise self._refused(answer)

    def read(self, name: str, start: int, length: int) -> bytes:
        """Return `length` bytes of an object from `start`; raise NotFoundError or UnavailableError."""
        answer = self._ask("GET", name, headers={"range": f"bytes={start}-{start + length - 1}"})
        if answer.status == HTTPStatus.NOT_FOUND and answer.code != "NoSuchBucket":
            log.error("the object %s is gone from the bucket %s", name, self._name)
            raise NotFoundError(f"the object store has no {name} any more")
        if answer.status != HTTPStatus.PARTIAL_CONTENT:
            raise self._refused(answer)
        if len(answer.body) != length:
            raise UnavailableError(f"the object store sent {len(answer.body)} bytes of {length}")
        return answer.body

    def remove(self, prefix: str) -> bool:
        """Remove up to MAX_LISTED objects whose names begin so, and say whether none is left.

        Raises UnavailableError.
        """
        query = {"list-type": "2", "max-keys": str(MAX_LISTED), "prefix": prefix}
        listed = self._ask("GET", query=query)
        if listed.status != HTTPStatus.OK:
            raise self._refused(listed)
        names = [unescape(name) for name in _KEY.findall(listed.body.decode())]
        if not names:
            return True
        objects = "".join(f"<Object><Key>{escape(name)}</Key></Object>" for name in names)
        body = f"<Delete><Quiet>true</Quiet>{objects}</Delete>".encode()
        checked = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        removed = self._ask("POST", query={"delete": ""}, headers={"content-md5": checked}, body=body)
        if removed.status != HTTPStatus.OK or _CODE.search(removed.body.decode(errors="replace")):
            raise self._refused(removed)
        return len(names) < MAX_LISTED

    def close(self) -> None:
        """Close the connections that nobody uses at this moment."""
        with suppress(Empty):
            while True:
                self._idle.get_nowait().close()

    def _ask(
        self,
        method: str,
        name: str = "",
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Answer:
        """Send a request until it is answered, TRIES times at most; raise UnavailableError."""
        for left in reversed(range(TRIES)):
            try:
                answer = self._send(method, name, query or {}, headers or {}, body)
            except ssl.SSLCertVerificationError as error:
                raise UnavailableError(
                    f"the object store at {self._url.netloc}: its certificate is not trusted: "
                    f"{error.verify_message}; see SSL_CERT_FILE"
                ) from error
            except (OSError, http.client.HTTPException) as error:
                self.close()  # where one connection broke, the others did
                if not left:
                    raise UnavailableError(
                        f"the object store at {self._url.netloc} is away: {error or type(error).__name__}"
                    ) from error
            else:
                if answer.status < HTTPStatus.INTERNAL_SERVER_ERROR or not left:
                    return answer
            time.sleep(random.uniform(0.5, 1.5) * PAUSE_S)  # noqa: S311  # jitter
        raise AssertionError("the last try returns or raises")

    def _send(
        self, method: str, name: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> Answer:
        path = encoded(f"/{self._name}/{name}" if name else f"/{self._name}")
        signed = self._signer.headers(
            method, path, query, {"host": self._url.netloc, **headers}, body, datetime.now(UTC)
        )
        target = f"{path}?{query_text(query)}" if query else path
        connection = self._connection()
        try:
            connection.request(method, target, body or None, signed)
            response = connection.getresponse()
            answer = Answer(response.status, response.read(MAX_ANSWER))
        except BaseException:
            connection.close()
            raise
        if not response.isclosed():  # more than we asked for: nobody reads it
            connection.close()
        try:
            self._idle.put_nowait(connection)
        except Full:
            connection.close()
        return answer

    def _connection(self) -> http.client.HTTPConnection:
        with suppress(Empty):
            return self._idle.get_nowait()
        host, port = self._url.hostname or "", self._url.port
        if self._tls is None:
            return http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
        return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=self._tls)

    def _refused(self, answer: Answer) -> UnavailableError:
        where = f"the object store at {self._url.netloc}"
        if answer.code in _WRONG_KEY:
            cure = f"see the secrets {ACCESS_KEY} and {SECRET_KEY}, and the setting {REGION}"
        elif answer.code == "NoSuchBucket":
            cure = f"see the setting {BUCKET}: there is no bucket {self._name}"
        elif answer.status == HTTPStatus.FORBIDDEN:
            cure = f"its keys must be allowed to write, read, list and delete in the bucket {self._name}"
        else:
            cure = f"it may be asked again, or see the setting {REGION}"
        log.error("%s answers %d %s: %s", where, answer.status, answer.code, cure)
        return UnavailableError(f"{where} answers {answer.status} {answer.code}: {cure}")
