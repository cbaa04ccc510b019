"""Fixtures shared by all tests. Real servers are started by ``tests/support`` as private instances on loopback."""

pytest_plugins = [
    "tests.support.databases",
    "tests.support.postfix",
    "tests.support.dovecot",
    "tests.support.smtp_sink",
]
