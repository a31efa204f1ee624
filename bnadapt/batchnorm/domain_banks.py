"""Several banks for several domains on one network."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import nn

from bnadapt.batchnorm.bank import Bank, BankMismatchError
from bnadapt.batchnorm.layers import BatchNormError


class DomainBanks:
    """Several banks on one network, one for each domain.

    Args:
        network: that they are applied to.
        banks: by domain.

    Raises:
        BankMismatchError: a bank does not fit the network.

    Examples:
        banks = DomainBanks(network, {"vnc": vnc, "flyem": flyem})
        with banks.use("vnc"):
            ...
    """

    def __init__(self, network: nn.Module, banks: Mapping[str, Bank]) -> None:
        self.network = network
        self.banks = dict(banks)
        own = Bank.of(network)
        for domain, bank in banks.items():
            try:
                bank.require_fit(own)
            except BankMismatchError as error:
                raise BankMismatchError(f"{domain}: {error}") from error

    @contextmanager
    def use(self, domain: str) -> Iterator[Bank]:
        """Hold the network to a domain's bank for a while; what it had comes back bit for bit.

        Raises:
            BatchNormError: there is no bank of that domain.
        """
        if domain not in self.banks:
            raise BatchNormError(f"There is no bank of {domain!r}; there are {', '.join(self.banks)}.")
        with self.banks[domain].applied(self.network):
            yield self.banks[domain]
