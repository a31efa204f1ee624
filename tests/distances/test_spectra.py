"""Factors and eigenvalues by LAPACK are those of torch, of singular covariances too."""

import pytest
import torch

from bnadapt.distances.spectra import (
    congruence_eigenvalues,
    inverse,
    log_determinants,
    pencil_log_determinants,
    triangular_factor,
    whitened_eigenvalues,
)


def covariances(count=3, channels=40, seed=0):
    roots = torch.randn(count, channels, 2 * channels, generator=torch.Generator().manual_seed(seed)).double()
    return roots @ roots.mT / (2 * channels)


def dependent(covariance):
    """With a channel that is twice another, and a dead one."""
    mixing = torch.eye(len(covariance[0]), dtype=torch.float64)
    mixing[3], mixing[7] = 2 * mixing[2], 0
    return mixing @ covariance @ mixing.T


@pytest.mark.parametrize("differentiated", [False, True])
@pytest.mark.parametrize(
    "covariance",
    [
        covariances(),
        dependent(covariances()),
        torch.cat([covariances(1), dependent(covariances(1))]),
        dependent(covariances())[0],
        torch.zeros(2, 5, 5).double(),
    ],
    ids=["regular", "singular", "both", "one", "zero"],
)
def test_factors_are_triangular_and_give_the_covariance(covariance, differentiated):
    factor = triangular_factor(covariance.clone().requires_grad_(differentiated)).detach()
    assert torch.equal(factor, factor.tril())
    torch.testing.assert_close(factor @ factor.mT, covariance, rtol=0, atol=1e-12)


@pytest.mark.parametrize("count", [1, 3])
def test_eigenvalues_are_those_of_the_products(count):
    factor, covariance = triangular_factor(covariances(count)), covariances(seed=1)
    before = factor.clone(), covariance.clone()
    inverse = torch.linalg.inv(factor)
    expected = {
        congruence_eigenvalues: factor.mT @ covariance @ factor,
        whitened_eigenvalues: inverse @ covariance @ inverse.mT,
    }
    for eigenvalues, product in expected.items():
        for given in (covariance, covariance.clone().requires_grad_()):
            found = eigenvalues(factor, given).detach()
            torch.testing.assert_close(found, torch.linalg.eigvalsh(product), rtol=1e-9, atol=1e-12)
    assert torch.equal(factor, before[0])
    assert torch.equal(covariance, before[1])


def test_no_channels_have_no_eigenvalues():
    nothing = torch.zeros(2, 0, 0).double()
    assert triangular_factor(nothing).shape == (2, 0, 0)
    assert congruence_eigenvalues(nothing, nothing).shape == (2, 0)


@pytest.mark.parametrize("differentiated", [False, True])
def test_inverses_and_determinants(differentiated):
    covariance, other = covariances(), covariances(seed=1)
    given = covariance.clone().requires_grad_(differentiated)
    inverted, logarithm = inverse(given)
    torch.testing.assert_close(inverted.detach() @ covariance, torch.eye(40).double().expand(3, -1, -1))
    torch.testing.assert_close(logarithm.detach(), covariance.logdet())
    torch.testing.assert_close(log_determinants(given).detach(), covariance.logdet())
    shifts = torch.tensor([0.1, 3.0]).double()
    expected = torch.stack([(covariance + shift * other).logdet() for shift in shifts], -1)
    torch.testing.assert_close(pencil_log_determinants(given, other, shifts).detach(), expected)


def test_covariances_that_rounding_makes_indefinite_have_determinants():
    covariance = (torch.ones(1, 6, 6) + 1e-9 * torch.eye(6)).float()
    for logarithm in (
        log_determinants(covariance),
        inverse(covariance + 1e-7 * torch.eye(6))[1],
        pencil_log_determinants(covariance, covariance, torch.ones(2).double()),
    ):
        assert not logarithm.isnan().any()
