"""A tensor as a `.npy` file: the header that goes before its bytes, which are the same.

Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html, version 1.0, and 2.0 where that is too small.
"""

import struct

from datamanager.errors import Refused
from datamanager.kinds.safetensors.dtypes import NUMPY_DTYPES
from datamanager.kinds.safetensors.header import Tensor

__all__ = ["npy_header"]

_ALIGNED = 64


def npy_header(tensor: Tensor) -> bytes:
    """What stands before a tensor's bytes in a `.npy` file.

    Raises:
        Refused: `wrong_type`: NumPy has no such type.
    """
    descr = NUMPY_DTYPES.get(tensor.dtype)
    if descr is None:
        raise Refused("wrong_type", f"NumPy has no type for {tensor.dtype}: ask for format=raw")
    shape = "".join(f"{size}, " for size in tensor.shape)
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}".encode()
    for version, packed, before in ((b"\x01\x00", "<H", 10), (b"\x02\x00", "<I", 12)):
        padded = text + b" " * (-(before + len(text) + 1) % _ALIGNED) + b"\n"
        if len(padded) < 2 ** (8 * struct.calcsize(packed)):
            return b"\x93NUMPY" + version + struct.pack(packed, len(padded)) + padded
    raise Refused("too_large", f"a shape of {len(tensor.shape)} dimensions does not fit into a .npy file")
