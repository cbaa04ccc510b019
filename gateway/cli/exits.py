"""Exit codes of sysexits(3), so that mail servers and scripts agree (ops.md 14)."""

OK = 0
FAILURES = 1  # doctor, selftest: something was found
USAGE = 64
DATAERR = 65  # mail unusable
NOINPUT = 66
NOUSER = 67  # no such ticket or address
UNAVAILABLE = 69
SOFTWARE = 70
IOERR = 74
TEMPFAIL = 75  # the mail server tries again
NOPERM = 77
CONFIG = 78
INTERRUPTED = 130
