# Everything a person or CI runs. `make help` lists it.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CONFIG ?= configs/synthetic.yaml
CKPT ?= lightning_logs/default/version_0/checkpoints/best.ckpt
ARGS ?=
READY := $(VENV)/.ready

export NO_ALBUMENTATIONS_UPDATE := 1

.DEFAULT_GOAL := help
.PHONY: help install demo demo-em distances-em table predictor readme docs fit adapt test-model predict tensorboard test test-slow mutants lint format bench clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | awk -F'|' '{printf "  %-12s %s\n", $$1, $$2}'
	@echo "  variables: CONFIG, CKPT, ARGS (further options of bnadapt), PYTHON, VENV"

$(READY): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

install: $(READY) ## create the environment and install bnadapt into it

demo: $(READY) ## train, adapt and test on synthetic images; prints a table and a picture page (1 minute)
	$(BIN)/bnadapt study demo --config configs/studies/demo.yaml --output lightning_logs/demo $(ARGS)

demo-em: $(READY) ## the same on real images: lucchi to vnc, where it helps, and a pair where it does not; two seeds
	$(BIN)/bnadapt study demo --config configs/studies/demo-em.yaml --output lightning_logs/demo-em $(ARGS)

distances-em: $(READY) ## pages of latent distances on real images, flyem to vnc and vnc to cdeep3m (15 minutes)
	for each in flyem-to-vnc vnc-to-cdeep3m; do \
		logger="--trainer.logger.save_dir lightning_logs/distances-em --trainer.logger.name $$each" && \
		common="--config configs/$$each.yaml --data.intensity dtype $$logger --trainer.logger.version" && \
		folder=lightning_logs/distances-em/$$each && \
		$(BIN)/bnadapt fit $$common fit $(ARGS) && \
		$(BIN)/bnadapt adapt $$common adapt --ckpt_path $$folder/fit/checkpoints/best.ckpt \
			--output $$folder/adapted.ckpt --overwrite || exit 1; \
	done

table: $(READY) ## the comparison of methods: Y-Net, CellSegUDA, mean teacher, BatchNorm adaptation and others (3 hours; resumes)
	$(BIN)/bnadapt study comparison --config configs/studies/comparison.yaml $(ARGS)

predictor: $(READY) ## fit the predictor behind `recommend` to the records in docs/studies/candidates and candidates-synthetic, and self-training
	$(BIN)/python -m bnadapt.studies.verdict.fitting docs/studies/candidates docs/studies/candidates-synthetic docs/studies/self-training

readme: $(READY) ## put the results of studies, distances-em and bench into README.md and docs//
	$(BIN)/python docs/update_readme.py

docs: $(READY) ## build the site of the documents into site/
	$(BIN)/mkdocs build --strict --quiet

fit: $(READY) ## train a network: make fit CONFIG=configs/synthetic.yaml
	$(BIN)/bnadapt fit --config $(CONFIG) $(ARGS)

adapt: $(READY) ## adapt a checkpoint to the config's target: make adapt CONFIG=... CKPT=...
	$(BIN)/bnadapt adapt --config $(CONFIG) --ckpt_path $(CKPT) $(ARGS)

test-model: $(READY) ## score a checkpoint on the config's test sets: make test-model CONFIG=... CKPT=...
	$(BIN)/bnadapt test --config $(CONFIG) --ckpt_path $(CKPT) $(ARGS)

predict: $(READY) ## segment the config's target: make predict CONFIG=... CKPT=... ARGS='--output DIR'
	$(BIN)/bnadapt predict --config $(CONFIG) --ckpt_path $(CKPT) $(ARGS)

tensorboard: $(READY) ## open all runs in TensorBoard
	$(BIN)/tensorboard --logdir lightning_logs

test: $(READY) ## run the tests, in as many processes as there are cores
	$(BIN)/python -m pytest -m "not slow" --numprocesses auto --dist worksteal

test-slow: $(READY) ## run the long tests too, property tests on examples that are drawn anew
	$(BIN)/python -m pytest --hypothesis-profile free --numprocesses auto --dist worksteal

mutants: $(READY) ## put seeded faults into a copy, and see that the test beside each fails (5 minutes; ARGS='gain' for a part)
	$(BIN)/python tests/mutants.py $(ARGS)

lint: $(READY) ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(READY) ## repair style and formatting
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) ## run the benchmarks
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	for each in start training_step precision batchnorm distances grid verdict predict volume survival planes; do $(BIN)/python benchmarks/$$each.py || exit 1; done

clean: ## remove the environment, caches and all runs
	rm -rf $(VENV) .pytest_cache .ruff_cache build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find lightning_logs -mindepth 1 -not -name .gitkeep -delete
