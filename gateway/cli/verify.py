"""ticketgate verify: prove that nothing was lost, changed or inserted since it was sealed."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from gateway.cli.exits import FAILURES, NOINPUT, OK
from gateway.cli.opening import add_config, find_seal_key, opened, read_settings
from gateway.cli.table import to_json, when
from gateway.safekeeping.outside import read_mark, state_folder
from gateway.seal import SealKey
from gateway.settings import Settings
from gateway.store.verify import Proof, see_one_moment, verify

_SHOWN = 100


def run(command: str, arguments: Sequence[str]) -> int:
    """Exit 0 when everything is as it was sealed, 1 with a sentence for each row that is not, 66 without a key."""
    parser = argparse.ArgumentParser(
        prog="ticketgate verify",
        description="Prove that no mail, decision, line of history or delivery was lost, changed or inserted.",
        epilog="A history that was cut off at its end can only be recognised by a head that was noted elsewhere: the "
        "start mark beside the token key, a log line, or --head. Keep the public key elsewhere, too.",
    )
    add_config(parser)
    parser.add_argument(
        "--from", dest="first", type=int, default=1, metavar="SEAL", help="compare what was sealed since"
    )
    parser.add_argument("--key", metavar="FILE", help="the public key, 64 hexadecimal digits; default: of the seal key")
    parser.add_argument("--head", metavar="NUMBER:DIGEST", help="a seal that must be there, as it was printed before")
    parser.add_argument("--public-key", action="store_true", help="print the public key and do nothing else")
    parser.add_argument("--json", action="store_true", help="one object a finding, and one with the numbers")
    options = parser.parse_args(arguments)
    head = _read_head(options.head, parser)
    settings = read_settings(options, secrets=False)
    key = find_seal_key(settings)
    if options.public_key and key is not None:
        print(key.public.hex())
        return OK
    public = _read_public(options.key) if options.key else (key.public if key else b"")
    if not public:
        print("ticketgate: there is no seal key and no --key: who should have signed?", file=sys.stderr)
        return NOINPUT
    head = head or _marked_head(settings)
    with opened(settings) as tx:
        see_one_moment(tx)
        proof = verify(tx, public=public, mark_key=_mark_key(key, public), first=options.first, head=head)
    if options.json:
        _print_json(proof)
    else:
        _print(proof, head, options.first)
    return FAILURES if proof.findings else OK


def _read_head(text: str | None, parser: argparse.ArgumentParser) -> tuple[int, str] | None:
    if not text:
        return None
    found = re.fullmatch(r"(\d+):([0-9a-fA-F]{16,64})", text)
    if not found:
        parser.error("--head is NUMBER:DIGEST, as verify prints it")
    return int(found[1]), found[2]


def _read_public(name: str) -> bytes:
    digits = Path(name).read_text(encoding="ascii", errors="replace").split()
    if len(digits) != 1 or not re.fullmatch(r"[0-9a-fA-F]{64}", digits[0]):
        raise OSError(f"{name}: a public key is 64 hexadecimal digits, as --public-key prints them")
    return bytes.fromhex(digits[0])


def _mark_key(key: SealKey | None, public: bytes) -> bytes:
    return key.mark_key if key is not None and key.public == public else b""


def _marked_head(settings: Settings) -> tuple[int, str] | None:
    mark = read_mark(state_folder(settings))
    if mark and mark.cut:
        return mark.cut
    return (mark.standing.seal, mark.standing.seal_digest) if mark and mark.standing.seal else None


def _print(proof: Proof, head: tuple[int, str] | None, first: int) -> None:
    for finding in proof.findings[:_SHOWN]:
        print(finding.sentence)
    if len(proof.findings) > _SHOWN:
        print(f"... and {len(proof.findings) - _SHOWN} more; --json lists all")
    since = f" sealed since seal {first}" if first > 1 else ""
    print(f"{proof.facts} facts{since} in {proof.seals} seals, {proof.mails} mails byte for byte, {proof.waiting} wait")
    if proof.erased:
        print(f"{proof.erased} facts were erased, each named by an erasure that is part of the record")
    if proof.last is not None:
        print(f"head  {proof.last.head}  of {when(proof.last.at)}: note it elsewhere, and verify --head it later")
    if head is None:
        print("no head is known outside the database: a history that was cut off at its end would look whole")
    count = len(proof.findings)
    print("all is as it was sealed" if not count else f"{count} thing{'s are' if count > 1 else ' is'} not as sealed")


def _print_json(proof: Proof) -> None:
    for finding in proof.findings:
        print(to_json({"finding": finding.what, "row": finding.fact, "sentence": finding.sentence}))
    numbers = {name: getattr(proof, name) for name in ("seals", "facts", "mails", "erased", "waiting")}
    last = proof.last
    print(to_json({**numbers, "head": last.head if last else "", "findings": len(proof.findings)}))
