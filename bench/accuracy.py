"""How well mail is read, beside public libraries: ``python -m bench.accuracy CORPORA [--only PART] [--misses]``.

CORPORA is a folder with ``jsonl/TASK-SET.jsonl`` and ``files/``. Every mail goes through ``ticketgate examine --json``,
as an operator would ask; public libraries (bench/requirements.txt) get the same rows in the same run. Prints a table a
set; asserts nothing. Answers are percents (right/total) or means of 0 to 1; ms are CPU in the reader, or wall clock
of a library.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench import accuracy_auth, accuracy_forward, accuracy_mime, accuracy_reply, accuracy_reports, accuracy_thread
from bench.tally import Corpora

TASKS = (accuracy_reply, accuracy_forward, accuracy_reports, accuracy_mime, accuracy_thread, accuracy_auth)


def main() -> int:
    """Measure what was asked for; 0 also without a folder, which is nobody's fault."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("corpora", type=Path)
    arguments.add_argument("--only", default="", metavar="PART", help="sets with this in their name: mime, talon")
    arguments.add_argument("--misses", action="store_true", help="also list what ours got wrong")
    options = arguments.parse_args()
    if not (options.corpora / "jsonl").is_dir():
        print(f"{options.corpora}: no third-party mail here, so there is nothing to measure (CORPORA=folder).")
        return 0
    corpora = Corpora(options.corpora, options.only)
    for task in TASKS:
        for measured in task.measure(corpora):
            measured.show(options.misses)
    return 0


if __name__ == "__main__":
    sys.exit(main())
