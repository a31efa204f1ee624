"""Configs as plain values: domains made from them, and keys that find results again."""

from dataclasses import replace

import pytest

from bnadapt.data import Shifted, Synthetic
from bnadapt.errors import InputError
from bnadapt.experiments import specs
from bnadapt.experiments.case import AdaptationCase
from bnadapt.experiments.evaluation import Evaluation
from bnadapt.experiments.networks import SourceNetwork, Training
from bnadapt.experiments.specs import domain_of
from bnadapt.networks import UNet


def case(**changed):
    source = {"class": "Synthetic", "mean": [0.7, 0.3]}
    given = {
        "network": SourceNetwork(Training(), source, 1),
        "target": {"class": "Synthetic", "mean": [0.4, 0.1]},
        "evaluation": Evaluation(),
        "labels": {"target": "darker", "seed": 1},
    }
    return AdaptationCase(**{**given, **changed})


def test_domains_are_made_from_plain_values():
    domain = domain_of({"class": "Synthetic", "mean": [0.7, 0.3], "images": 3})
    assert isinstance(domain, Synthetic)
    assert len(domain.labelled()) == 3
    nested = domain_of({"class": "Shifted", "domain": {"class": "Synthetic"}, "shift": "blur", "severity": 1})
    assert isinstance(nested, Shifted)
    assert isinstance(nested.domain, Synthetic)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"class": "Nosuch"}, "there is no domain 'Nosuch'"),
        ({"mean": [1, 2]}, "there is no domain None"),
        ({"class": "Section"}, "there is no domain 'Section'"),
        ({"class": "Synthetic", "means": [1, 2]}, "domain Synthetic: .*unexpected keyword argument 'means'"),
    ],
)
def test_what_is_no_domain_is_refused(spec, message):
    with pytest.raises(InputError, match=message):
        domain_of(spec)


def test_a_key_is_a_function_of_what_a_config_says():
    assert case() == case()
    assert case().key == case(target={"mean": (0.4, 0.1), "class": "Synthetic"}).key
    assert hash(case()) == hash(case())
    assert len({case(), case()}) == 1


def test_labels_are_no_part_of_the_key():
    assert case(labels={"anything": 1}) == case()


@pytest.mark.parametrize(
    "changed",
    [
        {"target": {"class": "Synthetic", "mean": [0.4, 0.2]}},
        {"policy": {"source_weight": 0.5}},
        {"evaluation": Evaluation(tiles=3)},
        {"network": SourceNetwork(Training(), {"class": "Synthetic", "mean": [0.7, 0.3]}, 2)},
        {"network": SourceNetwork(replace(Training(), steps=7), {"class": "Synthetic", "mean": [0.7, 0.3]}, 1)},
        {"draw": 1},
    ],
)
def test_everything_else_is(changed):
    assert case(**changed) != case()


def test_a_key_knows_the_defaults_of_the_code(monkeypatch):
    """So that no record of an older default is taken for one of the newer."""
    assert case(target={"class": "Synthetic", "mean": [0.4, 0.1], "std": [0.1, 0.1], "foreground": 0.3}) == case()
    before, of_network = case().key, case().network.key
    monkeypatch.setattr(Synthetic.__init__, "__defaults__", (*Synthetic.__init__.__defaults__[:-1], "another"))
    assert case().key != before
    assert case().network.key != of_network


def test_a_key_knows_the_defaults_of_the_network(monkeypatch):
    plain = SourceNetwork(Training(network_args={}), {"class": "Synthetic"}, 1)
    assert plain == SourceNetwork(Training(network_args={"base_channels": 64}), {"class": "Synthetic"}, 1)
    before = plain.key
    monkeypatch.setattr(UNet.__init__, "__defaults__", (*UNet.__init__.__defaults__[:-1], 32))
    assert plain.key != before


def test_a_key_knows_the_number_of_the_schema(monkeypatch):
    before = case().key
    monkeypatch.setattr(specs, "SCHEMA", specs.SCHEMA + 1)
    assert case().key != before


def test_a_network_that_learned_from_a_target_too_is_another():
    source, target = {"class": "Synthetic"}, {"class": "Synthetic", "mean": [0.4, 0.1]}
    assert SourceNetwork(Training(), source, 1, target).key != SourceNetwork(Training(), source, 1).key
    darker = {**target, "mean": [0.3, 0.1]}
    assert SourceNetwork(Training(), source, 1, target).key != SourceNetwork(Training(), source, 1, darker).key
