# make run    the server on loopback ports, from the folder ./instance
# make quick  format, lint, types and the tests that start no server: under a minute
# make test   every check and test; installs the programs that they need
# make peers  the tests with heavy real servers and checkers, and each option typed into its screen
# make deb    the Debian package, in the folder ./dist
SHELL = /bin/sh
PYTHON ?= $(shell for python in /usr/bin/python3 python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
BIN = .venv/bin
JOBS ?= 4
# Without the kept bytecode, each start of the server in a test compiles its modules again.
unexport PYTHONDONTWRITEBYTECODE
# The tests that start no server and no other program.
PURE = tests/config tests/smtp tests/policy tests/runtime tests/tnef tests/mailauth tests/test_architecture.py \
	tests/test_durable.py tests/test_dsn.py tests/test_schedule.py tests/test_srs.py

.PHONY: run quick test check check-types check-words check-format check-lint tests peers torture compiled test-compiled bench tools generated deb clean

run: .venv/run.stamp
	@exec conf/run $(BIN)/python

quick: check
	$(BIN)/pytest -q -n $(JOBS) --dist worksteal -m "not torture and not peers" -k "not opendkim and not dkimpy and not suite and not mandoc" $(PURE)

test: check tests

# The checks side by side, each with its output in one piece.
check: .venv/test.stamp
	@$(MAKE) --no-print-directory -j2 --output-sync check-types check-words check-format check-lint

check-types:
	$(BIN)/mypy

check-words:
	$(BIN)/python -m tests.words

check-format:
	$(BIN)/ruff format --check .

check-lint:
	$(BIN)/ruff check .

tests: .venv/test.stamp tools
	$(BIN)/pytest -q -n $(JOBS) --dist worksteal -m "not torture and not peers"

peers: .venv/test.stamp tools
	$(BIN)/pytest -q -n 0 -m peers

torture: .venv/test.stamp tools
	$(BIN)/pytest -q -n 0 -m torture

# The same source in .compiled, with machine code for what every message passes through.
compiled: .venv/test.stamp tools
	@command -v $(firstword $(CC) gcc) >/dev/null || { echo "Compiling needs a C compiler (Debian: apt-get install gcc python3-dev)." >&2; exit 1; }
	@mkdir -p .compiled
	@find .compiled -name '*.py' -delete
	@cp -pR pyproject.toml setup.py *.md Makefile Containerfile .dockerignore smtpd_classic spool tui tests conf man .compiled
	@ln -sfn ../.venv .compiled/.venv
	@ln -sfn ../.tools .compiled/.tools
	cd .compiled && SMTPD_CLASSIC_COMPILE=1 .venv/bin/python setup.py -q build_ext --inplace

test-compiled: compiled
	cd .compiled && .venv/bin/pytest -q -n $(JOBS) --dist worksteal -m "not torture and not peers and not source"

bench: compiled
	$(BIN)/python -m tests.bench

tools: .venv/run.stamp
	tests/install-tools

generated: .venv/run.stamp
	$(BIN)/python -m smtpd_classic.config.manual
	$(BIN)/python -m tui.shell.manual
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
