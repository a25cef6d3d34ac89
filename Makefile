# Every target works on a bare Debian or Ubuntu machine with Python 3.11 or newer.
PYTHON ?= python3
BIN := .venv/bin
SIDE_BY_SIDE := -n 2 --dist loadfile

help:  ## this list
	@grep -E '^[a-z0-9-]+:.*##' Makefile | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

setup: .venv/ready  ## virtual environment with pinned dependencies, and ffmpeg

.venv/ready: pyproject.toml constraints.txt scripts/setup.sh
	PYTHON=$(PYTHON) scripts/setup.sh
	@touch $@

demo: setup  ## lip-sync the demo clip to out/demo.mp4, with pictures and a report beside it
	$(BIN)/python demo/run.py

check: setup  ## lint, types, architecture and the fast tests (under 2 minutes)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/pytest $(SIDE_BY_SIDE) -m "not slow" tests/unit tests/parity

test: setup  ## all tests (under 10 minutes on two cores)
	$(BIN)/pytest $(SIDE_BY_SIDE)

coverage: setup  ## all tests, and the share of lines that they reach
	$(BIN)/pytest $(SIDE_BY_SIDE) --cov=latentsync --cov=tasks --cov=flows --cov=configs --cov-report=term:skip-covered

e2e: setup  ## a whole installation on loopback: server, worker, Dask; kills, retries, cancels (about 10 minutes)
	$(BIN)/python -m tests.e2e.live

chaos: setup  ## kill -9 at 30 random moments; every rerun must end complete and the same
	$(BIN)/python -m benchmarks.chaos --kills 30

fuzz: setup  ## 3,000 mutated files of ten formats; each must be read or refused (about 20 minutes)
	$(BIN)/python -m benchmarks.fuzz $(ARGS)

bench-memory: setup  ## peak memory and speed at 1, 10, 60 and 120 minutes of video (ARGS="--minutes 1 10")
	$(BIN)/python benchmarks/memory.py $(ARGS)

bench-speed: setup  ## seconds and processor time of a job, beside a plain ffmpeg transcode: ARGS="video.mp4 voice.wav"
	$(BIN)/python -m benchmarks.speed $(ARGS)

bench-disk: setup  ## what a job writes second by second, beside its disk profile: ARGS="video.mp4 voice.wav --profile pl0"
	$(BIN)/python -m benchmarks.disk $(ARGS)

clean:  ## remove what the other targets wrote, but not the virtual environment
	rm -rf out build .pytest_cache .ruff_cache *.egg-info

.PHONY: help setup demo check test coverage e2e chaos fuzz bench-memory bench-speed bench-disk clean
.DEFAULT_GOAL := help
