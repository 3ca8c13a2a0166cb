# make demo   a bundle, a network trained on it, its measures and pictures, from nothing
# make test   everything that must hold
# make docs   the pages of the commands and the pictures of the documents
PYTHON ?= python3
BIN := .venv/bin
DATA ?= ../shared
DEMO := demo

.PHONY: demo test lint docs bench bench-train bench-gpu bench-learn clean

$(BIN)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

# Rendering resumes where it stopped; training starts afresh, and is too short for a falling rate and averages.
demo: $(BIN)/.installed
	$(BIN)/focalsim render --phone pixel4 --slices 6 --samples 96 --out $(DEMO)/train --resume
	$(BIN)/focalsim render --phone pixel4 --slices 6 --samples 8 --seed 1 --out $(DEMO)/test --resume
	$(BIN)/focalsim verify $(DEMO)/train $(DEMO)/test
	$(BIN)/focalsim preview $(DEMO)/test --samples 2 --out $(DEMO)/stack.png --overwrite
	$(BIN)/dffnet train $(DEMO)/train --out $(DEMO)/run --crop 160 --batch-size 2 --max-steps 215 --schedule constant --ema 0 --overwrite
	$(BIN)/dffnet eval $(DEMO)/run/model.pt $(DEMO)/test --out $(DEMO)/eval --overwrite
	@echo "look at $(DEMO)/stack.png and the pictures in $(DEMO)/eval"

# Two at a time. Threads of one that wait for each other must not keep the other from the cores meanwhile.
test: $(BIN)/.installed
	OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(BIN)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(BIN)/.installed
	$(BIN)/python docs/commands.py
	$(BIN)/python docs/pictures.py

bench: $(BIN)/.installed
	$(BIN)/python benchmarks/fidelity.py $(DATA)/truth
	$(BIN)/python benchmarks/depth_errors.py $(DATA)/truth
	$(BIN)/python benchmarks/cutouts.py
	$(BIN)/python benchmarks/render.py $(DATA)/data/rgbd
	$(BIN)/python benchmarks/large.py $(DATA)/data/rgbd/slambook_kinect
	$(BIN)/python benchmarks/scale.py $(DATA)/data/rgbd
	$(BIN)/python benchmarks/scenes.py
	$(BIN)/focalsim render --samples 32 --out $(DEMO)/read --resume
	$(BIN)/python benchmarks/read.py $(DEMO)/read
	$(BIN)/python benchmarks/manifest.py

bench-train: $(BIN)/.installed
	$(BIN)/python benchmarks/train.py

# Counts and compiles anywhere; measures where there is a CUDA device.
bench-gpu: $(BIN)/.installed
	$(BIN)/python benchmarks/kernels.py $(DATA)/data/rgbd
	$(BIN)/python benchmarks/gpu.py $(DATA)/data/rgbd

bench-learn: $(BIN)/.installed
	$(BIN)/python benchmarks/learn.py $(DATA)
	$(BIN)/python benchmarks/live.py $(DATA)/data/rgbd/icl_nuim_synth

clean:
	rm -rf .venv build dist *.egg-info $(DEMO)
