"""Every YAML in configs/ runs as it stands, here on fewer and smaller crops and steps."""

from pathlib import Path

import pytest

from bnadapt.commands.cli import main
from tests.conftest import needs_em_data

FOLDER = Path(__file__).parents[1] / "configs"
CONFIGS = sorted(FOLDER.glob("*.yaml"))
SHORT = [
    "--data.crop_size=64",
    "--data.adaptation_tiles=4",
    "--data.crops_per_epoch=2",
    "--data.batch_size=2",
    "--data.tile_size=64",
    "--trainer.max_epochs=1",
    "--trainer.precision=32-true",
    "--trainer.limit_val_batches=1",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
]
ON_BOTH = "target_crops: true"  # of methods whose networks are the same as others', and are adapted in tests/tasks
STARTER_TARGET = ["--data.target=CDeep3M", "--data.target.pixel_size_nm=9.2"]  # starters name sources alone
EM = ("FlyEM", "VNC", "ISBI2012", "CDeep3M", "AxonDeepSeg", "Lucchi")


def params():
    for path in CONFIGS:
        marks = [needs_em_data] if any(name in path.read_text() for name in EM) else []
        if path.stem.startswith("starter-"):
            marks.append(pytest.mark.slow)  # they read three or four data sets
        yield pytest.param(path, marks=marks, id=path.stem)


def test_there_are_configs():
    assert len(CONFIGS) > 5


@pytest.mark.parametrize("path", CONFIGS, ids=[path.stem for path in CONFIGS])
def test_config_is_understood_as_it_stands(path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["fit", "--config", str(path), "--print_config"])
    assert stopped.value.code == 0
    assert "crop_size" in capsys.readouterr().out


@pytest.mark.parametrize("path", list(params()))
def test_config_fits_and_adapts(path, tmp_path):
    if ON_BOTH in path.read_text():
        main(["fit", "--config", str(path), *SHORT, "--trainer.fast_dev_run=true"])
        return
    main(["fit", "--config", str(path), *SHORT])
    best = next(tmp_path.rglob("last.ckpt"))
    alone = ["--data.source=null", "--trainer.logger=false"]
    target = STARTER_TARGET if path.stem.startswith("starter-") else []
    options = [*SHORT, *alone, *target, "--ckpt_path", str(best), "--output", "adapted.ckpt"]
    main(["adapt", "--config", str(path), *options])
    assert (tmp_path / "adapted.json").exists()
