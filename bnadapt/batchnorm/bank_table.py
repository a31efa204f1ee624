"""A bank as a table to read."""

from bnadapt.batchnorm.bank import Bank, rms


def bank_table(bank: Bank, reference: Bank | None = None) -> str:
    """A line per layer: channels, values per channel, typical mean and standard deviation, provenance.

    Args:
        bank: to show.
        reference: a bank to compare with; adds the shift of the mean, in its standard deviations, and of the
            log-variance, see `Bank.compared`.

    Raises:
        BankMismatchError: they are of different networks.
    """
    shifts = bank.compared(reference) if reference else {}
    header = ["layer", "channels", "values", "|mean|", "std", *(["shift", "log-var"] if shifts else []), "provenance"]
    rows = [header]
    for name, mean in bank.mean.items():
        numbers = [rms(mean), bank.variance[name].mean().sqrt().item()]
        numbers += [shifts[name].mean, shifts[name].log_variance] if shifts else []
        values = str(bank.count[name] or "?")
        source = bank.provenance.get(name, "unknown")
        rows.append([name, str(len(mean)), values, *(f"{number:.3g}" for number in numbers), source])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
