"""Pickles read as data: their instructions are followed, and nothing that they name is called.

A pickle is a program that calls whatever it names. Here a call becomes a `Call`, which says what
would have been called with what; who reads it checks the types before it computes with anything.
No instruction can alter this reader, and time and memory are in proportion to the pickle's length.
"""

import codecs
import io
import pickletools
from collections.abc import Callable, Iterator
from typing import Any

MOST_BYTES = 2**26
"""Of a pickle; those of weights and labels have a tenth of it at most."""
# Each makes an object of some hundred bytes at most beside what it reads.
_MOST_INSTRUCTIONS = 2**21
_LONGEST_SHOWN, _LONGEST_KEY = 40, 16
LONGEST_NAME = 2**12
"""Of a text that others are compared with, which two equal ones take as long for as they are."""


class UnpicklingError(ValueError):
    """A pickle that is broken, or that no writer of ours or of the field's packages writes."""


class RefusedNameError(UnpicklingError):
    """A pickle that names what values do not need; the message is the name."""


class Named:
    """A class or function that a pickle names."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class Call:
    """What a pickle would have made by a call.

    Attributes:
      name: Dotted, of what would have been called; "?" if it is itself the result of a call.
      args: Of the call.
      state: What the result would have been given afterwards; None if nothing.
    """

    __slots__ = ("args", "name", "state")

    def __init__(self, name: str, args: tuple[Any, ...]) -> None:
        self.name, self.args, self.state = name, args, None


def read(
    file: io.BytesIO,
    is_known: Callable[[str], bool],
    persistent: Callable[[Any], Any] = lambda _: None,
) -> Any:
    """Reads the pickle at a file's position, of any protocol; texts of Python 2 are Latin-1.

    Args:
      file: Left behind the pickle.
      is_known: Whether a dotted name may be in it, in the spelling of Python 3 and NumPy 1.
      persistent: Returns what a persistent id, of any type, stands for.

    Returns:
      Plain values and containers of them, in which every other object is a `Call` or a `Named`.

    Raises:
      UnpicklingError: If it is broken or far too long.
      RefusedNameError: If it names what is not known.
    """
    try:
        return _Reader(is_known, persistent).run(file)
    except UnpicklingError:
        raise
    except (ValueError, TypeError, LookupError, OverflowError) as error:
        raise UnpicklingError(shown(str(error)) if str(error) else type(error).__name__) from error


def shown(value: Any) -> str:
    """Returns a value of a pickle as messages show it, never of more than some words."""
    if isinstance(value, str | bytes):
        return repr(value[:_LONGEST_SHOWN]) + "..." * (len(value) > _LONGEST_SHOWN)
    if isinstance(value, int) and value.bit_length() > 64:
        return "a huge number"
    if isinstance(value, int | float | None):
        return repr(value)
    if isinstance(value, tuple) and len(value) <= _LONGEST_KEY:
        inner = (type(x).__name__ if isinstance(x, tuple) else shown(x) for x in value)
        return f"({', '.join(inner)})"
    return f"a {type(value).__name__}"


def _instructions(file: io.BytesIO) -> Iterator[tuple[str, Any]]:
    """Yields names and arguments; those of lengths that the file does not have are refused."""
    for _ in range(_MOST_INSTRUCTIONS):
        code = file.read(1)
        instruction = _BY_CODE.get(code.decode("latin1"))
        if instruction is None:
            raise UnpicklingError(f"{code!r} is no instruction" if code else "it has no end")
        argument = None
        if instruction.name == "STRING":  # of Python 2, in which any byte may be
            text = file.readline().strip()
            argument = codecs.escape_decode(text[1:-1])[0].decode("latin1")
        elif instruction.arg is not None:
            argument = instruction.arg.reader(file)
        yield instruction.name, argument
        if instruction.name == "STOP":
            return
    raise UnpicklingError(f"it has more than {_MOST_INSTRUCTIONS} instructions")


_BY_CODE = {instruction.code: instruction for instruction in pickletools.opcodes}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, Callable[[], Any]]
_EMPTY = {"EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_DICT": dict, "EMPTY_SET": set}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_VALUES = frozenset(
    (
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
        *("BYTEARRAY8", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    )
)


class _Reader:
    def __init__(self, is_known: Callable[[str], bool], persistent: Callable[[Any], Any]) -> None:
        self._is_known, self._persistent = is_known, persistent
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._copied = 0

    def run(self, file: io.BytesIO) -> Any:
        start = file.tell()
        for name, argument in _instructions(file):
            if name == "STOP":
                break
            self._follow(name, argument)
            # What is copied has been in the pickle once.
            if self._copied > file.tell() - start:
                raise UnpicklingError("it copies its values again and again")
        return self._stack.pop()

    def _follow(self, name: str, argument: Any) -> None:
        stack = self._stack
        if name in _VALUES:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self._memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(self._memo[argument])
        elif name == "MARK":
            self._marks.append(len(stack))
        elif name == "POP" and self._marks[-1:] != [len(stack)]:
            stack.pop()
        elif name in ("POP", "POP_MARK"):
            self._marked()
        elif name == "DUP":
            stack.append(stack[-1])
        elif name not in ("PROTO", "FRAME") and not self._contain(name):
            self._call(name, argument)

    def _contain(self, name: str) -> bool:
        """Follows what makes or fills containers; returns whether it was such an instruction."""
        stack = self._stack
        if name == "TUPLE":
            stack.append(tuple(self._marked()))
        elif name in _TUPLES:
            stack.append(tuple(self._popped(_TUPLES[name])))
        elif name == "LIST":
            stack.append(self._marked())
        elif name == "FROZENSET":
            stack.append(frozenset(map(_key, self._marked())))
        elif name == "DICT":
            values = self._marked()
            stack.append({})
            self._fill(values)
        elif name in ("APPEND", "SETITEM"):
            self._fill(self._popped(1 if name == "APPEND" else 2))
        elif name in ("APPENDS", "SETITEMS", "ADDITEMS"):
            self._fill(self._marked())
        else:
            return False
        return True

    def _call(self, name: str, argument: Any) -> None:
        stack = self._stack
        if name in ("GLOBAL", "INST"):
            function = self._named(*argument.split(" ", 1))
            stack.append(
                self._made(function, tuple(self._marked())) if name == "INST" else function
            )
        elif name == "STACK_GLOBAL":
            stack.append(self._named(*self._popped(2)))
        elif name in ("REDUCE", "NEWOBJ"):
            stack.append(self._made(*self._popped(2)))
        elif name == "NEWOBJ_EX":
            stack.append(self._made(*self._popped(3)[:2]))
        elif name == "OBJ":
            function, *args = self._marked()
            stack.append(self._made(function, tuple(args)))
        elif name == "BUILD":
            state = stack.pop()
            if isinstance(stack[-1], Call):
                stack[-1].state = state
        elif name in ("PERSID", "BINPERSID"):
            stack.append(self._persistent(argument if name == "PERSID" else stack.pop()))
        else:
            raise UnpicklingError(f"{name} is an instruction that no file has a use for")

    def _popped(self, count: int) -> list[Any]:
        if len(self._stack) < count:
            raise UnpicklingError("it takes more values than it has")
        values = self._stack[-count:]
        del self._stack[-count:]
        return values

    def _marked(self) -> list[Any]:
        start = self._marks.pop()
        values = self._stack[start:]
        del self._stack[start:]
        return values

    def _fill(self, values: list[Any]) -> None:
        """Puts values into the container on top; those of a `Call` are nobody's concern."""
        target = self._stack[-1]
        if isinstance(target, list):
            target.extend(values)
        elif isinstance(target, set):
            target.update(map(_key, values))
        elif isinstance(target, dict):
            target.update(zip(map(_key, values[::2]), values[1::2], strict=True))

    def _named(self, module: Any, name: Any) -> Named:
        if not all(isinstance(x, str) and len(x) <= LONGEST_NAME for x in (module, name)):
            raise UnpicklingError("it names something by no text, or by an endless one")
        module = _PYTHON_2.get(module, module).replace("numpy._core", "numpy.core")
        full = f"{module}.{name}"
        if full not in _PLAIN and not self._is_known(full):
            raise RefusedNameError(full[:100])
        return Named(full)

    def _made(self, function: Any, args: Any) -> Any:
        """Returns a plain value or a container, whose calls are known, else a `Call`."""
        name = function.name if isinstance(function, Named) else "?"
        args = args if isinstance(args, tuple) else ()
        if name not in _PLAIN:
            return Call(name, args)
        kinds, make = _PLAIN[name]
        if args and not isinstance(args[0], kinds):
            raise UnpicklingError(f"{name} of {shown(args[0])}")
        self._copied += len(args[0]) if args and not isinstance(args[0], float) else 0
        return make(*args)


def _key(value: Any) -> Any:
    """Returns a value to find others by, or one like no other if that could take long."""
    flat = isinstance(value, tuple) and len(value) <= _LONGEST_KEY
    quick = all(
        isinstance(part, float | Call | Named | None)
        or (isinstance(part, str | bytes) and len(part) <= LONGEST_NAME)
        or (isinstance(part, int) and part.bit_length() <= 64)
        for part in (value if flat else (value,))
    )
    return value if quick else Call("?", ())


def _as_bytes(text: str | bytes = b"", *_: Any) -> bytes:
    return text.encode("latin1") if isinstance(text, str) else bytes(text)


def _as_dict(pairs: Any = (), *_: Any) -> dict[Any, Any]:
    return {_key(key): value for key, value in pairs}


def _as_set(values: Any = (), *_: Any) -> set[Any]:
    return set(map(_key, values))


_PYTHON_2 = {"__builtin__": "builtins", "copy_reg": "copyreg"}
# What plain values and containers are made by, of first arguments of these types alone.
_PLAIN: dict[str, tuple[Any, Callable[..., Any]]] = {
    "_codecs.encode": (str, _as_bytes),
    "builtins.bytes": (bytes, _as_bytes),
    "builtins.bytearray": (str | bytes | bytearray, _as_bytes),
    "builtins.complex": (float, complex),
    "builtins.set": (list | tuple | set | frozenset, _as_set),
    "builtins.frozenset": (list | tuple | set | frozenset, _as_set),
    "collections.OrderedDict": (list | tuple, _as_dict),
}
