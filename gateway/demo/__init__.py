"""The whole thing in one process on loopback: a small mail server with three people, the gateway, and a story."""
