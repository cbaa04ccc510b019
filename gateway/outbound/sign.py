"""The DKIM signature of outgoing mail (RFC 6376; ed25519: RFC 8463), where the relay does not sign [cryptography].

Signing has no chance and no clock in it: the time is the mail's own Date, so that a retry sends identical bytes.
"""

from __future__ import annotations

import base64
import hashlib
import re
from email.utils import parsedate_to_datetime

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

from gateway.errors import TemporaryError

_SIGNED = (
    "from", "to", "cc", "reply-to", "subject", "date", "message-id", "in-reply-to", "references", "mime-version",
    "content-type", "content-transfer-encoding", "auto-submitted", "list-id", "list-unsubscribe",
)  # fmt: skip
_OVERSIGNED = ("from", "to", "cc", "reply-to", "subject", "date", "message-id", "in-reply-to", "references")
"""Named once more than they occur: nobody can add another one (RFC 6376 8.15)."""
_FIELD = re.compile(rb"([!-9;-~]+):((?:[^\r\n]|\r\n[ \t])*)\r\n")


class Signer:
    """Signs for one domain and selector. ``key`` is PEM, or the base64 of an ed25519 seed.

    Raises TemporaryError when the key cannot be read: an operator has to look, no mail is lost.
    """

    def __init__(self, domain: str, selector: str, key: str) -> None:
        self._domain, self._selector = domain.encode("idna").decode(), selector
        self._key = _read_key(key)

    def sign(self, content: bytes) -> bytes:
        """The mail with its DKIM-Signature on top. ``content`` has CRLF line ends and each header field once."""
        head, _, body = content.partition(b"\r\n\r\n")
        fields = {m[1].decode().lower(): m[2] for m in _FIELD.finditer(head + b"\r\n")}
        present = [name for name in _SIGNED if name in fields]
        names = present + list(_OVERSIGNED)
        algorithm = "rsa-sha256" if isinstance(self._key, rsa.RSAPrivateKey) else "ed25519-sha256"
        body_hash = base64.b64encode(hashlib.sha256(_relaxed_body(body)).digest()).decode()
        at = int(parsedate_to_datetime(fields["date"].decode().strip()).timestamp())
        value = (
            f"v=1; a={algorithm}; c=relaxed/relaxed; d={self._domain}; s={self._selector};\r\n t={at};"
            f" h={_wrapped(names)};\r\n bh={body_hash};\r\n b="
        )
        # The names that do not occur hash as nothing; the signature's own field comes last, without its CRLF.
        signed = b"".join(_relaxed_field(name, fields[name]) + b"\r\n" for name in present)
        signed += _relaxed_field("dkim-signature", b" " + value.encode())
        signature = base64.b64encode(self._signature(signed)).decode()
        folded = "\r\n ".join(signature[i : i + 72] for i in range(0, len(signature), 72))
        return f"DKIM-Signature: {value}{folded}\r\n".encode() + content

    def _signature(self, data: bytes) -> bytes:
        if isinstance(self._key, rsa.RSAPrivateKey):
            return self._key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        return self._key.sign(hashlib.sha256(data).digest())


def _read_key(text: str) -> rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey:
    try:
        if "-----BEGIN" in text:
            key = serialization.load_pem_private_key(text.encode(), password=None)
        else:
            key = ed25519.Ed25519PrivateKey.from_private_bytes(base64.b64decode(text.strip()))
    except (ValueError, TypeError) as error:
        raise TemporaryError(f"the DKIM key cannot be read: {error}") from error
    if not isinstance(key, rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey):
        raise TemporaryError("the DKIM key is neither RSA nor ed25519")
    return key


def _wrapped(names: list[str]) -> str:
    lines, line = [], ""
    for name in names:
        if len(line) + len(name) > 60:
            lines.append(line)
            line = ""
        line += f"{name}:"
    return "\r\n ".join([*lines, line]).removesuffix(":")


def _relaxed_field(name: str, value: bytes) -> bytes:
    """RFC 6376 3.4.2."""
    unfolded = value.replace(b"\r\n", b"")
    return name.encode() + b":" + re.sub(rb"[ \t]+", b" ", unfolded).strip(b" \t")


def _relaxed_body(body: bytes) -> bytes:
    """RFC 6376 3.4.4."""
    lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in body.split(b"\r\n")]
    while lines and not lines[-1]:
        lines.pop()
    return b"".join(line + b"\r\n" for line in lines)
