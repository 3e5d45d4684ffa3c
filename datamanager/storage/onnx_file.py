"""Whether bytes are an ONNX model, told by the outermost fields of its protobuf, as they come by.

https://protobuf.dev/programming-guides/encoding/ ; message `ModelProto` of
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from datamanager.errors import Refused

__all__ = ["OnnxScan"]

MAX_FIELDS = 100_000
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_VARINT = 10  # bytes
_MAX_IR_VERSION = 1000  # 13 is the newest by now
_IR_VERSION, _GRAPH, _OPSET_IMPORT = 1, 7, 8
_WIRE_TYPES = {  # of the fields that there are today; others may come
    _IR_VERSION: _VARINT,
    2: _BYTES,  # producer_name
    3: _BYTES,  # producer_version
    4: _BYTES,  # domain
    5: _VARINT,  # model_version
    6: _BYTES,  # doc_string
    _GRAPH: _BYTES,
    _OPSET_IMPORT: _BYTES,
    14: _BYTES,  # metadata_props
    20: _BYTES,  # training_info
    25: _BYTES,  # functions
}


class OnnxScan:
    """Takes a file bit by bit, and holds no more of it than the head of one field."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._skip = 0  # bytes left of a field's content
        self._offset = 0  # of the head's first byte
        self._found: set[int] = set()
        self._fields = 0

    def feed(self, data: bytes | memoryview) -> None:
        """Takes the next bytes.

        Raises:
            Refused: `bad_payload`: it is no ONNX model.
        """
        at = 0
        while at < len(data):
            if self._skip:
                step = min(self._skip, len(data) - at)
                self._skip -= step
                self._offset += step
                at += step
                continue
            self._head.append(data[at])
            at += 1
            self._look_at_head()

    def finish(self) -> None:
        """The file ends here.

        Raises:
            Refused: `bad_payload`: it is cut off, or lacks what every model has.
        """
        if self._head or self._skip:
            raise _refused(f"it is cut off: {self._skip or 'some'} bytes are missing", self._offset)
        for number, name in ((_IR_VERSION, "ir_version"), (_GRAPH, "graph"), (_OPSET_IMPORT, "opset_import")):
            if number not in self._found:
                raise _refused(f"it has no {name}", self._offset)

    def _look_at_head(self) -> None:
        """Takes the head on once it is whole."""
        tag = _varint(self._head, 0, self._offset)
        if tag is None:
            return
        number, wire_type = tag[0] >> 3, tag[0] & 7
        if number == 0 or _WIRE_TYPES.get(number, wire_type) != wire_type:
            raise _refused(f"field {number} of wire type {wire_type} is none of a model's", self._offset)
        match wire_type:
            case 0 | 2:
                value = _varint(self._head, tag[1], self._offset)
                if value is None:
                    return
                self._check(number, value[0])
                content = value[0] if wire_type == _BYTES else 0
            case 1:
                content = 8
            case 5:
                content = 4
            case _:
                raise _refused(f"wire type {wire_type} is none of protobuf's", self._offset)
        self._offset += len(self._head)
        self._head.clear()
        self._skip = content
        self._found.add(number)
        self._fields += 1
        if self._fields > MAX_FIELDS:
            raise _refused(f"it has more than {MAX_FIELDS} fields", self._offset)

    def _check(self, number: int, value: int) -> None:
        if number == _IR_VERSION and not 1 <= value <= _MAX_IR_VERSION:
            raise _refused(f"ir_version {value} is none", self._offset)
        if number == _GRAPH and value == 0:
            raise _refused("its graph is empty", self._offset)


def _varint(data: bytearray, start: int, offset: int) -> tuple[int, int] | None:
    """A number, and where it ends; None when its end has not come yet."""
    value = 0
    for i in range(start, len(data)):
        value |= (data[i] & 0x7F) << (7 * (i - start))
        if not data[i] & 0x80:
            return value, i + 1
        if i - start + 1 >= _MAX_VARINT:
            raise _refused("a number of it is too long", offset)
    return None


def _refused(why: str, offset: int) -> Refused:
    return Refused("bad_payload", f"this is no ONNX model: {why}", offset=offset)
