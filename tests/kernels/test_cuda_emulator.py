"""The tools that show kernels in CUDA C++ right without a device: what they run, and that they find what is planted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.support import stand_in
from tests.support.cuda import assembler, emulator
from tests.support.cuda.emulator import Fault, compiled, sanitized

pytestmark = pytest.mark.skipif(not emulator.AVAILABLE, reason="there is no g++")

TEXT = r"""
#ifdef CUDA_EMULATED
#define SHARED dynamic_shared()
#else
extern __shared__ __align__(16) unsigned char dynamic[];
#define SHARED dynamic
__device__ void arrive_release(unsigned* count) {
  asm volatile("red.release.gpu.global.add.u32 [%0], 1;" :: "l"(count) : "memory");
}
__device__ unsigned load_acquire(const unsigned* p) {
  unsigned value;
  asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(value) : "l"(p) : "memory");
  return value;
}
#endif
constexpr unsigned ALL = 0xffffffffu;

template <int N> __device__ __forceinline__ float sum_of_warp(float x) {
  for (int lanes = N / 2; lanes; lanes /= 2) x += __shfl_xor_sync(ALL, x, lanes);
  return x;
}
static __device__ float sum_of_block(float x, bool wait = true) {
  __shared__ float parts[THREADS / 32];
  x = sum_of_warp<32>(x);
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
  if (wait) __syncthreads();
  float all = 0;
  for (int w = 0; w < THREADS / 32; w++) all += parts[w];
  return all;
}
extern "C" __global__ void __launch_bounds__(THREADS, 1) sum(const float* __restrict__ x, float* out, int n) {
  float own = 0;
  for (int i = blockIdx.x * THREADS + threadIdx.x; i < n; i += gridDim.x * THREADS) own += __ldg(x + i);
  own = sum_of_block(own);
  if (threadIdx.x == 0) out[blockIdx.x] = own;
}
extern "C" __global__ void sum_without_barrier(const float* x, float* out) {
  float all = sum_of_block(x[threadIdx.x], false);
  if (threadIdx.x == 0) *out = all;
}

extern "C" __global__ void lanes(const float* x, double* out, long long* whole) {
  int i = threadIdx.x;
  double d = x[i];
  out[i] = __shfl_down_sync(ALL, d, 1) * 1e6 + __shfl_up_sync(ALL, d, 1) * 1e3 + __shfl_sync(ALL, d, i / 8 * 8);
  whole[i] = __shfl_xor_sync(ALL, (1ll << 40) + i, 3);
  whole[32 + i] = __all_sync(ALL, i < 32) + 2 * __all_sync(ALL, i < 31) + 4 * __any_sync(ALL, i == 7) +
                  8 * __syncthreads_and(i < 31) + 16 * __syncthreads_or(i == 31);
}
extern "C" __global__ void numbers(const float* x, float* out, const unsigned* bits, unsigned long long* high) {
  out[0] = fmaf(x[0], x[1], x[2]);
  out[1] = __int_as_float(__float_as_int(x[0]) + 1);
  out[2] = rsqrtf(x[1]);
  float4 v = *(const float4*)x, w = make_float4(v.w, v.z, v.y, v.x);
  *(float4*)(out + 4) = w;
  out[3] = max(min(int(x[1]), 7), -1) + fminf(x[0], x[1]) + tanhf(x[2]);
  high[0] = __umulhi(bits[0], bits[1]);
  high[1] = __umul64hi(~0ull, bits[0]);
}
extern "C" __global__ void plane(int* out) {
  out[(blockIdx.y * gridDim.x + blockIdx.x) * blockDim.x * blockDim.y + threadIdx.y * blockDim.x + threadIdx.x] =
      1000 * blockIdx.y + 100 * blockIdx.x + 10 * threadIdx.y + threadIdx.x;
}
extern "C" __global__ void fresh(float* out) { out[threadIdx.x] = ((float*)SHARED)[threadIdx.x]; }

// Each step, a block adds one to what its neighbour wrote in the step before.
template <bool releases, bool acquires> __device__ void together(unsigned* count) {
  __syncthreads();
  if (threadIdx.x == 0) {
    unsigned wanted = (load_acquire(count) / gridDim.x + 1) * gridDim.x;
    if (releases) arrive_release(count);
    else atomicAdd(count, 1u);
    while ((acquires ? load_acquire(count) : atomicAdd(count, 0u)) < wanted) {}
  }
  __syncthreads();
}
template <bool releases, bool acquires> __device__ void pass_on(float* x, unsigned* counts, int steps) {
  for (int t = 1; t <= steps; t++) {
    float given = __ldcg(x + (t - 1) * gridDim.x + (blockIdx.x + 1) % gridDim.x);
    if (threadIdx.x == 0) x[t * gridDim.x + blockIdx.x] = given + 1;
    together<releases, acquires>(counts + t);
  }
}
extern "C" __global__ void neighbours(float* x, unsigned* n, int steps) { pass_on<true, true>(x, n, steps); }
extern "C" __global__ void without_release(float* x, unsigned* n, int steps) { pass_on<false, true>(x, n, steps); }
extern "C" __global__ void without_acquire(float* x, unsigned* n, int steps) { pass_on<true, false>(x, n, steps); }

extern "C" __global__ void part_of_block(int* out) {
  if (threadIdx.x < 40) __syncthreads();  // the others have returned
  out[0] = 1;
}
extern "C" __global__ void two_barriers(int* out) {
  if (threadIdx.x < 32)
    __syncthreads();  // first
  else
    __syncthreads();  // second
}
extern "C" __global__ void shuffle_in_branch(float* x) {
  if (threadIdx.x < 8) x[threadIdx.x] = sum_of_warp<32>(x[threadIdx.x]);
}
extern "C" __global__ void behind_shared(int* out) {
  __shared__ int few[8];
  few[threadIdx.x] = 1;
  out[0] = few[0];
}
extern "C" __global__ void copy(const float* x, float* out) {
  int i = blockIdx.x * 32 + threadIdx.x;
  out[i] = x[i];
}
extern "C" __global__ void behind(float* x, int n) { x[threadIdx.x + n] = 1; }
"""
OPTIONS = ("-std=c++17", "-DTHREADS=64")

CLUSTER = r"""
extern "C" __global__ void __cluster_dims__(4, 1, 1) around(int* out) {
  int* mine = (int*)dynamic_shared();
  if (threadIdx.x == 0) *mine = 10 * cluster_rank() + blockIdx.x / 4;
  cluster_barrier();
  out[blockIdx.x * blockDim.x + threadIdx.x] = *shared_of(mine, (cluster_rank() + 1) % 4);
  cluster_barrier();
}
// Each block sends its rank to all. They meet when all have begun, when all have sent, and before any ends.
template <bool begun, bool sent, int more> __device__ void send(int* out) {
  int* mine = (int*)dynamic_shared();
  if (begun) cluster_barrier();
  if (threadIdx.x == 0)
    for (unsigned i = 0; i < 4; i++)
      store_to((cluster_rank() + i) % 4 + more, mine + cluster_rank(), int(cluster_rank()));
  if (sent) cluster_barrier();
  out[blockIdx.x * blockDim.x + threadIdx.x] = mine[0] + mine[1] + mine[2] + mine[3];
  cluster_barrier();
}
extern "C" __global__ void __cluster_dims__(4, 1, 1) sends(int* out) { send<true, true, 0>(out); }
extern "C" __global__ void __cluster_dims__(4, 1, 1) sends_at_once(int* out) { send<false, true, 0>(out); }
extern "C" __global__ void __cluster_dims__(4, 1, 1) sends_too_late(int* out) { send<true, false, 0>(out); }
extern "C" __global__ void __cluster_dims__(4, 1, 1) sends_elsewhere(int* out) { send<true, true, 1>(out); }
extern "C" __global__ void __cluster_dims__(4, 1, 1) leaves_early(int* out) {
  int* mine = (int*)dynamic_shared();
  if (threadIdx.x == 0) *mine = 10 * cluster_rank();
  cluster_barrier();
  if (cluster_rank() == 3) out[0] = *shared_of(mine, 0);
}
"""


def launch(name: str, *told: Any, **named: Any) -> None:
    compiled(TEXT, OPTIONS).launch(name, *told, **named)


def zeros(*shape: int, dtype: str = "float32") -> np.ndarray:
    return np.zeros(shape, dtype)


# --- what it runs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_sum_over_shuffles_and_shared_memory(seed: int) -> None:
    x, out = np.arange(1000, dtype="float32"), zeros(3)
    launch("sum", 3, 64, (x, out, np.int32(1000)), seed=seed)
    padded = np.pad(x, (0, 1152 - 1000)).reshape(6, 3, 64)
    assert out.tolist() == padded.sum(axis=(0, 2)).tolist()


def test_lanes_read_each_other_and_vote() -> None:
    i, x = np.arange(32), np.arange(32, dtype="float32")
    out, whole = zeros(32, dtype="float64"), zeros(64, dtype="int64")
    launch("lanes", 1, 32, (x, out, whole))
    assert out.tolist() == (np.minimum(i + 1, 31) * 1e6 + np.maximum(i - 1, 0) * 1e3 + i // 8 * 8).tolist()
    assert whole[:32].tolist() == ((1 << 40) + (i ^ 3)).tolist()
    assert set(whole[32:].tolist()) == {1 + 4 + 16}


def test_numbers_are_those_of_cuda() -> None:
    x, out = np.array([1.5, 4, -2, 8], "float32"), zeros(8)
    bits, high = np.array([0x80000001, 0xFFFFFFFF], "uint32"), zeros(2, dtype="uint64")
    launch("numbers", 1, 1, (x, out, bits, high))
    right = [4.0, np.nextafter(np.float32(1.5), np.float32(2)), 0.5, 4 + 1.5 + np.tanh(np.float32(-2)), 8, -2, 4, 1.5]
    assert out == pytest.approx(right, rel=1e-6) and out[1] == right[1]
    assert high.tolist() == [0x80000001 * 0xFFFFFFFF >> 32, (2**64 - 1) * 0x80000001 >> 64]


def test_blocks_and_threads_lie_in_a_plane() -> None:
    out = zeros(2, 3, 2, 4, dtype="int32")
    launch("plane", (3, 2), (4, 2), (out,))
    by, bx, ty, tx = np.indices(out.shape)
    assert (out == 1000 * by + 100 * bx + 10 * ty + tx).all()


def test_shared_memory_begins_as_nan() -> None:
    out = zeros(8)
    launch("fresh", 1, 8, (out,), shared=32)
    assert np.isnan(out).all()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_blocks_wait_for_each_other_in_a_cooperative_launch(seed: int) -> None:
    x, counts = zeros(6, 5), zeros(6, dtype="uint32")
    x[0] = np.arange(5) * 10
    launch("neighbours", 5, 64, (x, counts, np.int32(5)), cooperative=True, seed=seed)
    assert x[5].tolist() == [5, 15, 25, 35, 45] and x[1].tolist() == [11, 21, 31, 41, 1]


@pytest.mark.parametrize("seed", [0, 1])
def test_a_cluster_reads_the_shared_memory_of_its_blocks(seed: int) -> None:
    out = zeros(8, 2, dtype="int32")
    compiled(CLUSTER).launch("around", 8, 2, (out,), shared=4, seed=seed)
    assert out.tolist() == [[r + c, r + c] for c in (0, 1) for r in (10, 20, 30, 0)]


# --- what it finds -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "threads", "said"),
    [
        ("part_of_block", 64, ["deadlock", "ended: 24 threads", "`if (threadIdx.x < 40) __sync", ": 40 threads"]),
        ("two_barriers", 64, ["different barriers", "// first`", "// second`"]),
        ("shuffle_in_branch", 32, ["deadlock", "__shfl_xor_sync()", ": 8 threads", "ended: 24 threads"]),
        ("behind_shared", 9, ["behind the end of an array in shared memory"]),
    ],
)
def test_what_a_kernel_must_not_do_is_told(name: str, threads: int, said: list[str]) -> None:
    with pytest.raises(Fault) as found:
        launch(name, 1, threads, (np.zeros(64, "float32" if "shuffle" in name else "int32"),))
    assert all(part in str(found.value) for part in said), found.value


def test_a_launch_whose_blocks_do_not_run_at_the_same_time_cannot_wait() -> None:
    for name, function in (("neighbours", "load_acquire"), ("without_acquire", "atomicAdd")):
        with pytest.raises(Fault, match=rf"deadlock\n.*\n.*wait in {function}\(\) at line \d+ `while"):
            launch(name, 5, 64, (zeros(2, 5), zeros(2, dtype="uint32"), np.int32(1)))


def test_the_blocks_of_a_cluster_send_to_each_other() -> None:
    out = zeros(8, 2, dtype="int32")
    compiled(CLUSTER).launch("sends", 8, 2, (out,), shared=16)
    assert (out == 6).all()
    assert sanitized(CLUSTER, "sends", 4, 2, (out,), shared=16) == ""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("leaves_early", r"of block \(3, 0\) reaches for block \(0, 0\), which has ended"),
        ("sends_at_once", r"of block \(0, 0\) reaches for block \(1, 0\), which has not begun"),
        ("sends_elsewhere", "a cluster of 4 has no block 4"),
    ],
)
def test_a_block_of_a_cluster_that_is_not_there_is_told(name: str, said: str) -> None:
    with pytest.raises(Fault, match=said):
        compiled(CLUSTER).launch(name, 4, 1, (zeros(8, dtype="int32"),), shared=16)


def test_reading_what_others_still_send_is_a_race() -> None:
    found = sanitized(CLUSTER, "sends_too_late", 4, 1, (zeros(8, dtype="int32"),), shared=16)
    assert "data race" in found and "store_to" in found


X = np.zeros(64, "float32")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((X, X), "2 arguments, the kernel has 3"),
        ((X, X, 64), "argument 2 is int64, the kernel wants int32"),
        ((X, X, np.float32(64)), "argument 2 is float32, the kernel wants int32"),
        ((X.astype(float), X, np.int32(64)), "argument 0 is an array of float64, the kernel wants a pointer to"),
        ((np.int32(0), X, np.int32(64)), "argument 0 is int32, the kernel wants a pointer to float32"),
    ],
)
def test_arguments_of_another_kind_are_refused(args: Any, said: str) -> None:
    with pytest.raises(Fault, match=said):
        launch("sum", 1, 64, args)


def test_more_threads_than_the_text_allows_are_refused() -> None:
    with pytest.raises(Fault, match="128 threads in a block, at most 64"):
        launch("sum", 1, 128, (X, X, np.int32(64)))


def test_names_of_options_and_of_the_text_may_be_any() -> None:
    out = zeros(1, dtype="int32")
    text = 'struct Place { int x; };\nextern "C" __global__ void f(int* x) { *x = Place{T + N}.x; }'
    compiled(text, ("-DT=3", "-DN")).launch("f", 1, 1, (out,))
    assert out[0] == 4


def test_what_does_not_compile_is_told_in_full() -> None:
    said = "kernel.cu:2:.*('y' was not declared|undeclared identifier 'y')"
    with pytest.raises(emulator.CompileError, match=said):
        compiled('\nextern "C" __global__ void f(float* x) { *x = y; }')


# --- under sanitizers --------------------------------------------------------------------------------------------


def test_a_missing_barrier_is_a_race() -> None:
    x = np.arange(64, dtype="float32")
    assert sanitized(TEXT, "sum", 2, 64, (x, zeros(2), np.int32(64)), options=OPTIONS) == ""
    found = sanitized(TEXT, "sum_without_barrier", 1, 64, (x, zeros(1)), options=OPTIONS)
    assert "data race" in found and "sum_of_block" in found


@pytest.mark.parametrize("name", ["without_release", "without_acquire"])
def test_a_missing_release_or_acquire_is_a_race(name: str) -> None:
    args = zeros(3, 2), zeros(3, dtype="uint32"), np.int32(2)
    assert sanitized(TEXT, "neighbours", 2, 32, args, options=OPTIONS, cooperative=True) == ""
    found = sanitized(TEXT, name, 2, 32, args, options=OPTIONS, cooperative=True)
    assert "data race" in found and "pass_on" in found


def test_a_race_through_two_arrays_that_overlap_is_told() -> None:
    x = zeros(66)
    assert sanitized(TEXT, "copy", 2, 32, (x[:64], zeros(64)), options=OPTIONS) == ""
    assert "data race" in sanitized(TEXT, "copy", 2, 32, (x[:64], x[2:]), options=OPTIONS)


def test_an_index_past_the_end_is_told() -> None:
    assert sanitized(TEXT, "behind", 1, 8, (zeros(9), np.int32(1)), "address", OPTIONS) == ""
    found = sanitized(TEXT, "behind", 1, 8, (zeros(9)[:8], np.int32(1)), "address", OPTIONS)
    assert "heap-buffer-overflow" in found and "in behind" in found


# --- the stand-in of CuPy ----------------------------------------------------------------------------------------


def kernel(cupy: Any, name: str, **told: Any) -> Any:
    return cupy.RawModule(code=TEXT, options=OPTIONS, **told).get_function(name)


def test_the_stand_in_launches_kernels_and_counts_them() -> None:
    cupy = stand_in.cupy()
    x, out = cupy.asarray(np.arange(64, dtype="float32")), cupy.empty(1, np.float32)
    cupy.launches.clear()
    for _ in range(2):
        kernel(cupy, "sum")((1,), (64,), (x, out, np.int32(64)), shared_mem=0, stream=cupy.cuda.get_current_stream())
    assert out.get().tolist() == [2016] and cupy.launches == {"sum": 2}


def test_the_stand_in_runs_cooperative_kernels_after_counts_are_cleared() -> None:
    cupy = stand_in.cupy()
    x, counts = cupy.zeros((3, 5), np.float32), cupy.empty(3, np.uint32)
    cupy.cuda.runtime.memsetAsync(counts.data.ptr, 0, counts.nbytes, cupy.cuda.get_current_stream().ptr)
    kernel(cupy, "neighbours", enable_cooperative_groups=True)((5,), (64,), (x, counts, np.int32(2)))
    assert x.get()[2].tolist() == [2] * 5


def test_launches_are_recorded_for_the_sanitizer() -> None:
    cupy = stand_in.cupy()
    x = cupy.zeros(66, np.float32)
    with cupy.record() as launches:
        kernel(cupy, "copy")((2,), (32,), (x[2:], x))
    assert x.get().tolist() == [0] * 66 and ["data race" in one.sanitized("thread") for one in launches] == [True]


def with_large_memory(cupy: Any) -> None:
    fresh = kernel(cupy, "fresh")
    fresh.max_dynamic_shared_size_bytes = 228 << 10


REFUSED = {
    "a grid as a list": lambda cupy, k, x: k([1], (64,), (x, x, np.int32(1))),
    "an array of the host": lambda cupy, k, x: k((1,), (64,), (np.zeros(64), x, np.int32(1))),
    "a text": lambda cupy, k, x: k((1,), (64,), (x, x, "1")),
    "more threads than bounded": lambda cupy, k, x: k((1,), (2048,), (x, x, np.int32(1))),
    "more shared memory than asked for": lambda cupy, k, x: k((1,), (64,), (x, x, np.int32(1)), shared_mem=50_000),
    "more shared memory than there is": lambda cupy, k, x: with_large_memory(cupy),
    "options as a list": lambda cupy, k, x: cupy.RawModule(code=TEXT, options=[]),
    "a kernel that is not there": lambda cupy, k, x: kernel(cupy, "nothing"),
    "zeros beyond an array": lambda cupy, k, x: cupy.cuda.runtime.memsetAsync(x.data.ptr, 0, 257, 0),
    "an array of another device": lambda cupy, k, x: on_another_device(cupy, k, x),
}


def on_another_device(cupy: Any, k: Any, x: Any) -> None:
    with cupy.cuda.Device(1):
        k((1,), (64,), (x, x, np.int32(1)))


@pytest.mark.parametrize("what", REFUSED)
def test_the_stand_in_refuses(what: str) -> None:
    cupy = stand_in.cupy()
    with pytest.raises((TypeError, ValueError, RuntimeError)):
        REFUSED[what](cupy, kernel(cupy, "sum"), cupy.zeros(64, np.float32))


def test_clusters_of_more_than_eight_blocks_have_to_be_allowed() -> None:
    cupy = stand_in.cupy()
    around = cupy.RawModule(code=CLUSTER.replace("(4, 1, 1) around", "(16, 1, 1) around")).get_function("around")
    out = cupy.zeros(16, np.int32)
    with pytest.raises(cupy.cuda.driver.CUDADriverError):
        around((16,), (1,), (out,), shared_mem=4)
    cupy.cuda.driver.funcSetAttribute(around.kernel.ptr, 14, 1)
    around((16,), (1,), (out,), shared_mem=4)
    assert out.get().tolist() == [10 * ((rank + 1) % 4) for rank in range(16)]


def test_the_stand_in_tells_what_does_not_compile_as_cupy_does() -> None:
    cupy = stand_in.cupy()
    with pytest.raises(cupy.cuda.compiler.CompileException):
        cupy.RawModule(code='extern "C" __global__ void f() { nothing(); }').get_function("f")


def test_a_cooperative_grid_that_does_not_fit_is_reduced_with_a_warning() -> None:
    cupy = stand_in.cupy(MultiProcessorCount=1)
    x, out = cupy.asarray(np.ones(64 * 32, "float32")), cupy.zeros(33, np.float32)
    with pytest.warns(UserWarning, match="from 33 to 32"):
        kernel(cupy, "sum", enable_cooperative_groups=True)((33,), (64,), (x, out, np.int32(64 * 32)))
    assert out.get().tolist() == [64] * 32 + [0]


# --- the real compiler -------------------------------------------------------------------------------------------


@pytest.mark.skipif(not assembler.available(), reason="NVRTC is not here")
def test_the_text_is_that_of_cuda_too() -> None:
    for arch in assembler.ARCHITECTURES:
        used = assembler.assembled(TEXT, arch, OPTIONS)
        assert set(used) == set(compiled(TEXT, OPTIONS).kernels)
        sums = used["sum"]
        assert 2 * 4 <= sums.shared <= 16 and sums.spilled == 0 and 8 < sums.registers < 64
