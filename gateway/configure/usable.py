"""Whether what the configuration names can be used: found out here, with file and key, not by a start that fails.

Passwords can be read, the DKIM key signs, certificates fit their keys (ops.md 15).
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

from gateway.configure.secret import read_secret
from gateway.configure.tables import TomlFile
from gateway.errors import TemporaryError
from gateway.outbound.sign import Signer
from gateway.settings import Settings

_BY_PASSWORD = ("password", "app-password")


def check_usable(settings: Settings, site: TomlFile) -> None:
    """A mistake for each secret, key or certificate that is in use and cannot be used.

    Not for mailboxes: one that cannot be read must not stop the others; its reader says so and tries again.
    """

    def demand(key: str, use: Callable[[], object]) -> None:
        try:
            use()
        except ssl.SSLError as error:
            site.mistake(key, f"certificate and key do not fit, or are none: {error.reason or error}")
        except OSError as error:
            site.mistake(key, f"{error.filename or ''}: {error.strerror or error}".removeprefix(": "))
        except UnicodeDecodeError:
            site.mistake(key, "is no text")
        except (ValueError, TemporaryError) as error:
            site.mistake(key, str(error))

    send, dkim, smtp = settings.send, settings.send.dkim, settings.receive.smtp
    if send.auth in _BY_PASSWORD:
        demand("send.secret", lambda: read_secret(send.secret))
    if send.ca_file:
        demand("send.ca_file", lambda: ssl.create_default_context(cafile=send.ca_file))
    if dkim.enabled:
        demand("send.dkim.key_secret", lambda: Signer(dkim.domain, dkim.selector, read_secret(dkim.key_secret)))
    if smtp is not None and smtp.listen and smtp.tls_certificate:
        demand("receive.smtp.tls_certificate", lambda: open_certificate(smtp.tls_certificate, smtp.tls_key))


def open_certificate(certificate: str, key: str) -> ssl.SSLContext:
    """What the SMTP edge says STARTTLS with. Raises OSError with the name of a file, SSLError when they do not fit."""
    for path in (certificate, key.removeprefix("file:")):
        if path:
            Path(path).open("rb").close()  # OpenSSL does not say which one is missing
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key.removeprefix("file:") or None)
    return context
