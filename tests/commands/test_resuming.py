"""A training that is gone on with takes the options that were kept of it, under the rule of what a file may name."""

import shutil
from pathlib import Path

import pytest
import torch
import yaml

from bnadapt.commands.cli import main
from bnadapt.commands.resuming import kept_config, kept_options, kept_words, logger_words
from bnadapt.errors import InputError
from tests.conftest import DOMAINS, SMALL

RUN = "lightning_logs/mine/version_0"
OPTIMIZER = ["--model.optimizer=AdamW", "--model.optimizer.lr=0.01"]
LAST = f"{RUN}/checkpoints/last.ckpt"


def weights(path):
    return torch.load(path, weights_only=True)["state_dict"]


@pytest.fixture
def halfway(tmp_path, monkeypatch):
    """A run of which one epoch of two is done: its folder's checkpoints and config."""
    from bnadapt.tasks import SegmentationTask

    def interrupt(self):
        if self.current_epoch == 1:
            raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(SegmentationTask, "on_train_epoch_end", interrupt)
        with pytest.raises(ZeroDivisionError):
            main(["fit", *SMALL, *DOMAINS, *OPTIMIZER, "--trainer.logger.name=mine"])
    return tmp_path


@pytest.fixture
def kept(trained, tmp_path):
    """The config of a finished run, to be changed; and the checkpoint beside it."""
    shutil.copytree(trained.parent, tmp_path / "run")
    path = tmp_path / "run" / "config.yaml"

    def change(edit):
        config = yaml.safe_load(path.read_text())
        edit(config)
        path.write_text(yaml.safe_dump(config))
        return ["fit", "--ckpt_path", str(tmp_path / "run/checkpoints/last.ckpt")]

    return change


def test_a_checkpoint_alone_goes_on_as_if_the_training_had_not_ended(halfway, tmp_path, capsys):
    cli = main(["fit", "--ckpt_path", LAST])
    printed = capsys.readouterr().out
    assert f"Resuming with the options of {RUN}/config.yaml" in printed
    following = next(line for line in printed.splitlines() if line.startswith("Next:"))
    for option in ("--data.target=Synthetic", "--data.target.size=48", "--data.tile_size=32", "--data.overlap=8"):
        assert option in following
    assert "--data.source" not in following
    assert "--data.target.correlation" not in following  # a default
    assert cli.trainer.log_dir == "lightning_logs/mine/version_1"
    assert cli.config.fit.data.source.init_args.size == 48
    assert cli.trainer.max_epochs == 2
    main(["fit", *SMALL, *DOMAINS, *OPTIMIZER, "--trainer.logger.name=whole"])
    resumed = weights(f"{cli.trainer.log_dir}/checkpoints/last.ckpt")
    whole = weights(tmp_path / "lightning_logs/whole/version_0/checkpoints/last.ckpt")
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_words_of_the_command_line_replace_those_that_were_kept():
    data = {"target": {"class_path": "bnadapt.data.Folder", "init_args": {"images": "a b", "split": [0.6, 0.2, 0.2]}}}
    data |= {"tile_size": 256, "overlap": 8, "source": "Synthetic"}
    words = ["--data.target=Folder", "--data.target.images=a b", "--data.overlap=8"]
    assert kept_words(data, ["fit"]) == words
    assert kept_words(data, ["fit", "--data.overlap=4"]) == words[:2]
    assert kept_words(data, ["fit", "--data.target", "Synthetic"]) == words[2:]


def test_a_run_is_continued_beside_it_unless_its_logger_is_given():
    path = Path("logs/INT/version_3/config.yaml")
    assert logger_words(path, ["fit"]) == ["--trainer.logger.save_dir=logs", "--trainer.logger.name=INT"]
    assert logger_words(path, ["fit", "--trainer.logger=false"]) == []
    assert logger_words(Path("mine/config.yaml"), ["fit"]) == []


def test_options_of_the_command_line_go_before_those_that_were_kept(halfway):
    options = ["--data.batch_size=8", "--trainer.max_steps=6", "--trainer.fast_dev_run=true"]
    cli = main(["fit", "--ckpt_path", LAST, *options])
    assert cli.datamodule.batch_size == 8
    assert cli.datamodule.crop_size == 32
    assert cli.config.fit.trainer.max_epochs is None


@pytest.mark.parametrize("given", ["--data.source=Folder", "--data.sources=[Folder]", "--config=run.yaml", "--data={}"])
def test_where_a_source_is_given_nothing_is_taken(kept, given):
    assert kept_config([*kept(lambda config: None), given]) is None
    assert kept_config([*kept(lambda config: None), "--data.source_weights={}", "--data.target=Folder"]) is not None


def test_without_a_kept_config_the_options_are_to_be_given_again(trained, tmp_path):
    alone = shutil.copy(trained / "last.ckpt", tmp_path / "last.ckpt")
    with pytest.raises(InputError, match="the options of its training were not stored in .*; give --data.source"):
        main(["fit", "--ckpt_path", str(alone)])


def test_a_config_that_is_none_is_refused(kept, tmp_path):
    arguments = kept(lambda config: config.update(data={"source": None}))
    path = tmp_path / "run/config.yaml"
    with pytest.raises(InputError, match="has no source"):
        kept_options(path, arguments)
    path.write_text("- [")
    with pytest.raises(InputError, match="is not a config that"):
        kept_options(path, arguments)


HARMFUL = {
    "a class": lambda config: config["data"]["source"].update(class_path="harm.Source"),
    "a class by its name": lambda config: config["data"].update(source="harm.Source"),
    "a class in a list": lambda config: config["data"].update(source=None, sources=["harm.Source"]),
    "a class as an argument": lambda config: config["data"]["source"]["init_args"].update(
        size={"class_path": "harm.A"}
    ),
    "a dotted key": lambda config: config["data"].update({"source.class_path": "harm.Source"}),
    "more arguments": lambda config: config["data"]["source"].update(dict_kwargs={"a": "harm.A"}),
    "a loss": lambda config: config["model"]["init_args"].update(loss={"class_path": "harm.Loss"}),
    "a function": lambda config: config["model"]["init_args"].update(
        lr_scheduler={"class_path": "torch.optim.lr_scheduler.LambdaLR", "init_args": {"lr_lambda": "harm.function"}}
    ),
    "an object": lambda config: config["trainer"].update(precision={"class_path": "harm.A"}),
}


@pytest.mark.parametrize("edit", HARMFUL.values(), ids=HARMFUL)
def test_a_kept_config_names_no_code(edit, kept, tmp_path, monkeypatch):
    (tmp_path / "harm.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    arguments = kept(edit)
    with pytest.raises(InputError, match="name the config yourself by --config"):
        kept_options(kept_config(arguments), arguments)


def test_a_kept_config_asks_for_no_network_and_no_callbacks(kept, tmp_path, monkeypatch):
    (tmp_path / "harm.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)

    def edit(config):
        config["model"]["init_args"]["network"] = "harm.Network"
        config["trainer"]["callbacks"] = [{"class_path": "harm.Callback"}]
        config["trainer"]["logger"] = {"class_path": "harm.Logger"}

    assert main(kept(edit)).model.hparams.network == "unet"


def test_a_task_of_ones_own_is_named_again(kept, tmp_path):
    def edit(config):
        config["model"]["class_path"] = "harm.Task"

    assert type(main(kept(edit)).model).__name__ == "SegmentationTask"  # the checkpoint's
