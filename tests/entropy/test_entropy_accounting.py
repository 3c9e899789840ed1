"""SP 800-90B section 3.1.5 in floating point against the same formulas in 200 digits, and SHA-256 by hashlib."""

import hashlib
from decimal import Decimal, localcontext

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from entropy import Sha256
from entropy.conditioning import nonvetted_output_entropy, output_entropy, vetted_output_entropy


def exactly(n_in: int, n_out: int, nw: int, h_in: float) -> float:
    """The six steps of section 3.1.5.1.2 as they are written."""
    with localcontext() as context:
        context.prec = 400
        two = Decimal(2)
        high = two ** -Decimal(h_in)
        low = (1 - high) / (two**n_in - 1)
        n = min(n_out, nw)
        psi = two ** (n_in - n) * low + high
        u = two ** (n_in - n) + (2 * n * two ** (n_in - n) * two.ln()).sqrt()
        return float(-max(psi, u * low).ln() / two.ln())


@given(
    n_in=st.integers(1, 1100), n_out=st.integers(1, 512), nw=st.integers(1, 512), share=st.floats(0.001, 1)
)
def test_the_formula_in_floats_is_that_in_digits(n_in, n_out, nw, share):
    h_in = share * n_in
    expected = max(0.0, min(exactly(n_in, n_out, nw, h_in), h_in, n_out))
    assert output_entropy(n_in, n_out, nw, h_in) == pytest.approx(expected, abs=1e-9, rel=1e-9)
    assert output_entropy(n_in, n_out, nw, h_in) <= min(h_in, n_out)
    nonvetted = nonvetted_output_entropy(n_in, n_out, nw, h_in)
    assert nonvetted == min(output_entropy(n_in, n_out, nw, h_in), 0.999 * n_out)
    assert nonvetted_output_entropy(n_in, n_out, nw, h_in, 0.3) == min(nonvetted, 0.3 * n_out)


def test_what_is_no_input_is_refused():
    for arguments in ((0, 1, 1, 0.0), (8, 8, 8, 9.0), (8, 8, 8, -1.0)):
        with pytest.raises(ValueError, match=r"is a (whole|finite) number from|its length"):
            output_entropy(*arguments)


def test_full_entropy_is_claimed_only_with_64_bits_to_spare():
    assert vetted_output_entropy(512, 256, 256, 320) == 256
    assert vetted_output_entropy(512, 256, 256, 319.9) < 256
    assert vetted_output_entropy(512, 256, 128, 400) < 129
    assert Sha256().output_min_entropy(0.625) == 1
    assert 0.99 < Sha256().output_min_entropy(0.6) < 1
    assert Sha256().output_min_entropy(0.25) == pytest.approx(0.5, abs=0.01)
    assert Sha256(1024).output_min_entropy(0.3125) == 1
    assert Sha256(256).output_min_entropy(1) < 1


def test_sha256_is_hashlibs_of_every_so_many_bits(store, made):
    bits = made.fill(store, [10])
    with store.lease(1500, purpose="test") as lease:
        out = Sha256(600).read(lease, 400)
    raw = np.packbits(bits[:1200].reshape(2, 600), axis=1)
    expected = b"".join(hashlib.sha256(part.tobytes()).digest() for part in raw)[:50]
    assert out.tobytes() == expected
    assert store.accounts().consumed == 1200


def test_what_sha256_does_not_take_is_refused():
    for bits in (255, 0, 513):
        with pytest.raises(ValueError, match="multiple of 8"):
            Sha256(bits)
