# Two commands do everything a new user needs: `make demo` and `make test`. Both set up .venv by themselves.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed

.PHONY: demo test lint format bench weights clean

$(STAMP): pyproject.toml constraints.txt
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --constraint constraints.txt torch
	$(PY) -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

# The three tasks on bundled photos; each folder has a page of its own.
demo: $(STAMP)
	$(VENV)/bin/coembed resaturate examples/coast.jpg --out out/demo/resaturated
	$(VENV)/bin/coembed relight examples/suitcases.jpg --out out/demo/relit
	$(VENV)/bin/coembed motion examples/horses.jpg --out out/demo/motion

test: $(STAMP)
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2

lint: $(STAMP)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(VENV)/bin/lint-imports --no-logo
	$(PY) -m pyright

format: $(STAMP)
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

# Minutes, and no data. More with PAIRS=DIR (as `coembed prepare` writes it; hours), PHOTOS=DIR (photos of about 640 x 480),
# FLOW=DIR (pairs with true flow, as in FlyingChairs), CLIPS=DIR (videos). Run by hand: leak.py, versions.py, lpp.py,
# guidance.py and worlds.py.
bench: $(STAMP)
	$(PY) benchmarks/prepare.py
	$(PY) benchmarks/edit.py
	$(PY) benchmarks/speed.py
	$(PY) benchmarks/memory.py
	$(if $(PAIRS),$(PY) benchmarks/quality.py --pairs "$(PAIRS)")
	$(if $(PHOTOS),$(PY) benchmarks/intrinsic.py "$(PHOTOS)")
	$(if $(FLOW),$(PY) benchmarks/flow.py "$(FLOW)")
	$(if $(PHOTOS),$(if $(FLOW),$(PY) benchmarks/upsample.py "$(PHOTOS)" "$(FLOW)"))
	$(if $(CLIPS),$(PY) benchmarks/motion.py "$(CLIPS)")

# PHOTOS=DIR holds train2014/ and val2014/, CLIPS=DIR holds UCF-101/ and ucfTrainTestlist/; give either or both. Each
# says at the start how long it will take, and at the end how long it took.
weights: $(STAMP)
	@test -n "$(PHOTOS)$(CLIPS)" || { echo "usage: make weights PHOTOS=DIR CLIPS=DIR" >&2; exit 2; }
	$(if $(PHOTOS),PATH="$(CURDIR)/$(VENV)/bin:$$PATH" scripts/make_weights.sh resaturation "$(PHOTOS)")
	$(if $(PHOTOS),PATH="$(CURDIR)/$(VENV)/bin:$$PATH" scripts/make_weights.sh relighting "$(PHOTOS)")
	$(if $(CLIPS),PATH="$(CURDIR)/$(VENV)/bin:$$PATH" scripts/make_weights.sh motion "$(CLIPS)")

clean:
	rm -rf $(VENV) out
