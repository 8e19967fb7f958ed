// CUDA C++ on a CPU: what the text of a kernel sees. emulator.cc runs it, emulator.py builds both.
// What is not CUDA's name is in `emulated`, or begins so.
#pragma once
#define _GLIBCXX_INCLUDE_NEXT_C_HEADERS  // C's own: with what C++ adds it takes longer to read than most kernels
#include <math.h>
#undef _GLIBCXX_INCLUDE_NEXT_C_HEADERS
#include <string.h>
#include <type_traits>
#include <utility>

#define CUDA_EMULATED 1
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __cluster_dims__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))
#define AT_LINE int line = __builtin_LINE()

// --- vectors ---

#define VECTOR2(T, name, bytes)     \
  struct alignas(bytes) name {      \
    T x, y;                         \
  };                                \
  inline name make_##name(T x, T y) { return {x, y}; }
#define VECTOR4(T, name)            \
  struct alignas(16) name {         \
    T x, y, z, w;                   \
  };                                \
  inline name make_##name(T x, T y, T z, T w) { return {x, y, z, w}; }
VECTOR2(float, float2, 8)
VECTOR2(double, double2, 16)
VECTOR2(int, int2, 8)
VECTOR2(unsigned, uint2, 8)
VECTOR4(float, float4)
VECTOR4(int, int4)
VECTOR4(unsigned, uint4)
struct uint3 {
  unsigned x, y, z;
};

// --- the runtime, which is compiled without sanitizers ---

namespace emulated {
struct Place {  // where a thread is
  uint3 thread, block, threads, blocks;
  unsigned lane, rank;  // in its warp; of its block in the cluster
  unsigned char* dynamic;
};
struct Kernel {
  const char* name;
  void (*call)(void** arguments);
  const unsigned* parameters;  // for each: kind, bytes, and of a pointer the kind and bytes of what it points to
};
}  // namespace emulated
extern "C" {
extern emulated::Place* emulated_here;
unsigned emulated_block_barrier(bool vote, const char* what, int line);  // how many threads voted for it
void emulated_cluster_barrier(int line);
void emulated_warp_barrier(unsigned mask, int line);
unsigned emulated_ballot(unsigned mask, bool vote, const char* what, int line);
unsigned long long emulated_shuffle(unsigned mask, unsigned long long bits, unsigned lane, const char* what, int line);
void emulated_operands(const unsigned* mine, unsigned (*all)[6], const char* what, int line);  // of all lanes
void* emulated_shared(const void* key, size_t bytes);
void* emulated_shared_of(const void* mine, unsigned rank);
void emulated_polled(const void* address, unsigned value, const char* what, int line);
void emulated_progress();
}

#define threadIdx (emulated_here->thread)
#define blockIdx (emulated_here->block)
#define blockDim (emulated_here->threads)
#define gridDim (emulated_here->blocks)
constexpr int warpSize = 32;

// `__shared__ float a[8];` arrives here as `auto& a = emulated_array<float[8], NUMBER>();`, by emulator.py
template <class T, int number> T& emulated_array() {
  static const char key = 0;  // one for each instance of a template
  return *(T*)emulated_shared(&key, sizeof(T));
}

// --- barriers, votes, shuffles ---

inline void __syncthreads(AT_LINE) { emulated_block_barrier(false, "__syncthreads()", line); }
inline int __syncthreads_count(int vote, AT_LINE) {
  return emulated_block_barrier(vote, "__syncthreads_count()", line);
}
inline int __syncthreads_or(int vote, AT_LINE) { return emulated_block_barrier(vote, "__syncthreads_or()", line) > 0; }
inline int __syncthreads_and(int vote, AT_LINE) { return !emulated_block_barrier(!vote, "__syncthreads_and()", line); }
inline void __syncwarp(unsigned mask = ~0u, AT_LINE) { emulated_warp_barrier(mask, line); }
inline unsigned __ballot_sync(unsigned mask, int vote, AT_LINE) {
  return emulated_ballot(mask, vote, "__ballot_sync()", line);
}
inline int __any_sync(unsigned mask, int vote, AT_LINE) { return !!emulated_ballot(mask, vote, "__any_sync()", line); }
inline int __all_sync(unsigned mask, int vote, AT_LINE) { return !emulated_ballot(mask, !vote, "__all_sync()", line); }

template <class T> T emulated_lane(unsigned mask, T value, unsigned lane, const char* what, int line) {
  static_assert(std::is_arithmetic_v<T>, "a shuffle moves numbers");
  unsigned long long bits = 0;
  memcpy(&bits, &value, sizeof value);
  bits = emulated_shuffle(mask, bits, lane, what, line);
  memcpy(&value, &bits, sizeof value);
  return value;
}
template <class T> T __shfl_sync(unsigned mask, T value, int lane, int width = 32, AT_LINE) {
  unsigned first = emulated_here->lane & -width;
  return emulated_lane(mask, value, first + (lane & (width - 1)), "__shfl_sync()", line);
}
template <class T> T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32, AT_LINE) {
  unsigned own = emulated_here->lane, other = own ^ lanes;
  return emulated_lane(mask, value, other < (own & -width) + width ? other : own, "__shfl_xor_sync()", line);
}
template <class T> T __shfl_down_sync(unsigned mask, T value, unsigned lanes, int width = 32, AT_LINE) {
  unsigned own = emulated_here->lane, within = own & (width - 1);
  return emulated_lane(mask, value, within + lanes < unsigned(width) ? own + lanes : own, "__shfl_down_sync()", line);
}
template <class T> T __shfl_up_sync(unsigned mask, T value, unsigned lanes, int width = 32, AT_LINE) {
  unsigned own = emulated_here->lane, within = own & (width - 1);
  return emulated_lane(mask, value, within >= lanes ? own - lanes : own, "__shfl_up_sync()", line);
}

// --- memory ---

inline void __threadfence() {}  // orders nothing for the sanitizer: arrive_release hands over what other blocks read
inline void __threadfence_block() {}
template <class T> T __ldcg(const T* p) { return *p; }
template <class T> T __ldg(const T* p) { return *p; }
template <class T> void __stcg(T* p, T value) { *p = value; }
inline unsigned atomicAdd(unsigned* p, unsigned more, AT_LINE) {
  unsigned before = __atomic_fetch_add(p, more, __ATOMIC_RELAXED);
  emulated_polled(p, before, "atomicAdd()", line);
  return before;
}

// What is PTX on a device.
inline void arrive_release(unsigned* count) {
  emulated_progress();
  __atomic_fetch_add(count, 1u, __ATOMIC_RELEASE);
}
inline unsigned load_acquire(const unsigned* p, AT_LINE) {
  unsigned value = __atomic_load_n(p, __ATOMIC_ACQUIRE);
  emulated_polled(p, value, "load_acquire()", line);
  return value;
}
inline void cluster_barrier(AT_LINE) { emulated_cluster_barrier(line); }
inline unsigned cluster_rank() { return emulated_here->rank; }
template <class T> T* shared_of(T* mine, unsigned rank) { return (T*)emulated_shared_of(mine, rank); }
template <class T> void store_to(int rank, T* mine, T value) { *shared_of(mine, rank) = value; }
inline unsigned char* dynamic_shared() { return emulated_here->dynamic; }

// --- numbers ---

template <class To, class From> To emulated_bits(From from) {
  To to;
  static_assert(sizeof to == sizeof from, "as many bits");
  memcpy(&to, &from, sizeof to);
  return to;
}
inline float __int_as_float(int x) { return emulated_bits<float>(x); }
inline float __uint_as_float(unsigned x) { return emulated_bits<float>(x); }
inline int __float_as_int(float x) { return emulated_bits<int>(x); }
inline unsigned __float_as_uint(float x) { return emulated_bits<unsigned>(x); }
inline double __longlong_as_double(long long x) { return emulated_bits<double>(x); }
inline long long __double_as_longlong(double x) { return emulated_bits<long long>(x); }
inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned long long)a * b >> 32; }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return (unsigned __int128)a * b >> 64;
}
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline float rsqrtf(float x) { return 1 / sqrtf(x); }
inline double rsqrt(double x) { return 1 / sqrt(x); }
inline float __expf(float x) { return expf(x); }
inline float __fdividef(float a, float b) { return a / b; }
template <class A, class B> constexpr auto min(A a, B b) {
  using T = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point_v<T>) return T(fmin(T(a), T(b)));
  else return T(a) < T(b) ? T(a) : T(b);
}
template <class A, class B> constexpr auto max(A a, B b) {
  using T = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point_v<T>) return T(fmax(T(a), T(b)));
  else return T(a) < T(b) ? T(b) : T(a);
}

// --- tensor cores: entries lie where PTX says (ISA 8.7, "Matrix Fragments for mma.m16n8k8" and "... m16n8k16") ---

inline unsigned emulated_bf16(float x) {
  unsigned bits = __float_as_uint(x);
  return x != x ? 0x7fff : (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}
inline unsigned bf16_pair(float first, float second) { return emulated_bf16(first) | emulated_bf16(second) << 16; }

// Adds a b to d, term by term in float32. `half`: a register has two numbers of bf16, else one of tf32.
template <bool half>
void emulated_mma(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], const char* what, int line) {
  constexpr int K = half ? 16 : 8;
  const unsigned mine[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
  unsigned all[32][6];
  float A[16][K], B[K][8];
  emulated_operands(mine, all, what, line);
  auto number = [&](int lane, int first, int i) {
    if (!half) return __uint_as_float(all[lane][first + i] & 0xffffe000u);
    return __uint_as_float(all[lane][first + i / 2] >> i % 2 * 16 << 16);
  };
  for (int lane = 0; lane < 32; lane++) {
    const int group = lane >> 2, thread = lane % 4;
    for (int i = 0; i < (half ? 8 : 4); i++) {
      const int row = half ? (i < 2 || (4 <= i && i < 6) ? group : group + 8) : i % 2 == 0 ? group : group + 8;
      const int col = half ? thread * 2 + (i & 1) + (i < 4 ? 0 : 8) : i < 2 ? thread : thread + 4;
      A[row][col] = number(lane, 0, i);
    }
    for (int i = 0; i < (half ? 4 : 2); i++)
      B[half ? thread * 2 + (i & 1) + (i < 2 ? 0 : 8) : thread + 4 * i][group] = number(lane, 4, i);
  }
  const int group = emulated_here->lane >> 2, thread = emulated_here->lane % 4;
  for (int i = 0; i < 4; i++)
    for (int k = 0; k < K; k++) d[i] += A[i < 2 ? group : group + 8][k] * B[k][thread * 2 + (i & 1)];
}
inline void mma_bf16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], AT_LINE) {
  emulated_mma<true>(d, a, b, "mma_bf16()", line);
}
inline void mma_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], AT_LINE) {
  emulated_mma<false>(d, a, b, "mma_tf32()", line);
}

// --- the table of a text's kernels ---

namespace emulated {
template <class T> constexpr unsigned kind_of() {  // NumPy's letter, and the bytes
  if constexpr (std::is_void_v<T>) return 'V' | 1 << 8;
  else {
    constexpr char letter = std::is_same_v<T, bool> ? 'b' : std::is_floating_point_v<T> ? 'f'
        : std::is_unsigned_v<T> ? 'u' : std::is_integral_v<T> ? 'i' : std::is_pointer_v<T> ? 'p' : 'V';
    return letter | sizeof(T) << 8;
  }
}
template <class T> constexpr unsigned parameter() {
  if constexpr (std::is_pointer_v<T>) return kind_of<T>() | kind_of<std::remove_cv_t<std::remove_pointer_t<T>>>() << 16;
  else return kind_of<T>();
}
template <auto kernel> struct Entry;
template <class... A, void (*kernel)(A...)> struct Entry<kernel> {
  static constexpr unsigned parameters[] = {parameter<std::remove_cv_t<A>>()..., 0};
  template <size_t... i> static void unpacked(void** given, std::index_sequence<i...>) {
    kernel(*(std::remove_cv_t<A>*)given[i]...);
  }
  static void call(void** given) { unpacked(given, std::index_sequence_for<A...>()); }
};
}  // namespace emulated
#undef AT_LINE
