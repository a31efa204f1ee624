"""Several domains as one, such as the sources of a network."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain, zip_longest
from pathlib import Path

from bnadapt.data.domain import Domain, Section
from bnadapt.errors import InputError


class Pooled(Domain):
    """Several labelled domains as one; each keeps its blocks, pixel size and scaling of intensities.

    Sections of all domains alternate, so that each domain has its share of a subset; training draws crops in equal
    shares, or by weight.

    Args:
        domains: at least two domains by name, with equally many classes.
        weights: share of the crops by the domain's name; equal by default.

    Raises:
        InputError: there are fewer than two domains, their classes differ in number, or the weights do not fit.
    """

    def __init__(self, domains: Mapping[str, Domain], weights: Mapping[str, float] | None = None) -> None:
        super().__init__()
        if len(domains) < 2:
            raise InputError(f"sources: {len(domains)} given; name at least two, or give one as --data.source.")
        self.domains = dict(domains)
        self.name = " + ".join(domains)
        first, *others = self.domains
        for name in others:
            if len(self.domains[name].classes) != len(self.domains[first].classes):
                raise InputError(
                    f"sources: {name} has the classes {list(self.domains[name].classes)}, {first}"
                    f" {list(self.domains[first].classes)}; give sources of equally many classes."
                )
        self.weights = dict(weights) if weights else dict.fromkeys(self.domains, 1.0)
        if self.weights.keys() != self.domains.keys() or not all(0 < each < math.inf for each in self.weights.values()):
            raise InputError(
                f"source_weights is {self.weights}; give a number above 0 for each of {', '.join(self.domains)}."
            )
        self.classes = self.domains[first].classes

    def labelled(self) -> list[Section]:
        """The labelled sections of all domains."""
        return self._alternating({name: domain.labelled() for name, domain in self.domains.items()})

    def unlabelled(self) -> list[Section]:
        """The unlabelled sections of all domains."""
        return self._alternating({name: domain.unlabelled() for name, domain in self.domains.items()})

    def block(self, which: str) -> list[Section]:
        """The same block of every domain."""
        return self._alternating({name: domain.block(which) for name, domain in self.domains.items()})

    def adaptation(self) -> list[Section]:
        """The sections of every domain that adaptation may read."""
        return self._alternating({name: domain.adaptation() for name, domain in self.domains.items()})

    def files(self) -> list[Path]:
        """The files of all domains."""
        return [path for domain in self.domains.values() for path in domain.files()]

    def reads(self, path: Path) -> bool:
        """Whether one of the domains reads the path."""
        return any(domain.reads(path) for domain in self.domains.values())

    def _alternating(self, sections: Mapping[str, Sequence[Section]]) -> list[Section]:
        with_domains = ([replace(each, domain=name) for each in each_domain] for name, each_domain in sections.items())
        return [each for each in chain.from_iterable(zip_longest(*with_domains)) if each is not None]


def pooled(sources: Mapping[str, Domain] | Sequence[Domain], weights: Mapping[str, float] | None) -> Pooled:
    """Combine sources into one domain; those of a list are named after their domains, which must differ."""
    if isinstance(sources, Mapping):
        return Pooled(sources, weights)
    names = [domain.name for domain in sources]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"sources: two are called {twice[0]}; give them as a mapping of names to domains.")
    return Pooled(dict(zip(names, sources, strict=True)), weights)
