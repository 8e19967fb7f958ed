"""A module that stands in for CuPy where there is none: NumPy behind CuPy's rules (of 14.x).

It has what the backend and the kernels of the table of ops ask of CuPy, and refuses what CuPy refuses: outputs by place
where CuPy takes them by name, outputs of another shape, arrays of the host among those of a device, arrays of another
device than the current one, implicit conversions. `test_cupy.REFUSED` is tried on both. Kernels in CUDA C++ run on the
CPU (`cuda/emulator.py`). What CuPy has not: `launches` counts kernels by name as they run, `asked` what the host asked
for to that end, `record` keeps launches for a sanitizer.
"""

from __future__ import annotations

import ctypes
import re
import warnings
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from tests.support.cuda import emulator
from tests.support.streams import CUDARuntimeError, Event, Place, Stream, Streams, pinned

UFUNCS = (  # noqa: SIM905  # a list of names reads better as one text
    "add subtract multiply divide power mod maximum minimum negative absolute sign floor exp log sqrt "
    "square reciprocal sin cos tanh logaddexp less less_equal greater greater_equal equal not_equal isfinite "
    "logical_and logical_or logical_not bitwise_xor right_shift floor_divide"
).split()
BLOCK = 512
"""CuPy's pool rounds up to so many bytes."""
ATTRIBUTES = {
    "MultiProcessorCount": 132,
    "WarpSize": 32,
    "MaxThreadsPerBlock": 1024,
    "MaxThreadsPerMultiProcessor": 2048,
    "MaxBlocksPerMultiprocessor": 32,
    "MaxRegistersPerBlock": 65536,
    "MaxRegistersPerMultiprocessor": 65536,
    "MaxSharedMemoryPerBlock": 48 << 10,
    "MaxSharedMemoryPerBlockOptin": 227 << 10,
    "MaxSharedMemoryPerMultiprocessor": 228 << 10,
    "ReservedSharedMemoryPerBlock": 1 << 10,
    "L2CacheSize": 50 << 20,
    "CooperativeLaunch": 1,
    "LargestCluster": 16,  # not CUDA's: so many neighbouring processors are free
}
"""Of the devices: an H100."""


class Gpus:
    """The devices: which is current, the bytes handed out on each, the kernels that were launched."""

    def __init__(self, count: int = 2, **attributes: int) -> None:
        self.now, self.taken, self.attributes = 0, [0] * count, ATTRIBUTES | attributes
        self.places: dict[int, int] = {}
        self.launches: Counter[str] = Counter()
        self.recorded: list[emulator.Launch] | None = None
        self.functions: list[RawKernel] = []
        self.streams = Streams()

    def array(self, host: Any) -> Array:
        """A new array on the current device."""
        self.streams.refuse_captured()
        size = -(-host.nbytes // BLOCK) * BLOCK
        self.taken[self.now] += size
        self.places[host.ctypes.data] = host.nbytes
        weakref.finalize(host, self.free, self.now, size, host.ctypes.data)
        return Array(self, host, self.now)

    def free(self, device: int, size: int, address: int) -> None:
        self.taken[device] -= size
        self.places.pop(address, None)

    def memory(self, number: Any) -> Any:
        """Where a number is an address: the bytes from there to the end of the array that was handed out."""
        for start, bytes in self.places.items():
            if start <= number < start + bytes:
                return np.ctypeslib.as_array((ctypes.c_ubyte * (start + bytes - int(number))).from_address(int(number)))
        return number

    def host(self, value: Any) -> Any:
        """What is read now: an array of the current device, or a number."""
        found = self.told(value)
        if isinstance(value, Array):
            self.streams.refuse_captured()
            self.streams.touch(found)
        return found

    def told(self, value: Any) -> Any:
        """What a kernel is told: an array of the current device, or a number."""
        if isinstance(value, Array):
            if value.gpu != self.now:
                raise ValueError(f"the array is on device {value.gpu}, the current one is {self.now}")
            return value.data_
        if not isinstance(value, int | float | np.generic):
            raise TypeError(f"Unsupported type {type(value)}")
        return value


class Array:
    """An array on a device. It comes from the host by `set` or `asarray` and goes there by `get` alone."""

    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, gpus: Gpus, data: Any, gpu: int) -> None:
        self.gpus, self.data_, self.gpu = gpus, data, gpu

    def like(self, data: Any) -> Array:
        return Array(self.gpus, data, self.gpu)

    # --- across ---

    def __array__(self, *args: Any, **named: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **named: Any) -> Any:
        assert method == "__call__" and ufunc.__name__ in UFUNCS
        return function(self.gpus, ufunc)(*args, **named)

    @property
    def __cuda_array_interface__(self) -> Any:
        return {"array": self.data_}

    def get(self) -> Any:
        self.gpus.streams.refuse_captured()
        return np.array(self.data_, order="C")

    def set(self, array: Any) -> None:
        if type(array) is not np.ndarray:
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if array.dtype != self.dtype:
            raise TypeError(f"{array.dtype} array cannot be set to {self.dtype} array")
        if array.shape != self.shape:
            raise ValueError(f"Shape mismatch. Old shape: {self.shape}, new shape: {array.shape}")
        if not self.data_.flags.c_contiguous:
            raise RuntimeError("Cannot set to non-contiguous array")
        self.gpus.host(self)
        np.copyto(self.data_, array)

    # --- what it is ---

    shape = property(lambda self: self.data_.shape)
    strides = property(lambda self: self.data_.strides)
    dtype = property(lambda self: self.data_.dtype)
    size = property(lambda self: self.data_.size)
    ndim = property(lambda self: self.data_.ndim)
    nbytes = property(lambda self: self.data_.nbytes)
    flags = property(lambda self: self.data_.flags)
    device = property(lambda self: SimpleNamespace(id=self.gpu))
    data = property(lambda self: Place(self.gpus.streams, self.data_))

    def __len__(self) -> int:
        return len(self.data_)

    # --- arithmetic ---

    def __sub__(self, other: Any) -> Any:
        return function(self.gpus, np.subtract)(self, other)

    def __mul__(self, other: Any) -> Any:
        return function(self.gpus, np.multiply)(self, other)

    def __iadd__(self, other: Any) -> Any:
        return function(self.gpus, np.add)(self, other, out=self)

    # --- views ---

    T = property(lambda self: self.like(self.data_.T))

    def reshape(self, *shape: Any) -> Array:
        return self.like(self.data_.reshape(*shape))

    def ravel(self) -> Array:
        return self.like(self.data_.ravel())

    def copy(self) -> Array:
        return self.gpus.array(self.data_.copy())

    def transpose(self, *axes: Any) -> Array:
        return self.like(self.data_.transpose(*axes))

    def swapaxes(self, a: int, b: int) -> Array:
        return self.like(self.data_.swapaxes(a, b))

    def view(self, dtype: Any) -> Array:
        return self.like(self.data_.view(dtype))

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: Any) -> Array:
        return self.like(self.data_[self.index(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        self.data_[self.index(index)] = self.gpus.host(value)

    def index(self, index: Any) -> Any:
        """A place alone is an array of no dimensions; places from an array are read on the device, and wrap around."""
        if isinstance(index, Array):
            return self.gpus.host(index) % max(1, len(self.data_))
        entries = index if isinstance(index, tuple) else (index,)
        assert all(entry is None or entry is ... or isinstance(entry, int | slice) for entry in entries), index
        return entries if ... in entries else (*entries, ...)

    # --- numbers ---

    def fill(self, value: Any) -> None:
        self.gpus.host(self).fill(self.gpus.host(value))

    def whole(self, reduce: Any) -> Array:
        return self.like(np.asarray(reduce(self.gpus.host(self))))

    all, any, min, max, sum = (
        (lambda self, reduce=reduce: self.whole(reduce)) for reduce in (np.all, np.any, np.min, np.max, np.sum)
    )

    def __lt__(self, other: Any) -> Array:
        return self.like(self.data_ < self.gpus.host(other))

    def __ge__(self, other: Any) -> Array:
        return self.like(self.data_ >= self.gpus.host(other))

    def tolist(self) -> Any:
        return self.data_.tolist()

    def tobytes(self) -> bytes:
        return self.data_.tobytes()

    def __bool__(self) -> bool:
        self.gpus.streams.refuse_captured()
        return bool(self.data_)

    def __int__(self) -> int:
        return int(self.data_)


# --- functions ---------------------------------------------------------------------------------------------------


def written(gpus: Gpus, compute: Any, shape: tuple[int, ...], out: Any) -> Array:
    """The result of `compute`, which is given the output: that of the caller, or None for a new one."""
    if out is None:
        return gpus.array(np.asarray(compute(None)))
    if not isinstance(out, Array):
        raise TypeError(f"return arrays must be of CuPy, not {type(out)}")
    if out.shape != shape:
        raise ValueError("Out shape is mismatched")
    compute(gpus.host(out))
    return out


def function(gpus: Gpus, ufunc: Any) -> Any:
    """A ufunc: its output by place or by name."""

    def call(*args: Any, out: Any = None) -> Array:
        given = [gpus.host(a) for a in args[: ufunc.nin]]
        if len(args) > ufunc.nin:
            (out,) = args[ufunc.nin :]
        shape = np.broadcast_shapes(*(np.shape(a) for a in (*given, *[out] * (out is not None))))
        return written(gpus, lambda to: ufunc(*given, **({} if to is None else {"out": to})), shape, out)

    return call


def reduced(gpus: Gpus, reduce: Any) -> Any:
    def call(a: Array, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Array:
        result = np.asarray(reduce(gpus.host(a), axis=axis, keepdims=keepdims))
        return written(gpus, lambda to: result if to is None else np.copyto(to, result), result.shape, out)

    return call


def matmul(gpus: Gpus) -> Any:
    def call(a: Array, b: Array, /, *, out: Any = None) -> Array:
        result = np.matmul(gpus.host(a), gpus.host(b))
        return written(gpus, lambda to: result if to is None else np.copyto(to, result), result.shape, out)

    return call


def copyto(gpus: Gpus) -> Any:
    def call(dst: Array, src: Any, casting: Any = "same_kind", where: Any = None) -> None:
        mask = {} if where is None else {"where": gpus.host(where)}
        np.copyto(gpus.host(dst), gpus.host(src), casting, **mask)

    return call


def take(gpus: Gpus) -> Any:
    def call(a: Array, indices: Array, axis: Any = None, out: Any = None) -> Array:
        result = np.take(gpus.host(a), gpus.host(indices), axis, mode="wrap")
        if out is not None and out.dtype != a.dtype:
            raise TypeError("Output dtype mismatch")
        return written(gpus, lambda to: result if to is None else np.copyto(to, result), result.shape, out)

    return call


def asarray(gpus: Gpus) -> Any:
    def call(a: Any, dtype: Any = None) -> Array:
        if isinstance(a, Array) and a.gpu == gpus.now and dtype in (None, a.dtype):
            return a
        held = getattr(a, "__cuda_array_interface__", {}).get("array")  # of another library too
        return gpus.array(np.array(a if held is None else held, dtype))

    return call


def elementwise(gpus: Gpus) -> Any:
    """What the one kernel of the backend does, one thread for each column."""

    def kernel(ids: Array, rows: Array, count: int, width: int, height: int, out: Array, size: int) -> None:
        flat, places, given = out.data_.reshape(-1), gpus.host(ids), gpus.host(rows).reshape(-1)
        for i in range(size):
            for k in range(count):
                flat[min(max(places[k], 0), height - 1) * width + i] += given[k * width + i]

    return lambda *told: kernel


# --- kernels in CUDA C++ -----------------------------------------------------------------------------------------


class CUDADriverError(RuntimeError):
    pass


class CompileException(Exception):
    """Of `cupy.cuda.compiler`."""

    def __init__(self, message: str, source: str) -> None:
        super().__init__(message)
        self.source = source


class RawModule:
    """The kernels of a text: compiled when the first is asked for."""

    def __init__(
        self, gpus: Gpus, *, code: str, options: tuple[str, ...] = (), backend: str = "nvrtc",
        enable_cooperative_groups: bool = False,
    ) -> None:  # fmt: skip
        if not isinstance(code, str) or not isinstance(options, tuple) or backend != "nvrtc":
            raise TypeError("code has to be a str, options a tuple, backend nvrtc")
        self.gpus, self.code, self.options, self.cooperative = gpus, code, options, enable_cooperative_groups

    def compile(self, log_stream: Any = None) -> emulator.Module:
        try:
            return emulator.compiled(self.code, self.options)
        except (emulator.CompileError, ValueError) as error:
            raise CompileException(str(error), self.code) from error

    def get_function(self, name: str) -> RawKernel:
        if name not in self.compile().kernels:
            raise CUDADriverError("CUDA_ERROR_NOT_FOUND: named symbol not found")
        return RawKernel(self.gpus, self, name)


class RawKernel:
    """A kernel, with limits of its own."""

    const_size_bytes = local_size_bytes = 0

    def __init__(self, gpus: Gpus, module: RawModule, name: str) -> None:
        self.gpus, self.module, self.name = gpus, module, name
        self.dynamic, self.large_clusters = gpus.attributes["MaxSharedMemoryPerBlock"] - self.shared_size_bytes, 0
        self.kernel = SimpleNamespace(ptr=len(gpus.functions))
        gpus.functions.append(self)

    @property
    def max_threads_per_block(self) -> int:
        return self.module.compile().told(self.name, "launch_bounds", 1024)

    @property
    def num_regs(self) -> int:
        """As many as fit beside the threads that the text allows."""
        return min(255, self.gpus.attributes["MaxRegistersPerBlock"] // self.max_threads_per_block)

    @property
    def shared_size_bytes(self) -> int:
        """What the text takes by itself: tiles of sums, where there are some."""
        return 16 << 10 if re.search(r"\b(tensor_|column_)?sums<", self.module.code) else 0

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        return self.dynamic

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size: int) -> None:
        refuse(size + self.shared_size_bytes > self.gpus.attributes["MaxSharedMemoryPerBlockOptin"])
        self.dynamic = size

    @property
    def attributes(self) -> dict[str, int]:
        names = "max_threads_per_block num_regs local_size_bytes shared_size_bytes const_size_bytes"
        return {name: getattr(self, name) for name in (*names.split(), "max_dynamic_shared_size_bytes")}

    def compile(self, log_stream: Any = None) -> None:
        self.module.compile()

    def __call__(
        self, grid: tuple[int, ...], block: tuple[int, ...], args: Any, *, shared_mem: int = 0, stream: Any = None
    ) -> None:
        if not isinstance(grid, tuple) or not isinstance(block, tuple):
            raise TypeError("grid and block have to be tuples")
        assert stream is None or isinstance(stream.ptr, int)
        grid, block = (tuple(max(1, int(size)) for size in (*given, 1, 1)[:3]) for given in (grid, block))
        threads, cluster = int(np.prod(block)), self.module.compile().told(self.name, "cluster_dims", 1)
        refuse(threads > self.max_threads_per_block or shared_mem > self.dynamic or max(grid[1:]) > 65535)
        refuse(grid[0] % cluster != 0 or cluster > (16 if self.large_clusters else 8))
        refuse(cluster > self.gpus.attributes["LargestCluster"])
        if self.module.cooperative:
            most = blocks_at_once(self.gpus, threads, shared_mem) * self.gpus.attributes["MultiProcessorCount"]
            grid = self.together(grid, most)
        given = [kernel_argument(self.gpus, value) for value in args]
        self.gpus.streams.ask(lambda: self.run(grid, block, given, shared_mem))

    def run(self, grid: tuple[int, ...], block: tuple[int, ...], given: list[Any], shared: int) -> None:
        self.gpus.launches[self.name] += 1
        for array in given:
            if isinstance(array, np.ndarray):
                self.gpus.streams.touch(array)
        told = self.name, grid, block, given, shared, self.module.cooperative
        if self.gpus.recorded is not None:
            seen = [self.gpus.memory(value) if isinstance(value, int | np.integer) else value for value in given]
            self.gpus.recorded.append(emulator.Launch.of(self.module.compile(), *told[:3], seen, *told[4:]))
        self.module.compile().launch(*told)

    def together(self, grid: tuple[int, ...], most: int) -> tuple[int, ...]:
        if np.prod(grid) <= most:
            return grid
        if max(grid[1:]) > 1:
            raise ValueError(f"The specified grid size {grid} exceeds the limit ({most}).")
        warnings.warn(f"The grid size will be reduced from {grid[0]} to {most}.", stacklevel=3)
        return (most, 1, 1)


def refuse(wrong: bool) -> None:
    if wrong:
        raise CUDADriverError("CUDA_ERROR_INVALID_VALUE: invalid argument")


def blocks_at_once(gpus: Gpus, threads: int, shared: int) -> int:
    """On a multiprocessor, whatever registers there are."""
    of = gpus.attributes
    each = shared + of["ReservedSharedMemoryPerBlock"]
    room = of["MaxSharedMemoryPerMultiprocessor"] // each, of["MaxThreadsPerMultiProcessor"] // threads
    return min(*room, of["MaxBlocksPerMultiprocessor"])


def kernel_argument(gpus: Gpus, value: Any) -> Any:
    if isinstance(value, np.ndarray):
        if value.size != 1:
            raise TypeError(f"You are trying to pass a numpy.ndarray of shape {value.shape} as a kernel parameter.")
        return value.reshape(())[()]
    if isinstance(value, Place):
        return np.uint64(value.ptr)
    return gpus.told(value) if isinstance(value, Array) else value


class Driver:
    """Of `cupy.cuda`."""

    CUDADriverError = CUDADriverError

    def __init__(self, gpus: Gpus) -> None:
        self.gpus = gpus

    def funcSetAttribute(self, function: int, attribute: int, value: int) -> None:
        kernel = self.gpus.functions[function]
        if attribute == 8:
            kernel.max_dynamic_shared_size_bytes = value
        else:
            refuse(attribute != 14)  # CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED
            kernel.large_clusters = value

    def occupancyMaxActiveBlocksPerMultiprocessor(self, function: int, threads: int, shared: int) -> int:
        return blocks_at_once(self.gpus, threads, shared) if shared <= self.gpus.functions[function].dynamic else 0


def memset_async(gpus: Gpus) -> Any:
    def call(ptr: int, value: int, size: int, stream: int) -> None:
        if not any(start <= ptr and ptr + size <= start + bytes for start, bytes in gpus.places.items()):
            raise RuntimeError("cudaErrorInvalidValue: invalid argument")
        assert stream == gpus.streams.current.ptr
        gpus.streams.ask(lambda: ctypes.memset(ptr, value, size))

    return call


def record(gpus: Gpus) -> Any:
    @contextmanager
    def call() -> Iterator[list[emulator.Launch]]:
        """The launches within, in a list."""
        gpus.recorded = []
        yield gpus.recorded
        gpus.recorded = None

    return call


def counted(gpus: Gpus, name: str, function: Any) -> Any:
    def call(*args: Any, **named: Any) -> Any:
        gpus.launches[name] += 1
        return function(*args, **named)

    return call


LAUNCHING = (*UFUNCS, *"matmul copyto take sum amax any argmax cumsum clip zeros arange einsum".split())  # noqa: SIM905


class Device:
    """Of `cupy.cuda`: the current device, or the one named; within it, it is the current one."""

    compute_capability, cublas_handle = "90", 1
    attributes = property(lambda self: self.gpus.attributes)

    def __init__(self, gpus: Gpus, id: int | None = None) -> None:
        self.gpus, self.id = gpus, gpus.now if id is None else id

    def use(self) -> None:
        self.gpus.now = self.id

    def __enter__(self) -> None:
        self.before, self.gpus.now = self.gpus.now, self.id

    def __exit__(self, *told: Any) -> None:
        self.gpus.now = self.before


def cupy(**attributes: int) -> Any:
    """The module, with two devices of its own, as those of an H100 but for the attributes told."""
    gpus, made = Gpus(**attributes), ModuleType("cupy")
    found: Any = made
    for name in UFUNCS:
        setattr(found, name, function(gpus, getattr(np, name)))
    found.__version__, found.ndarray, found.uint64, found.int64 = "14.2.0", Array, np.uint64, np.int64
    found.matmul, found.copyto, found.take, found.asarray = matmul(gpus), copyto(gpus), take(gpus), asarray(gpus)
    found.array = lambda a, dtype=None: gpus.array(np.array(a.data_ if isinstance(a, Array) else a, dtype))
    found.sum, found.amax, found.any = (reduced(gpus, f) for f in (np.sum, np.amax, np.any))
    found.argmax = reduced(gpus, np.argmax)
    found.cumsum = lambda a, axis=None, dtype=None, out=None: written(
        gpus, lambda to: np.cumsum(gpus.host(a), axis, dtype, to), a.shape, out
    )
    found.clip = lambda a, a_min, a_max, out=None: written(
        gpus, lambda to: np.clip(gpus.host(a), a_min, a_max, to), a.shape, out
    )
    found.empty = lambda shape, dtype=float: gpus.array(np.empty(shape, dtype))
    found.zeros = lambda shape, dtype=float: gpus.array(np.zeros(shape, dtype))
    found.arange = lambda *told, dtype=None: gpus.array(np.arange(*told, dtype=dtype))
    found.broadcast_to = lambda array, shape: array.like(np.broadcast_to(array.data_, shape))
    found.einsum = lambda text, *arrays: gpus.array(np.asarray(np.einsum(text, *(gpus.host(a) for a in arrays))))
    found.ascontiguousarray = lambda a: gpus.array(np.array(gpus.host(a), order="C"))
    found.ElementwiseKernel = elementwise(gpus)
    found.RawModule = lambda **told: RawModule(gpus, **told)
    found.launches, found.record, found.asked = gpus.launches, record(gpus), lambda: gpus.streams.asked
    for name in LAUNCHING:
        setattr(found, name, counted(gpus, name, getattr(found, name)))
    found.get_default_memory_pool = lambda: SimpleNamespace(
        free_bytes=lambda: 0, used_bytes=lambda: gpus.taken[gpus.now]
    )
    found.cuda = SimpleNamespace(
        Device=lambda id=None: Device(gpus, id),
        runtime=SimpleNamespace(
            memGetInfo=lambda: (10**12, 10**12),
            getDeviceProperties=lambda id: {"name": b"a stand-in"},
            getDeviceCount=lambda: 2,
            memsetAsync=memset_async(gpus),
            CUDARuntimeError=CUDARuntimeError,
        ),
        driver=Driver(gpus),
        compiler=SimpleNamespace(CompileException=CompileException),
        nvrtc=SimpleNamespace(getVersion=lambda: (13, 0)),
        get_current_stream=lambda: gpus.streams.current,
        Stream=lambda **told: Stream(gpus.streams, **told),
        Event=lambda **told: Event(gpus.streams, **told),
        PinnedMemory=pinned(gpus.streams),
        memory=SimpleNamespace(OutOfMemoryError=MemoryError),
    )
    return found
