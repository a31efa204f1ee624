"""Warnings of ours are their sentence alone; others are shown as ever."""

import warnings

import pytest

from bnadapt.batchnorm import BatchNormWarning
from bnadapt.commands.quiet import quiet


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    with warnings.catch_warnings():
        quiet()
        quiet()  # as a process does that runs several commands
        warnings.simplefilter("always")
        yield


def test_a_warning_of_ours_is_one_line(caplog, capsys):
    warnings.warn("Not adapted: encoder.", BatchNormWarning, stacklevel=1)
    assert [record.getMessage() for record in caplog.records] == ["Not adapted: encoder."]
    assert capsys.readouterr().err == ""


def test_a_warning_of_others_is_shown_as_before(caplog):
    shown = []
    warnings.showwarning.show = lambda message, *where: shown.append(str(message))
    warnings.warn("Something else", UserWarning, stacklevel=1)
    assert shown == ["Something else"]
    assert not caplog.records
