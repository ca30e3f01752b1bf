"""The grammar of input specs; what it refuses is in tests/test_bad_input.py."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fxcost.errors import SpecError
from fxcost.ir.expr import const, symbol
from fxcost.ir.specs import SpecReader, TensorSpec, parse_point, parse_ties, split_named
from fxcost.ir.symbols import SymbolInfo
from fxcost.ir.types import DType

N, H, S, T = (symbol(name) for name in "NHST")


def tensor(text: str) -> TensorSpec:
    found = SpecReader().read(text)
    assert isinstance(found, TensorSpec)
    return found


def sizes(text: str) -> list[str]:
    return [str(size) for size in tensor(text).shape]


# -- one tensor ----------------------------------------------------------------------------------------------------
def test_float32_is_the_default() -> None:
    assert tensor("N,3,H,W") == TensorSpec(DType.F32, tensor("f32[N,3,H,W]").shape)
    assert sizes(" N , 3,H ,W ") == ["N", "3", "H", "W"]


@pytest.mark.parametrize("dtype", list(DType))
def test_every_element_type(dtype: DType) -> None:
    assert tensor(f"{dtype.short}[N,S]").dtype is dtype


def test_scalars_and_vectors() -> None:
    assert sizes("f32[]") == []
    assert sizes("f32[ ]") == []
    assert sizes("N") == ["N"]
    assert sizes("7") == ["7"]


def test_sums_and_products_of_names_are_sizes() -> None:
    assert tensor("S+1,2*S,S*T,S+T+1,S**2").shape == (S + 1, S * 2, S * T, S + T + 1, S**2)


def test_a_name_is_the_same_size_everywhere() -> None:
    reader = SpecReader()
    first, second = reader.read("N,S"), reader.read("i64[N,S+1]")
    assert isinstance(first, TensorSpec)
    assert isinstance(second, TensorSpec)
    assert first.shape[0] is second.shape[0]
    assert list(reader.symbols) == ["N", "S"], "in order of appearance"


def test_subtraction_bounds_the_name() -> None:
    reader = SpecReader()
    reader.read("N,S-1")
    assert reader.symbols["S"].min == 2, "S - 1 is a size, so it is at least one"
    reader.read("S-4")
    assert reader.symbols["S"].min == 5
    reader.read("S=2..9")
    assert (reader.symbols["S"].min, reader.symbols["S"].max) == (5, 9)


# -- ranges, multiples, hints --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "info"),
    [
        ("H=32..4096", SymbolInfo("H", 32, 4096)),
        ("H=32..", SymbolInfo("H", 32)),
        ("H=..64", SymbolInfo("H", 1, 64)),
        ("H=..", SymbolInfo("H")),
        ("H@224", SymbolInfo("H", hint=224)),
        ("H=32..4096@224", SymbolInfo("H", 32, 4096, hint=224)),
        ("H = 32 .. 4096 @ 224", SymbolInfo("H", 32, 4096, hint=224)),
        ("H=7..7", SymbolInfo("H", 7, 7)),
    ],
)
def test_restrictions(text: str, info: SymbolInfo) -> None:
    reader = SpecReader()
    reader.read(f"N,{text}")
    assert reader.symbols["H"] == info


def test_restrictions_may_stand_alone() -> None:
    reader = SpecReader()
    assert not reader.declare("N,3,H")
    assert not reader.declare("H"), "a name alone is a vector"
    assert not reader.declare("f32[H]")
    assert reader.declare("H=32..64")
    assert reader.declare("H @ 48")
    reader.read("H")
    assert reader.symbols["H"] == SymbolInfo("H", 32, 64, hint=48)


def test_the_same_restriction_may_be_repeated() -> None:
    reader = SpecReader()
    reader.read("H=32..64@48,H=32..64@48")
    assert reader.symbols["H"] == SymbolInfo("H", 32, 64, hint=48)


def test_a_multiple_replaces_its_name() -> None:
    reader = SpecReader()
    reader.read("N,H=32*h@7")
    assert reader.multiples == {"H": symbol("h") * 32}
    assert reader.symbols["h"].hint == 7, "the hint is of the free name"


# -- structures ----------------------------------------------------------------------------------------------------
def test_nested_structures() -> None:
    reader = SpecReader()
    found = reader.read("[(bf16[N,S],bf16[N,S])*2, [i64[N]], ()]")
    pair = (TensorSpec(DType.BF16, (N, S)), TensorSpec(DType.BF16, (N, S)))
    assert found == [pair, pair, [TensorSpec(DType.I64, (N,))], ()]


def test_lists_are_lists_and_tuples_tuples() -> None:
    assert isinstance(SpecReader().read("[f32[N]]"), list)
    assert isinstance(SpecReader().read("(f32[N])"), tuple)
    assert SpecReader().read("[f32[N],]") == [TensorSpec(DType.F32, (N,))]


@given(depth=st.integers(0, 49), count=st.integers(1, 50))
def test_structures_of_any_size(depth: int, count: int) -> None:
    inner = SpecReader().read("[" * depth + f"(f32[N])*{count}" + "]" * depth if depth else "f32[N]")
    for _ in range(depth - 1):
        assert isinstance(inner, list)
        (inner,) = inner
    if depth:
        assert isinstance(inner, list)
        assert len(inner) == count


# -- the command line ----------------------------------------------------------------------------------------------
def test_integers_may_have_values() -> None:
    assert tensor("i64[1,3]{1, 16,-2}") == TensorSpec(DType.I64, (const(1), const(3)), (1, 16, -2))
    assert SpecReader().read("[i32[2]{1,2}*2]") == [TensorSpec(DType.I32, (const(2),), (1, 2))] * 2


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("f32[2]{1,2}", "values in braces are for integers and truth values, not for f32"),
        ("i64[N]{1}", "a tensor with values has numbers for sizes, found N"),
        ("i64[3]{1,2}", "found 2 values, expected 3"),
        ("i64[2]{1,x}", "found 'x', expected an integer"),
        ("i64[2]{1,2", "a '{' is never closed"),
        ("bool[2]{0,2}", "truth values are 0 or 1"),
        ("i64[20000]{1}", "more than 10,000 values"),
        ("i64[1]{1}{2}", "after a complete spec"),
    ],
)
def test_wrong_values_are_refused(text: str, complaint: str) -> None:
    with pytest.raises(SpecError, match=re.escape(complaint)):
        SpecReader().read(text)


def test_inputs_by_name_are_told_from_sizes() -> None:
    texts = ["N,3,H=32..64,W", "mask=i64[N,S+1]", "H=32..64", " cache = [f32[N]*3]", "pair=(f32[N])", "i64[N,S]"]
    assert split_named(texts) == (
        ["N,3,H=32..64,W", "H=32..64", "i64[N,S]"],
        {"mask": "i64[N,S+1]", "cache": "[f32[N]*3]", "pair": "(f32[N])"},
    )
    with pytest.raises(SpecError, match="'mask' is given twice"):
        split_named(["mask=f32[N]", "mask=f32[N]"])


def test_points() -> None:
    assert parse_point("N=1, H = 224,W=999999999999999999") == {"N": 1, "H": 224, "W": 10**18 - 1}
    assert parse_point("N=1,data_0=0") == {"N": 1, "data_0": 0}


@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True), st.integers(1, 10**18 - 1), min_size=1
    )
)
def test_points_round_trip(point: dict[str, int]) -> None:
    assert parse_point(",".join(f"{name}={size}" for name, size in point.items())) == point


def test_ties() -> None:
    assert parse_ties(None) == {}
    assert parse_ties("W=H, T = 2*S+1") == {"W": "H", "T": "2*S+1"}


@given(st.text(st.sampled_from(list("NHS0123456789=@.,*+-()[]f32i64 _")), max_size=30))
def test_any_text_is_read_or_refused_in_a_sentence(text: str) -> None:
    for read in (SpecReader().read, SpecReader().declare, parse_point, parse_ties):
        message = ""
        try:
            read(text)
        except SpecError as error:
            message = str(error)
        assert "\n" not in message
        assert len(message) < 400
