# make run    the server on loopback ports, from the folder ./instance
# make test   every check and test; installs what it needs
# make deb    the Debian package, in the folder ./dist
SHELL = /bin/sh
PYTHON ?= $(shell for python in /usr/bin/python3 python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
BIN = .venv/bin
JOBS ?= 4

.PHONY: run test check tests torture compiled test-compiled bench tools generated deb clean

run: .venv/run.stamp
	@exec conf/run $(BIN)/python

test: check tests

check: .venv/test.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

tests: .venv/test.stamp tools
	$(BIN)/pytest -q -n $(JOBS) -m "not torture"

torture: .venv/test.stamp tools
	$(BIN)/pytest -q -n 0 -m torture

# The same source in .compiled, with machine code for what every message passes through.
compiled: .venv/test.stamp tools
	@command -v $(firstword $(CC) gcc) >/dev/null || { echo "Compiling needs a C compiler (Debian: apt-get install gcc python3-dev)." >&2; exit 1; }
	@mkdir -p .compiled
	@find .compiled -name '*.py' -delete
	@cp -pR pyproject.toml setup.py *.md Makefile smtpd_classic spool tui tests conf man .compiled
	@ln -sfn ../.venv .compiled/.venv
	@ln -sfn ../.tools .compiled/.tools
	cd .compiled && SMTPD_CLASSIC_COMPILE=1 .venv/bin/python setup.py -q build_ext --inplace

test-compiled: compiled
	cd .compiled && .venv/bin/pytest -q -n $(JOBS) -m "not torture and not source"

bench: compiled
	$(BIN)/python -m tests.bench

tools: .venv/run.stamp
	tests/install-tools

generated: .venv/run.stamp
	$(BIN)/python -m smtpd_classic.config.manual
	$(BIN)/python -m smtpd_classic.completion >conf/completion/smtpd-classic

deb: .venv/run.stamp
	conf/debian/build $(BIN)/python dist

.venv/run.stamp: setup.py
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer with venv is needed (Debian: apt-get install python3-venv)." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -e .
	@touch $@

.venv/test.stamp: .venv/run.stamp
	$(BIN)/python -m pip install -q -e '.[test]'
	@touch $@

clean:
	rm -rf .venv .tools build dist *.egg-info
