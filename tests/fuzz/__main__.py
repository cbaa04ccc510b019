"""Run the fuzz targets: ``python -m tests.fuzz [--seconds 20] [NAME …]``; exits 1 when one of them fails.

Each target runs in a process of its own (libFuzzer ends it), first on its seeds. A failing input is written to
``build/fuzz/NAME/`` and its place printed; ``python -m tests.fuzz NAME --input FILE`` runs it once more.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

FOLDER = Path("build/fuzz")
NAMES = ("parse", "header", "addresses", "tokens", "commands", "quotes", "clues", "authenticate")


def _fuzz(name: str, seconds: int) -> None:
    import atheris

    with atheris.instrument_imports(include=["gateway"]):
        from tests.fuzz.targets import TARGETS
    target = TARGETS[name]
    corpus, found = FOLDER / name / "corpus", FOLDER / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    options = [f"-max_total_time={seconds}", "-max_len=8192", "-timeout=10", "-rss_limit_mb=1024", "-verbosity=0"]
    options += ["-print_final_stats=1", f"-artifact_prefix={found}/"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], target.run)
    atheris.Fuzz()


def main() -> int:
    """Run what the command line names, all by default."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--seconds", type=int, default=20, help="for each target")
    parser.add_argument("--input", type=Path, help="run one target on one file, without atheris")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.input:
        from tests.fuzz.targets import TARGETS

        TARGETS[options.names[0]].run(options.input.read_bytes())
        return 0
    if options.here:
        _fuzz(options.names[0], options.seconds)
        return 0
    failed = []
    for name in options.names or NAMES:
        print(f"== {name}", flush=True)
        command = [sys.executable, "-m", "tests.fuzz", name, "--here", "--seconds", str(options.seconds)]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    print(f"failed: {', '.join(failed) or 'none'}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
