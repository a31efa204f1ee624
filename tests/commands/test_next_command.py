from pathlib import Path

from bnadapt.commands.next_command import after_recommendation, has_masks, next_command, source_summary_command
from bnadapt.gain.alarms import NOISE, Alarm
from bnadapt.gain.annotation import Measured
from tests.gain.verdicts import verdict

BEST = Path("logs/best.ckpt")


def test_what_is_not_known_is_left_to_be_filled_in():
    done = ["fit", "--data.source", "Folder", "--data.source.images", "a", "--model.network_args.base_channels", "8"]
    assert (
        next_command("adapt", done, ckpt_path=BEST, has_target=False)
        == "bnadapt adapt --ckpt_path logs/best.ckpt --data.target Folder --data.target.images IMAGES"
    )


def test_target_tiles_and_own_networks_are_kept():
    done = ["test", "--data.target=Folder", "--data.target.images", "my images", "--model.network", "mine.Net"]
    line = next_command("predict", [*done, "--data.tile_size", "96", "--bank", "b"], ckpt_path=BEST, has_target=True)
    assert line == (
        "bnadapt predict --ckpt_path logs/best.ckpt --data.target=Folder --data.target.images 'my images'"
        " --model.network mine.Net --data.tile_size 96"
    )


def test_a_network_of_ones_own_is_named_for_a_summary_too():
    line = source_summary_command(["preview", "--output", "p", "--model.network", "mine.Net"], Path("my logs/a.ckpt"))
    assert line.startswith("bnadapt source_summary --ckpt_path 'my logs/a.ckpt' --data.source Folder")
    assert line.endswith("--model.network mine.Net")


def test_masks_are_kept_where_they_are_of_use():
    done = ["adapt", "--data.target", "Folder", "--data.target.images", "a", "--data.target.masks", "m"]
    assert has_masks(done)
    assert "masks" in next_command("test", done, ckpt_path=BEST, has_target=True)
    assert "masks" not in next_command("predict", done, ckpt_path=BEST, has_target=True)


def test_a_config_with_a_target_is_enough():
    done = ["fit", "--config", "run.yaml"]
    line = next_command("adapt", done, ckpt_path=BEST, has_target=True, more=["--choose", "auto"])
    assert line == "bnadapt adapt --ckpt_path logs/best.ckpt --config run.yaml --choose auto"


def test_a_config_of_sources_alone_leaves_the_target_to_be_filled_in():
    line = next_command("adapt", ["fit", "--config", "starter.yaml"], ckpt_path=BEST, has_target=False)
    assert line.endswith("--data.target Folder --data.target.images IMAGES --config starter.yaml")


def test_what_follows_a_recommendation_is_what_it_says():
    assert after_recommendation(verdict()).options[-2:] == ("--self_training", "120")
    assert after_recommendation(verdict(adapted=0.04)).options == ["--choose", "auto"]
    assert after_recommendation(verdict(choice="none", helped=1)).name == "predict"
    suspected = after_recommendation(verdict(exchanged=0.99, stable=False))
    assert (suspected.options, suspected.said) == (["--choose", "inverted"], "Next, if the images are inverted")
    scores = {name: Measured(0.6, 0.5, 0.7, -0.1) for name in ("none", "adapted")}
    assert after_recommendation(verdict(choice="adapted", measured=scores)).options == ["--choose", "adapted"]
    assert after_recommendation(verdict(alarms=[Alarm(NOISE, "Look.")], choice="none")) is None
