# make demo, make test: both set up what they need in .venv (scripts/bootstrap.py says how).
SHELL := /bin/bash
PYTHON ?= python3
DISTRO ?=
TORCH ?=
TRACKER ?= ocean
VIDEO ?=
BOX ?=
ARGS ?=
JOBS ?= $(shell nproc)
COVERED ?= $(wildcard test/core/test_*.py test/nodes/test_*.py)
.DEFAULT_GOAL := help
.PHONY: help demo test coverage lint docs linkcheck build clean distclean

bootstrap = DISTRO='$(DISTRO)' TORCH='$(TORCH)' $(PYTHON) scripts/bootstrap.py
# A domain of its own, on this machine alone
environment = source .venv/activate-ros && \
	export ROS_DOMAIN_ID=$$((RANDOM % 100 + 1)) ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST && \
	if [ "$$ROS_DISTRO" = humble ]; then export ROS_LOCALHOST_ONLY=1; fi

help:
	@echo 'make demo                       follow an object in a rendered scene through real ROS 2 nodes; results in out/'
	@echo 'make demo VIDEO=FILE BOX=x,y,w,h  the same in your video or folder of images'
	@echo '          TRACKER=ocean         which tracker; ARGS="--help" lists further options'
	@echo 'make test [ARGS="-k NAME"]      lint and run all tests against the installed package'
	@echo 'make coverage                   which lines the tests run: benchmarks/results/coverage.json, QUALITY_DECLARATION.md'
	@echo 'make build                      set up .venv and build; then: source .venv/activate-ros'
	@echo 'make lint                       ruff, flake8 with the rules of the ament linters, and mypy'
	@echo 'make clean | distclean          remove what was built | and .venv, out'
	@echo 'make docs                       pages and API reference: out/docs/html/index.html'
	@echo 'make linkcheck                  the same, and whether addresses elsewhere answer'
	@echo
	@echo 'With a ROS 2 sourced that one is used, else wheels. PYTHON=python3.12 chooses the Python (3.10 to 3.14),'
	@echo 'DISTRO=kilted other wheels than jazzy, TORCH="torch==..." another torch.'

build:
	@$(bootstrap)

demo: build
	@$(environment) && install/tracker_nodes/lib/tracker_nodes/demo --tracker '$(TRACKER)' --out out \
		$(if $(VIDEO),--video '$(VIDEO)') $(if $(BOX),--box '$(BOX)') $(ARGS)

lint: build
	@.venv/bin/python -m ruff check .
	@.venv/bin/python -m flake8
	@if .venv/bin/python -c 'import numpy, sys; sys.exit(numpy.__version__ < "2")'; then .venv/bin/python -m mypy; \
	else echo 'mypy is left out: the NumPy here has other types than NumPy 2'; fi

docs: build
	@.venv/bin/python -m pip install -q --disable-pip-version-check -r requirements/docs.txt
	@.venv/bin/python -m sphinx -W --keep-going -q -d out/docs/doctrees docs out/docs/html
	@echo 'See out/docs/html/index.html'

# A link between pages that leads nowhere fails `make docs`. Addresses elsewhere need a network; what does not answer is told.
linkcheck: docs
	@.venv/bin/python -m sphinx -q -b linkcheck -d out/docs/doctrees docs out/docs/linkcheck || \
		echo 'Not all addresses answered: out/docs/linkcheck/output.txt'

# Run in build/: from here Python would import the source folders before the installed package. The plugins of a sourced
# ROS 2 were written for another pytest. A process for each core, each with one thread: small tensors gain little by more.
# Files in their order: by the number of their tests, those that take minutes with a few would come last.
test: lint
	@$(environment) && cd build && OMP_NUM_THREADS=1 PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 python -m pytest \
		-p xdist -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS) $(addprefix '$(CURDIR)'/,$(wildcard test/core test/nodes test/launch))

# The tests of core and nodes once more, a process a file, and which lines ran, theirs and those of what they start.
coverage: build
	@rm -rf out/coverage && mkdir -p out/coverage
	@$(environment) && cd build && \
		export COVERAGE_FILE='$(CURDIR)/out/coverage/data' OMP_NUM_THREADS=1 PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 && \
		printf '%s\n' $(COVERED) | xargs -P $(JOBS) -I {} sh -c \
		'python -m coverage run --rcfile "$(CURDIR)/pyproject.toml" -m pytest \
		--junitxml "$(CURDIR)/out/coverage/$$(basename {} .py).xml" $(ARGS) "$(CURDIR)/{}"'; \
		status=$$?; cd '$(CURDIR)' && python scripts/coverage_table.py && exit $$status

clean:
	rm -rf build install log docs/api
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

distclean: clean
	rm -rf .venv out .pytest_cache .ruff_cache .mypy_cache
