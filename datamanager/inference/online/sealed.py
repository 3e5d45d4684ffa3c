"""River's models as bytes. They are pickles: whoever may write them may run code where they are read.

So they are read from checkpoints alone whose signature was verified (`worker.analytics.checkpoints`), and by a reader that
knows the classes that such models are made of and makes nothing else.
"""

import io
import pickle
from typing import Any

from datamanager.errors import DatamanagerError

__all__ = ["dump_models", "load_models"]

_MODULES = ("river.", "numpy.core.", "numpy._core.", "numpy.random.")
_NAMES = {
    ("builtins", "set"),
    ("builtins", "frozenset"),
    ("builtins", "slice"),
    ("builtins", "range"),
    ("builtins", "complex"),
    ("builtins", "object"),
    ("builtins", "dict"),
    ("builtins", "float"),
    ("builtins", "int"),
    ("builtins", "list"),
    ("builtins", "tuple"),
    ("builtins", "str"),
    ("builtins", "bool"),
    ("collections", "OrderedDict"),
    ("collections", "defaultdict"),
    ("collections", "Counter"),
    ("collections", "deque"),
    ("functools", "partial"),
    ("copy", "deepcopy"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("random", "Random"),
}


def dump_models(models: Any) -> bytes:
    """A river model, or a dict of such."""
    return pickle.dumps(models, protocol=5)


def load_models(data: bytes) -> Any:
    """What `dump_models` was given.

    Raises:
        DatamanagerError: it is something else.
    """
    try:
        return _Reader(io.BytesIO(data)).load()
    except DatamanagerError:
        raise
    except Exception as exc:  # a pickle's reader raises whatever what it makes raises
        raise DatamanagerError(f"these are no models: {exc}") from exc


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("builtins", "getattr"):
            return _method
        is_known = (module, name) in _NAMES or module.startswith(_MODULES)
        if not is_known or "__" in name:
            raise DatamanagerError(f"no model is made of {module}.{name}")
        return super().find_class(module, name)


def _method(model: Any, name: str) -> Any:
    """A method of a model, as trees keep one of their own."""
    if not type(model).__module__.startswith("river.") or "__" in name:
        raise DatamanagerError(f"no model is made of {name} of {type(model).__name__}")
    return getattr(model, name)
