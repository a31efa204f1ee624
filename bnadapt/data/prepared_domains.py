"""The domains of a run, and how their images are prepared for the network."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from lightning.pytorch import LightningDataModule

from bnadapt.data.domain import Domain, Section
from bnadapt.data.input_change import InputChange
from bnadapt.data.intensity import IntensityName, Scaling
from bnadapt.data.learnt_areas import LearntArea, as_areas, as_plain
from bnadapt.data.pixel_size import check_size, resampling_sentence
from bnadapt.data.pooled import Pooled
from bnadapt.data.prepare import PreparedSection, check_channels, prepare, report_blank
from bnadapt.data.scaling import Scalings, check_stored_state
from bnadapt.errors import InputError

log = logging.getLogger(__name__)


class PreparedDomains(LightningDataModule):
    """Source, target and further test sets, with images scaled and resampled for one network.

    The scaling of intensities and the pixel size belong to the trained network: both are stored in its checkpoint and
    hold in later runs unless overridden. See `DomainPair` for the arguments.
    """

    def __init__(
        self,
        source: Domain | None,
        target: Domain | None,
        further_tests: Mapping[str, Domain],
        intensity: IntensityName | None,
        pixel_size_nm: float | None,
        target_change: InputChange | None,
    ) -> None:
        super().__init__()
        check_size(pixel_size_nm, "--data.pixel_size_nm")
        self.source = source
        self.target = target
        self.further_tests = further_tests
        _check_names(["source", "target", *further_tests, *(source.domains if isinstance(source, Pooled) else ())])
        self.requested = {"intensity": intensity, "pixel_size_nm": pixel_size_nm}
        self.requested_change = target_change
        self.target_change = target_change or InputChange()
        self.learnt_areas: list[LearntArea] = []
        self.restored: dict[str, Any] = {}
        self._scalings: Scalings | None = None
        self._known_sizes: set[str] = set()

    def state_dict(self) -> dict[str, Any]:
        """Scaling with its numbers, pixel size, change of the target, and areas learnt from, for later runs."""
        return {
            "intensity": self.intensity,
            "pixel_size_nm": self.pixel_size_nm,
            "target_change": self.target_change.state_dict(),
            "learnt_areas": as_plain(self.learnt_areas),
            **self.scalings.state_dict(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore scaling and pixel size of a checkpoint, unless set in this run; refuses a state without a scaling."""
        check_stored_state(state_dict)
        for key, requested in self.requested.items():
            if requested is not None and state_dict[key] is not None and requested != state_dict[key]:
                log.warning("The network was trained with %s %s; this run sets %s.", key, state_dict[key], requested)
        self.restored, self._scalings = state_dict, None
        self.target_change = self.requested_change or InputChange(**state_dict.get("target_change", {}))
        self.learnt_areas = as_areas(state_dict.get("learnt_areas", []))

    @property
    def intensity(self) -> IntensityName:
        """The name of the scaling in force."""
        return self.requested["intensity"] or self.restored.get("intensity") or "zscore"

    @property
    def pixel_size_nm(self) -> float | None:
        """The pixel size in force: given, restored, or the coarsest of source and target."""
        if size := self.requested["pixel_size_nm"] or self.restored.get("pixel_size_nm"):
            return size
        if self.restored:
            return None
        sizes = [_pixel_size(domain) for domain in (self.source, self.target) if domain]
        return max(filter(None, sizes), default=None)

    @property
    def scalings(self) -> Scalings:
        """The scalings of all domains."""
        if self._scalings is None:
            self._scalings = Scalings(self.intensity, self.pixel_size_nm, self.source, self.restored)
        return self._scalings

    def source_domains(self) -> dict[str, Domain]:
        """The sources by name; a single one as `source`."""
        if isinstance(self.source, Pooled):
            return self.source.domains
        return {"source": self.source} if self.source else {}

    def test_domains(self) -> dict[str, Domain]:
        """The named test sets: each source, the target if it has masks, and the further ones.

        Raises:
            InputError: no test set is given, or two differ in their number of classes.
        """
        target = {"target": self.target} if self.target and self.target.labelled() else {}
        domains = {**self.source_domains(), **target, **self.further_tests}
        if not domains:
            raise InputError("test: needs labelled data; give --data.source, --data.target or --data.test.")
        first, *others = domains
        for name in others:
            if len(domains[name].classes) != len(domains[first].classes):
                raise InputError(
                    f"{name} has the classes {list(domains[name].classes)}, {first} {list(domains[first].classes)};"
                    " name as many for each."
                )
        return domains

    def target_has_test_block(self) -> bool:
        """Whether labelled images of the target are kept for `test`."""
        try:
            return bool(self._needed("target").block("test"))
        except InputError:
            return False

    def prepared(self, which: str, section: Section) -> PreparedSection:
        """A section of `source` or `target` as the network sees it."""
        return self._prepare(which, self._needed(which), section)

    def require_masks(self, which: str) -> None:
        """Refuse a domain, `source` or `target`, of which nothing is labelled."""
        domain = self._needed(which)
        if not domain.labelled():
            raise InputError(f"{domain.name}: has no masks; give some, such as --data.{which}.masks DIR.")

    def _needed(self, which: str) -> Domain:
        domain = getattr(self, which)
        if domain is None:
            raise InputError(f"there is no {which}; give one, such as --data.{which} Folder --data.{which}.images DIR.")
        return domain

    def _not_blank(
        self, name: str, domain: Domain, sections: Sequence[Section], change: InputChange | None = None
    ) -> list[PreparedSection]:
        """The prepared sections that are not blank; blank ones are reported."""
        prepared = [self._prepare(name, domain, section, change) for section in sections]
        for section in prepared:
            check_channels(section, prepared[0], domain.name)
        blank = [section for section in prepared if section.is_blank]
        report_blank(domain.name, [section.name for section in blank], len(prepared), "left out")
        return [section for section in prepared if not section.is_blank]

    def _prepare(
        self, name: str, domain: Domain, section: Section, change: InputChange | None = None
    ) -> PreparedSection:
        key = name
        if isinstance(domain, Pooled):
            key, domain = section.domain, domain.domains[section.domain]
        scaling = self._scaling(key, domain)
        if name != "target":
            return prepare(section, domain.name, self.scalings.pixel_size_nm, scaling)
        change = self.target_change if change is None else change
        return prepare(section, domain.name, self.scalings.pixel_size_nm, change.after(scaling), change.zoom)

    def _scaling(self, key: str, domain: Domain) -> Scaling:
        """The scaling of a domain; logs, once, how far its images are resampled."""
        if key not in self._known_sizes:
            self._known_sizes.add(key)
            sizes = (section.pixel_size_nm for section in domain.all_sections())
            if sentence := resampling_sentence(sizes, self.scalings.pixel_size_nm):
                log.warning("%s: %s", domain.name, sentence)
        return self.scalings.of(key, domain)


def _check_names(names: Sequence[str]) -> None:
    """Refuse names of sets that would make tags of scores ambiguous."""
    if reserved := [name for name in names if "/" in name or names.count(name) > 1]:
        raise InputError(
            f"set {reserved[0]!r}: give each source and test set a unique name, without / and not source or target."
        )


def _pixel_size(domain: Domain) -> float | None:
    """The coarsest pixel size of a domain's sections; None if one is not known."""
    if isinstance(domain, Pooled):
        return max(filter(None, map(_pixel_size, domain.domains.values())), default=None)
    sizes = [section.pixel_size_nm for section in domain.labelled() or domain.unlabelled()]
    return max(sizes) if sizes and all(sizes) else None
