"""Options that are texts stay texts, on the command line and in YAML; configs are read in any encoding."""

import codecs

import pytest
import yaml
from jsonargparse import ActionConfigFile

from bnadapt.commands.cli import main
from bnadapt.commands.config_files import TEXTS, load_options
from bnadapt.commands.parser import PlainParser
from bnadapt.data import Domain
from bnadapt.errors import InputError

SCALARS = ["yes", "true", "on", "1e3", "0x10", "2024-01-01", "12:30:45", "1", "-1.5", ".5", "1_000", ".nan"]
OTHERS = [
    "[batch1]",
    "[a",
    "#1 run",
    "a: b",
    "a:",
    "~",
    "{a}",
    "{}",
    "a, b",
    "*x",
    "&x",
    "!x",
    "%x",
    "@x",
    "'x",
    '"x"',
]


@pytest.fixture
def parser():
    """A parser of options that take a data set and a name, from the command line or a config."""
    parser = PlainParser()
    parser.add_argument("--config", action=ActionConfigFile)
    parser.add_argument("--target", type=Domain | None)
    parser.add_argument("--sets", type=dict[str, Domain] | None)
    parser.add_argument("--output", type=str | None)
    parser.add_argument("--tiles", type=int | None)
    parser.add_argument("--shares", type=list[float] | None)
    return parser


def of_target(options):
    return options.target.init_args.images, options.target.init_args.masks


@pytest.mark.parametrize("name", [*SCALARS, *OTHERS])
def test_names_on_the_command_line_are_taken_as_they_are(parser, name):
    apart = ["--target", "Folder", "--target.images", name, "--target.masks", name, "--output", name]
    joined = ["--target=Folder", f"--target.images={name}", f"--target.masks={name}", f"--output={name}"]
    for options in map(parser.parse_args, (apart, joined)):
        assert of_target(options) == (name, name)
        assert options.output == name


def test_a_name_below_another_class_is_taken_as_it_is(parser):
    shifted = ["--target", "Shifted", "--target.shift", "blur", "--target.severity", "1"]
    nested = ["--target.domain", "Folder", "--target.domain.images", "[batch1]"]
    assert parser.parse_args([*shifted, *nested]).target.init_args.domain.init_args.images == "[batch1]"


def test_null_is_a_folder_where_one_is_needed_and_nothing_where_it_may_be(parser):
    options = parser.parse_args(
        ["--target=Folder", "--target.images=null", "--target.masks", "null", "--output", "null"]
    )
    assert of_target(options) == ("null", None)
    assert options.output is None


def test_values_that_are_no_names_are_read_as_before(parser):
    options = [
        "--target",
        "Stack",
        "--target.images",
        "a",
        "--target.index",
        '{"C": 0}',
        "--target.split=[0.5, 0.2, 0.3]",
    ]
    options += ["--target.gap", "2", "--tiles", "3", "--shares", "[0.9, 0.1]", "--target.classes", "[background, cell]"]
    found = parser.parse_args(options)
    assert found.target.init_args.index == {"C": 0}
    assert list(found.target.init_args.split) == [0.5, 0.2, 0.3]
    assert (found.target.init_args.gap, found.tiles, found.shares) == (2, 3, [0.9, 0.1])
    assert list(found.target.init_args.classes) == ["background", "cell"]


def config(path, **init_args):
    lines = "".join(f"    {name}: {value}\n" for name, value in init_args.items())
    path.write_text(
        f"tiles: 3\nshares: [1, 2.5]\ntarget:\n  class_path: Folder\n  init_args:\n{lines}", encoding="utf-8"
    )
    return ["--config", str(path)]


@pytest.mark.parametrize("name", SCALARS)
def test_scalars_in_yaml_are_texts_where_texts_belong(parser, tmp_path, name):
    options = parser.parse_args(config(tmp_path / "c.yaml", images=name, masks=name, classes=f"[{name}, 2]", gap=2))
    assert of_target(options) == (name, name)
    assert list(options.target.init_args.classes) == [name, "2"]
    assert (options.target.init_args.gap, options.tiles, options.shares) == (2, 3, [1.0, 2.5])


@pytest.mark.parametrize("name", [*OTHERS, *SCALARS])
def test_quoted_names_in_yaml_are_taken_as_they_are(parser, tmp_path, name):
    quoted = "'" + name.replace("'", "''") + "'"
    assert of_target(parser.parse_args(config(tmp_path / "c.yaml", images=quoted, masks=quoted))) == (name, name)


@pytest.mark.parametrize("name", [*OTHERS, *SCALARS])
def test_what_is_kept_of_a_run_gives_the_same_options(parser, tmp_path, name):
    options = parser.parse_args(["--target=Folder", f"--target.images={name}", f"--target.masks={name}"])
    (tmp_path / "c.yaml").write_text(parser.dump(options), encoding="utf-8")
    assert of_target(parser.parse_args(["--config", str(tmp_path / "c.yaml")])) == (name, name)


def test_a_name_whose_bytes_are_not_utf8_is_refused(parser):
    with pytest.raises(InputError, match="is not a UTF-8 name, which configs need; rename it"):
        parser.parse_args(["--output", "b\udce9ton"])


AMBIGUOUS = {
    "tiles: 1:30\n": "1:30 is a number to the base 60",
    "shares: [0.5, 1:30.5]\n": "1:30.5 is a number to the base 60",
    "tiles: 010\n": "010 is an octal number; leave out its first 0",
    "tiles: 3\noutput: a\ntiles: 4\n": "tiles is given twice",
    "target: {class_path: Folder, init_args: {images: a, images: b}}\n": "images is given twice",
    "shares: &a [1, *a]\n": "refers to itself",
    "shares: " + "[" * 1200: "nested too deep",
    "[tiles]: 3\n": "the name of an option is not a text",
    "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
    + "".join(f"{name}: &{name} [{', '.join([f'*{chr(ord(name) - 1)}'] * 10)}]\n" for name in "bcdefg"): "more than",
}


@pytest.mark.parametrize("text", AMBIGUOUS, ids=range(len(AMBIGUOUS)))
def test_yaml_that_says_something_else_than_it_seems_to_is_refused(parser, tmp_path, text):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(InputError) as refused:
        parser.parse_args(["--config", str(tmp_path / "c.yaml")])
    assert AMBIGUOUS[text] in str(refused.value)


@pytest.mark.parametrize(("text", "is_read"), [("", True), ("# nothing yet\n", True), ("- 1\n", False), ("3\n", False)])
def test_configs_without_options(parser, tmp_path, text, is_read):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    if is_read:
        assert parser.parse_args(["--tiles=3", f"--config={path}"]).tiles == 3
        return
    with pytest.raises(InputError, match="c.yaml: does not give options by name"):
        parser.parse_args(["--config", str(path)])


def test_names_with_a_leading_zero_are_texts_and_merged_options_hold(parser, tmp_path):
    (tmp_path / "c.yaml").write_text("output: 0123\ntiles: 10\n")
    options = parser.parse_args(["--config", str(tmp_path / "c.yaml")])
    assert (options.output, options.tiles) == ("0123", 10)


def test_the_command_line_goes_before_a_config_wherever_that_stands(parser, tmp_path):
    own = ["--target", "Folder", "--target.images", "mine", "--tiles", "5"]
    given = config(tmp_path / "c.yaml", images="theirs")
    for arguments in ([*own, *given], [*given, *own], [*own, f"--config={tmp_path / 'c.yaml'}"]):
        options = parser.parse_args(arguments)
        assert (of_target(options)[0], options.tiles) == ("mine", 5)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings_that_a_file_tells_are_read(parser, tmp_path, encoding):
    (tmp_path / "c.yaml").write_bytes("output: réseau\n".encode(encoding))
    assert parser.parse_args(["--config", str(tmp_path / "c.yaml")]).output == "réseau"


@pytest.mark.parametrize(
    "content",
    [
        "output: o # réseau\n".encode("latin-1"),
        codecs.BOM_UTF16_LE + b"o",
        "a: b".encode("utf-16-le"),
        b"\x93NUMPY\x01\x00",
    ],
)
def test_what_is_no_text_is_refused_in_a_sentence(refused, best, tmp_path, content):
    (tmp_path / "c.yaml").write_bytes(content)
    sentence = refused("predict", "--ckpt_path", best, "--config", tmp_path / "c.yaml")
    assert "c.yaml" in sentence or "config" in sentence


def test_a_missing_encoding_is_named(parser, tmp_path):
    (tmp_path / "c.yaml").write_bytes("# réseau\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"c\.yaml: is not UTF-8 text \(byte 4\); save it in UTF-8"):
        parser.parse_args(["--config", str(tmp_path / "c.yaml")])


@pytest.mark.parametrize("command", ["predict", "adapt", "test"])
def test_the_config_that_fit_has_kept_serves_other_commands(trained, best, tmp_path, command):
    kept = ["--config", str(trained.parent / "config.yaml"), "--trainer.logger=false"]
    output = {
        "adapt": ["--data.source=null", f"--output={tmp_path / 'a.ckpt'}"],
        "predict": [f"--output={tmp_path / 'out'}"],
    }
    done = main([command, "--ckpt_path", str(best), *kept, *output.get(command, [])])
    assert done.config[command].ckpt_path == str(best)
    if command == "predict":
        assert done.datamodule.source is None


def test_options_of_other_commands_are_left_out_and_said(trained, best, tmp_path, caplog):
    kept = yaml.safe_load((trained.parent / "config.yaml").read_text())
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({**kept, "propagation": "one_pass", "annotated": 0}))
    main(["test", "--ckpt_path", str(best), "--config", str(tmp_path / "c.yaml"), "--trainer.logger=false"])
    assert "annotated, propagation ignored, which only other commands take" in caplog.text


def test_options_that_no_command_has_are_refused(refused, best, tmp_path):
    (tmp_path / "c.yaml").write_text("outputt: o\n")
    assert "outputt" in refused("predict", "--ckpt_path", best, "--config", tmp_path / "c.yaml")


def test_texts_of_data_sets_are_known():
    from inspect import signature

    from bnadapt import data

    kinds = [each for each in vars(data).values() if isinstance(each, type) and issubclass(each, Domain)]
    texts = {
        name
        for kind in kinds
        for name, parameter in signature(kind).parameters.items()
        if parameter.annotation in (str, str | None)
    }
    assert texts <= TEXTS


def test_a_comment_alone_is_a_name():
    assert load_options("#1 run") == "#1 run"
    assert load_options("null") is None
    assert load_options("{a: ~}") == {"a": None}
