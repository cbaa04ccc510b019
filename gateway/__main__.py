"""python -m gateway: the same as the command ticketgate."""

from gateway.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
