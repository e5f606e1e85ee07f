"""Signatures of requests: AWS Signature Version 4 for S3, with the hash of the body; no I/O."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple
from urllib.parse import quote

ALGORITHM: Final = "AWS4-HMAC-SHA256"


def encoded(path: str) -> str:
    """Return a path as a URL has it, its slashes as they are."""
    return quote(path, safe="/-_.~")


def query_text(query: Mapping[str, str]) -> str:
    """Return a query as it is sent and signed: sorted, each name with its `=`."""
    return "&".join(
        f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted(query.items())
    )


class Signer(NamedTuple):
    """Signs for one pair of keys and one region."""

    access_key: str
    secret_key: str
    region: str

    def __repr__(self) -> str:
        """Leave the secret out: whatever logs a signer tells nobody."""
        return f"Signer({self.access_key!r}, region={self.region!r})"

    def headers(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes,
        now: datetime,
    ) -> dict[str, str]:
        """Return the headers to send: those that are given, which have the host, and what proves them ours.

        `path` is encoded; names of headers are in small letters.
        """
        digest, time = hashlib.sha256(body).hexdigest(), f"{now:%Y%m%dT%H%M%SZ}"
        signed = {**headers, "x-amz-content-sha256": digest, "x-amz-date": time}
        names = ";".join(sorted(signed))
        canonical = "\n".join(
            [
                method,
                path,
                query_text(query),
                *(f"{name}:{signed[name].strip()}" for name in sorted(signed)),
                "",
                names,
                digest,
            ]
        )
        scope = f"{now:%Y%m%d}/{self.region}/s3/aws4_request"
        to_sign = "\n".join([ALGORITHM, time, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = b"AWS4" + self.secret_key.encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
        proof = (
            f"{ALGORITHM} Credential={self.access_key}/{scope},SignedHeaders={names},Signature={signature}"
        )
        return {**signed, "authorization": proof}
