"""What a run leaves for TensorBoard, read back with its own reader."""

import imageio.v3
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import plugin_data_pb2

from bnadapt.callbacks import LatentDistance
from bnadapt.commands.cli import main
from bnadapt.reports.panels import OF_CLASSES
from tests.conftest import DOMAINS, LOADING, SMALL, once


def events(folder):
    accumulator = EventAccumulator(str(folder))
    accumulator.Reload()
    return accumulator


@pytest.fixture(scope="module")
def runs(tmp_path_factory, adapted_once):
    """Folders of an adaptation and of a test of what it wrote."""
    logger = [f"--trainer.logger.save_dir={adapted_once}", "--trainer.logger.version=test"]

    def test(folder):
        main(["test", *LOADING, "--ckpt_path", str(adapted_once / "adapted.ckpt"), *logger])

    once(tmp_path_factory, "tested", test)
    return adapted_once / "default"


def test_training_logs_loss_scores_and_learning_rate_by_domain_and_stage(trained):
    tags = events(trained.parent).Tags()["scalars"]
    assert {"train/source/loss", "val/source/loss", "val/source/iou", "val/source/dice", "train/learning_rate"} <= set(
        tags
    )


def test_scalars_are_losses_and_scores(trained, runs):
    for folder, stages in ((trained.parent, {"train", "val"}), (runs / "test", {"iou", "test"})):
        assert {tag.partition("/")[0] for tag in events(folder).Tags()["scalars"]} == stages


def test_training_leaves_pictures_layout_and_hyper_parameters(trained):
    accumulator = events(trained.parent)
    assert "picture/val/source/0" in accumulator.Tags()["images"]
    plugin = accumulator.summary_metadata["custom_scalars__config__"]
    assert plugin.plugin_data.plugin_name == "custom_scalars"
    (stored,) = accumulator.Tensors("custom_scalars__config__")[0].tensor_proto.string_val
    layout = layout_pb2.Layout.FromString(stored)
    titles = [category.title for category in layout.category]
    assert titles == sorted(titles)
    assert len(titles) == 3


def test_training_leaves_one_picture_of_its_first_crops(trained):
    (picture,) = events(trained.parent).Images("picture/training_crops")
    assert picture.step == 0
    drawn = imageio.v3.imread(picture.encoded_image_string)
    colour = np.array(to_rgb(OF_CLASSES["magenta"])) * 255
    assert (np.abs(drawn[..., :3] - colour).max(-1) < 3).sum() > 20  # outlines of masks


def test_hyper_parameters_stand_with_scores_that_all_runs_name(trained, runs):
    tested, fitted = events(runs / "test"), events(trained.parent)
    for accumulator in (tested, fitted):
        experiment = hyper_parameters(accumulator, "experiment").experiment
        assert [each.name.tag for each in experiment.metric_infos] == ["iou/target", "iou/source", "val/source/iou"]
    assert {"iou/source", "iou/target"} <= set(tested.Tags()["scalars"])
    assert "val/source/iou" in fitted.Tags()["scalars"]
    parameters = hyper_parameters(tested, "session_start_info").session_start_info.hparams
    assert sorted(parameters)[:5] == ["adapted", "intensity", "network", "source", "target"]  # those that are shown
    assert parameters["network"].string_value.startswith("unet, base_channels ")
    assert parameters["adapted"].string_value == "yes"
    assert parameters["target"].string_value == "synthetic"


def hyper_parameters(accumulator, which):
    content = accumulator.summary_metadata[f"_hparams_/{which}"].plugin_data.content
    return plugin_data_pb2.HParamsPluginData.FromString(content)


def test_test_leaves_scores_and_pictures_of_every_set(runs):
    tags = events(runs / "test").Tags()
    assert {"test/source/iou", "test/target/iou"} <= set(tags["scalars"])
    (score,) = events(runs / "test").Scalars("iou/target")
    assert score.step == 1  # beside that of the unadapted network, at 0
    assert {"picture/test/source/0", "picture/test/target/0"} <= set(tags["images"])


def test_distances_are_a_table_of_layers_and_a_figure(runs):
    accumulator = events(runs / "adapt")
    assert "picture/distances/depth" in accumulator.Tags()["images"]
    (table,) = accumulator.Tensors("distances/sliced_wasserstein/text_summary")[0].tensor_proto.string_val
    head, _, *rows = [line.split("|")[1:-1] for line in table.decode().splitlines()]
    assert [cell.strip() for cell in head][3:] == ["without adaptation", "with adaptation"]
    assert len(rows) == 27
    before, after = (sum(float(row[column].split("±")[0]) for row in rows) for column in (3, 4))
    assert after < before


def test_charts_of_an_adaptation_are_curves_over_tiles_alone(runs):
    tags = set(events(runs / "adapt").Tags()["scalars"])
    assert tags == {"statistics/error_of_mean", "statistics/error_of_log_variance"}


def test_adapt_draws_the_target_without_a_mask(runs):
    assert "picture/adapt/target/0" in events(runs / "adapt").Tags()["images"]


def test_distances_before_the_adaptation_in_the_list_are_refused(refused):
    callbacks = ["LatentDistance", "BatchNormAdaptation"]
    options = [f"--trainer.callbacks+=bnadapt.callbacks.{name}" for name in callbacks]
    assert "put LatentDistance behind BatchNormAdaptation" in refused("fit", *SMALL, *DOMAINS, *options)


def test_arguments_out_of_range_are_refused():
    with pytest.raises(ValueError, match="no measure 'nosuch'"):
        LatentDistance(measures=["nosuch"])
