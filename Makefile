# SPDX-License-Identifier: Apache-2.0
# The commands of this project. `make run` and `make test` install what they need; see README.md.

PYTHON ?= /usr/bin/python3
VENV := .venv
CONFIG ?= config/probed.yaml

# What the daemon needs, all from the distribution: BCC comes from nowhere else.
RUN_PACKAGES := python3-venv python3-setuptools python3-wheel python3-bpfcc python3-cheroot python3-numpy \
	python3-prometheus-client python3-seccomp python3-systemd python3-yaml
# What its tests need besides: a compiler for the workloads, ways to take privileges away, a system to boot.
TEST_PACKAGES := gcc libc6-dev mmdebstrap util-linux
TEST_WHEELS := pytest hypothesis jsonschema mypy ruff types-PyYAML

.PHONY: run test check schema clean

run: $(VENV)/run
	$(VENV)/bin/probed run --config.file $(CONFIG) $(ARGS)

test: $(VENV)/test
	PATH="$$PATH:$(CURDIR)/$(VENV)/prometheus/usr/bin" $(VENV)/bin/pytest $(ARGS)

check: $(VENV)/test
	$(VENV)/bin/ruff format --check daemon tests
	$(VENV)/bin/ruff check daemon tests
	$(VENV)/bin/mypy

# The JSON schemas for editors, from the same definitions that the daemon reads YAML with.
schema: $(VENV)/run
	$(VENV)/bin/python -m probed.schema config/schema

clean:
	rm -rf $(VENV) .cache build daemon/*.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/run: pyproject.toml Makefile
	@$(call install,$(RUN_PACKAGES))
	$(PYTHON) -m venv --system-site-packages $(VENV)
	$(VENV)/bin/pip install --quiet --no-index --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/test: $(VENV)/run
	@$(call install,$(TEST_PACKAGES))
	$(VENV)/bin/pip install --quiet $(TEST_WHEELS)
	@command -v promtool >/dev/null || $(call unpack,prometheus)
	@touch $@

# Unpack a package beside the virtual environment: installing it would start its service.
define unpack
{ cd $(VENV) && apt-get -qq -o APT::Sandbox::User=root download $(1) && dpkg-deb -x $(1)_*.deb $(1) && rm $(1)_*.deb; }
endef

# Install those of the packages that are missing. Nothing is asked.
define install
missing=; for package in $(1); do \
	dpkg -s $$package 2>/dev/null | grep -q '^Status: install ok installed' || missing="$$missing $$package"; done; \
if [ -z "$$missing" ]; then exit 0; fi; \
if ! command -v apt-get >/dev/null; then echo "this is no Debian: install what it calls$$missing" >&2; exit 1; fi; \
if [ "$$(id -u)" != 0 ]; then echo "not installed:$$missing; as root: apt-get install$$missing" >&2; exit 1; fi; \
echo "installing$$missing"; export DEBIAN_FRONTEND=noninteractive; \
apt-get update -qq && apt-get install -qq -y --no-install-recommends $$missing >/dev/null
endef
