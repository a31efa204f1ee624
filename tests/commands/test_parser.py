"""Names and values that do not exist end in one sentence with the nearest right one, and exit status 2."""

import pytest


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("fitt", "unknown command 'fitt'; did you mean fit."),
        ("fit --data.crop_sise 3", "fit: unknown option --data.crop_sise; did you mean --data.crop_size."),
        (
            "fit --trainer.max_epoch 3",
            "fit: unknown option --trainer.max_epoch; did you mean --trainer.max_epochs.",
        ),
        ("adapt --polcy.depth 3", "adapt: unknown option --polcy.depth; did you mean --policy."),
        ("fit --data.source Foldr", "--data.source: unknown class 'Foldr'; did you mean Folder."),
        (
            "fit --data.source Folder --data.source.imags x",
            "--data.source: Folder has no option 'imags'; did you mean images.",
        ),
        (
            "fit --model.network_arg 3",
            "--model: SegmentationTask has no option 'network_arg'; did you mean network_args.",
        ),
        ("fit --model.optimizer Adm", "--model.optimizer: unknown class 'Adm'; did you mean Adam."),
        ("fit --model.loss MSELos", "--model.loss: unknown class 'MSELos'; did you mean MSELoss."),
        ("fit --model.loss.x 3", "--model.loss: say first which class it is, one of BCELoss"),
        ("fit --data.source.images x", "--data.source: say first which class it is, one of ISBI2012"),
        (
            "fit --trainer.callbacks+=LatentDistanc",
            "--trainer.callbacks: unknown class 'LatentDistanc'; did you mean LatentDistance.",
        ),
        ("import weights.pth --netwrok unet", "import: unknown option --netwrok; did you mean --network."),
        ("fit --data.crop_size abc", "--data.crop_size: abc is not a whole number."),
        ("fit --seed_everything abc", "--seed_everything: abc is not true or false or a whole number."),
        ("fit --seed_everything -1", "--seed_everything is -1; give a whole number from 0"),
        ("fit --data.source Folder", "Folder needs --data.source.images."),
        ("fit --trainer.precision bf16mixed", "bf16; did you mean bf16-mixed."),
        (
            "adapt --propagation lyer_consistent",
            "'lyer_consistent' is not one of one_pass, layer_consistent; did you mean layer_consistent.",
        ),
        ("adapt --until.tolerence 3", "--until: UntilConverged has no option 'tolerence'; did you mean tolerance."),
        ("study pears", "unknown study 'pears'; did you mean pairs."),
        ("study pairs --study.sed 3", "study pairs: unknown option --study.sed; did you mean --study.seeds."),
        ("study pairs --worker 3", "study pairs: unknown option --worker; did you mean --workers."),
        ("study pairs --workers abc", "--workers: abc is not a whole number."),
        ("study pairs --study.seeds abc", "--study.seeds: abc is not a list."),
    ],
)
def test_one_sentence_with_the_nearest_right_name(refused, arguments, sentence):
    assert sentence in refused(*arguments.split())


@pytest.mark.parametrize(
    ("command", "text", "sentence"),
    [
        ("fit", "data:\n  sorce: 3\n", "unknown option --data.sorce; did you mean --data.source."),
        ("fit", "data:\n  source:\n    class_path: Foldr\n", "unknown class 'Foldr'; did you mean Folder."),
        ("study pairs", "study:\n  sed: 3\n", "unknown option 'sed'; did you mean seeds."),
        ("fit", "data: [\n", "Problems parsing config"),
    ],
)
def test_the_same_in_a_config(refused, tmp_path, command, text, sentence):
    config = tmp_path / "config.yaml"
    config.write_text(text)
    assert sentence in refused(*command.split(), "--config", config)
