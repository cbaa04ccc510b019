# ticketgate: two commands do everything on a fresh Debian machine:
#   make demo   sets up and plays the main job on embedded SQLite; no root, no mail server
#   make test   sets up, installs real Postfix, Dovecot and PostgreSQL when root and absent, runs all tests
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test install check fast servers bench fuzz hostile faults soak clean

$(READY): config/requirements.txt tests/requirements.txt setup.cfg pyproject.toml
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed"'
	$(PYTHON) -m venv $(VENV) || { echo 'apt-get install python3-venv is needed'; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r config/requirements.txt -r tests/requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

demo: $(READY)
	$(BIN)/ticketgate demo --tour

# As root: the program, its user and its units on this host; again for a new version. Then: ticketgate init
PREFIX ?= /opt/ticketgate
PIP := $(PREFIX)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps
install:
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed"'
	$(PYTHON) -m venv $(PREFIX) || { echo 'apt-get install python3-venv is needed'; exit 1; }
	$(PIP) -r config/requirements.txt
	$(PIP) --force-reinstall .
	ln -sfn $(PREFIX)/bin/ticketgate /usr/bin/ticketgate
	install -D -m 644 -t /etc/systemd/system systemd/ticketgate.service systemd/ticketgate-lmtp.socket
	install -D -m 644 systemd/ticketgate.sysusers /usr/lib/sysusers.d/ticketgate.conf
	install -D -m 644 systemd/ticketgate.tmpfiles /usr/lib/tmpfiles.d/ticketgate.conf
	systemd-sysusers ticketgate.conf
	systemd-tmpfiles --create ticketgate.conf
	runuser -u ticketgate -- $(PREFIX)/bin/ticketgate version || { echo 'The user ticketgate cannot run it: make install PYTHON=/usr/bin/python3, PREFIX outside of homes'; exit 1; }
	if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
	@echo 'Installed. Now: ticketgate init; for a new version: systemctl restart ticketgate'

servers:
	sh tests/support/install-servers

test: $(READY) servers check
	$(BIN)/python -m pytest -n 2 --dist worksteal tests

# Everything a change must pass before it is shown to anybody, in under a minute.
check: $(READY)
	$(BIN)/ruff format --check gateway tests bench
	$(BIN)/ruff check gateway tests bench
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q -n 2 -m 'not slow and not postfix and not dovecot and not postgresql and not system' tests/rules tests/corpus tests/store/test_road.py tests/store/test_journal.py

bench: $(READY)
	$(BIN)/python -m bench.throughput

# Twenty seconds for each reader of strangers' bytes (FUZZ_SECONDS=3600 for a night). atheris is fetched here only: 35 MB.
FUZZ_SECONDS ?= 20
fuzz: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps atheris==3.0.0
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS)

# What fifteen kinds of hostile mail cost everybody else, measured on a real daemon.
hostile: $(READY)
	$(BIN)/python -m bench.hostile

# The daemon is killed at every step of receive, process, record, deliver and remind, on both databases, until none is
# left; and what was promised is checked from outside. An hour or two: FAULTS="--every 20" for a look, see its README.
FAULTS ?=
faults: $(READY) servers
	$(BIN)/python -m tests.faults $(FAULTS)
	$(BIN)/python -m tests.faults --jobs 1 --bulk 500 --kills 20

# A busy desk whose gateways are killed at random: SOAK="--minutes 60 --database sqlite".
soak: $(READY) servers
	$(BIN)/python -m tests.faults.soak $(SOAK)

# How well third-party mail is read, beside public libraries. MISSES=--misses lists what is wrong, ONLY=mime one part.
CORPORA ?= ../shared/corpora
ONLY ?=
MISSES ?=

accuracy: $(READY)
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r bench/requirements.txt
	$(BIN)/python -m bench.accuracy $(CORPORA) --only "$(ONLY)" $(MISSES)

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
