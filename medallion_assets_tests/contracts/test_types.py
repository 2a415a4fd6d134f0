"""Column types: from their text and back, and the Arrow type of each."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medallion_assets.contracts.types import parse_type

scalars = st.one_of(
    st.sampled_from(["string", "bool", "int", "bigint", "double", "date", "timestamp", "binary", "json"]),
    st.integers(1, 38).flatmap(lambda p: st.integers(0, p).map(lambda s: f"decimal({p},{s})")),
)
types = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.builds("{}<{}>".format, st.sampled_from(["list", "map"]), inner),
        st.lists(inner, min_size=1, max_size=3).map(
            lambda parts: "struct<" + ",".join(f"Field{i}:{part}" for i, part in enumerate(parts)) + ">"
        ),
    ),
    max_leaves=6,
)


@given(types)
def test_a_type_is_written_as_it_was_read(text: str) -> None:
    assert str(parse_type(text)) == text


@given(types)
def test_every_type_has_an_arrow_type(text: str) -> None:
    assert isinstance(parse_type(text).arrow(), pa.DataType)


def test_nested_types_keep_their_parts() -> None:
    type_ = parse_type("struct<Street:string, Lines:list<decimal(38,2)>>")
    assert type_.arrow() == pa.struct(
        [pa.field("street", pa.string()), pa.field("lines", pa.list_(pa.decimal128(38, 2)))]
    )
    assert [attribute for attribute, _, _ in type_.fields] == ["Street", "Lines"]


@pytest.mark.parametrize(
    "text",
    ["", "text", "decimal", "decimal(12)", "decimal(39,2)", "decimal(5,6)", "list<>", "list<text>", "set<bool>",
     "struct<a>", "struct<A:int,a:int>", "map<string,int>", "float", "String", 5, None],
)  # fmt: skip
def test_what_is_not_a_type_is_refused_with_what_was_expected(text: object) -> None:
    with pytest.raises(ValueError, match=r"expected|holds|two fields"):
        parse_type(text)
