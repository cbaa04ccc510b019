"""ticketgate do: carry out an agent's command on a ticket, as if it came by mail."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from gateway import pipeline
from gateway.cli.exits import FAILURES, NOUSER, OK, USAGE
from gateway.cli.opening import add_config, opened, read_settings
from gateway.model import Plan
from gateway.outbound.words import Words


def run(command: str, arguments: Sequence[str]) -> int:
    """Do it in one transaction and print what was done; refused: print why, and nothing was done."""
    parser = argparse.ArgumentParser(
        prog="ticketgate do",
        description="Carry out an agent's command on a ticket, as if it came by mail.",
        epilog="Example:  ticketgate do 4827 '#assign bob' --as carol",
    )
    add_config(parser)
    parser.add_argument("number", type=int, metavar="TICKET")
    parser.add_argument("text", metavar="COMMANDS", help="'#close', or several lines; text below them is sent")
    parser.add_argument("--as", dest="handle", metavar="AGENT", required=True, help="handle of the agent who does it")
    parser.add_argument("--sure", action="store_true", help="do what would be asked about first (#merge, #from)")
    options = parser.parse_args(arguments)
    settings = read_settings(options)
    now = datetime.now(UTC)
    with opened(settings) as tx:
        try:
            decision = pipeline.decide_command(
                tx, options.number, options.text, options.handle, settings, now, sure=options.sure
            )
        except LookupError as error:
            print(f"ticketgate: {error.args[0]}", file=sys.stderr)
            return NOUSER
        orders, plan = decision.case.orders, decision.plan
        if not orders.commands and not orders.held:
            print("ticketgate: there is no command in that; write it like '#close'", file=sys.stderr)
            return USAGE
        if plan.outcome != "hold":
            pipeline.carry_out(tx, decision, None, now)
    words = Words(settings.folder, settings.ticketgate.language, settings.ticketgate.timezone)
    if plan.outcome == "hold":
        print(f"#{options.number} nothing was done: {_refusal(decision, words)}", file=sys.stderr)
        return FAILURES
    _print(plan)
    return OK


def _refusal(decision: pipeline.Decision, words: Words) -> str:
    """The sentence an agent would have got by mail."""
    notice = next(n for n in decision.plan.notices if n.kind == "held")
    if not words.knows(f"held_{notice.reason}"):
        orders = decision.case.orders
        hint = f"; did you mean #{orders.hint}?" if orders.hint else ""
        return f"I do not understand {orders.bad_line or orders.text or notice.reason}{hint}"
    facts = {name: notice.data.get(name, "") for name in ("verb", "value", "names")}
    return words.say(f"held_{notice.reason}", **facts)


def _print(plan: Plan) -> None:
    for one in (plan, *plan.beside):
        for line in one.explanation:
            print(f"#{one.ticket} {line}")
        for notice in one.notices:
            print(f"#{one.ticket} {notice.kind} goes to {', '.join(p.address for p in notice.recipients)}")
