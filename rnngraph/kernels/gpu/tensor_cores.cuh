// Products on tensor cores, behind prelude.cuh: operands are rounded to fewer bits, sums are in float32.
//
// An instruction takes 16 columns of a matrix and 8 rows through STEP terms, which are eight words. Operands lie near as
// the lanes of a warp take them, one behind the other: of the matrix lane 4 g + t has words t and t + 4 of the columns g
// and g + 8, of the rows those of row g. So nothing is in the way of anything, and what is past an end is zero.
template <class T> struct __align__(8) Two { T v[2]; };

#ifndef CUDA_EMULATED
// Two numbers rounded to bf16, the first in the lower half.
__device__ __forceinline__ unsigned bf16_pair(float first, float second) {
  unsigned both;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(second), "f"(first));
  return both;
}
#define MMA(name, kinds)                                                                                        \
  __device__ __forceinline__ void name(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {         \
    asm volatile("mma.sync.aligned." kinds " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"   \
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                                               \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));                           \
  }
MMA(mma_bf16, "m16n8k16.row.col.f32.bf16.bf16.f32")
MMA(mma_tf32, "m16n8k8.row.col.f32.tf32.tf32.f32")
#undef MMA
#endif

// A number rounded to tf32, to the even one of two that are as near: no instruction before sm_90 does it.
__device__ __forceinline__ unsigned tf32_of(float x) {
  const unsigned bits = __float_as_uint(x);
  return x != x ? 0x7fffffffu : (bits + 0xfffu + (bits >> 13 & 1)) & 0xffffe000u;
}

// `term(k)` is the k-th term; a word has one or two.
struct Bf16 {
  static constexpr int STEP = 16;
  template <class Term> static __device__ __forceinline__ unsigned word(const Term& term, int w) {
    return bf16_pair(term(2 * w), term(2 * w + 1));
  }
  static __device__ __forceinline__ void multiply(float (&sum)[4], const Four<unsigned>& a, const Two<unsigned>& b) {
    mma_bf16(sum, a.v, b.v);
  }
};
struct Tf32 {
  static constexpr int STEP = 8;
  template <class Term> static __device__ __forceinline__ unsigned word(const Term& term, int w) {
    return tf32_of(term(w));
  }
  static __device__ __forceinline__ void multiply(float (&sum)[4], const Four<unsigned>& a, const Two<unsigned>& b) {
    mma_tf32(sum, a.v, b.v);
  }
};

// What a lane has of the columns c and c + 8 of a matrix, or of a row c; `term(c, k)` is the k-th term of one.
template <class Kind, class Term> __device__ __forceinline__ Four<unsigned> of_columns(const Term& term, int c, int w) {
  const auto low = [&](int k) { return term(c, k); };
  const auto high = [&](int k) { return term(c + 8, k); };
  return {Kind::word(low, w), Kind::word(high, w), Kind::word(low, w + 4), Kind::word(high, w + 4)};
}
template <class Kind, class Term> __device__ __forceinline__ Two<unsigned> of_row(const Term& term, int c, int w) {
  const auto row = [&](int k) { return term(c, k); };
  return {Kind::word(row, w), Kind::word(row, w + 4)};
}

// Which column of the matrix is the c-th of a block: gate by gate, so that neighbours are neighbours in the matrix.
template <int UNITS> __device__ __forceinline__ int gate_column(const Share& s, int units, int c) {
  return c / units * UNITS + s.unit0(UNITS) + c % units;
}

// The block's columns of a part of the matrix: [columns / 16][steps][lanes].
template <class Kind, int TERMS, int UNITS, int GATES, int CHUNK>
__device__ void stage_tensor_matrix(const Share& s, const float* w, Int term, Int column, int first, float* to) {
  constexpr int STEPS = CHUNK / Kind::STEP;
  const int units = s.units(UNITS), columns = units * GATES;
  for (int i = threadIdx.x; i < (columns + 15) / 16 * STEPS * 32; i += THREADS) {
    const int start = first + i / 32 % STEPS * Kind::STEP;
    const auto entry = [&](int c, int k) {
      return c < columns && start + k < TERMS ? w[(start + k) * term + gate_column<UNITS>(s, units, c) * column] : 0.0f;
    };
    ((Four<unsigned>*)to)[i] = of_columns<Kind>(entry, i / 32 / STEPS * 16 + i % 32 / 4, i % 4);
  }
}

// Rows of a part of the terms: [rows / 8][steps][lanes].
template <class Kind, int TERMS, int CHUNK>
__device__ void stage_tensor_rows(const Share& s, const float* x, Int lda, int first_row, int rows, int first, float* to) {
  constexpr int STEPS = CHUNK / Kind::STEP;
  for (int i = threadIdx.x; i < (rows + 7) / 8 * STEPS * 32; i += THREADS) {
    const int r = i / 32 / STEPS * 8 + i % 32 / 4, start = first + i / 32 % STEPS * Kind::STEP;
    const float* line = x + s.row(first_row + (r < rows ? r : 0)) * lda + start;
    const auto entry = [&](int c, int k) { return c < rows && start + k < TERMS ? line[k] : 0.0f; };
    ((Two<unsigned>*)to)[i] = of_row<Kind>(entry, r, i % 4);
  }
}

// Like `product`: a warp makes 16 columns of ROWS rows. Each four steps of terms have sums of their own, which are added
// up at the end, so the order of a sum depends on its number of terms alone.
template <class Kind, int TERMS, int UNITS, int GATES, int ROWS, int STAGED, int CHUNK, bool KEPT, bool PLUS, bool SENT,
          bool THERE>
__device__ void tensor_product(const Share& s, const float* x, Int lda, const float* w, Int term, Int column,
                               const float* d, Int ldd, float* y, Int ldc, float* sent, float* kept, float* room,
                               const bool* mask, bool wanted) {
  static_assert(!THERE, "rows are rounded when they are staged");
  constexpr int PARTS = (TERMS + CHUNK - 1) / CHUNK, STEPS = CHUNK / Kind::STEP, TALL = ROWS / 8, SUMS = 4;
  constexpr int WHOLE = (TERMS + Kind::STEP - 1) / Kind::STEP, LINE = KEPT ? WHOLE : STEPS;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int units = s.units(UNITS), columns = units * GATES, across = (columns + 15) / 16;
  const Two<unsigned>* staged = (const Two<unsigned>*)room;
  float* near = KEPT ? kept : room + STAGED / 8 * STEPS * 64;
  const int all = s.size();
  if (!KEPT && PARTS == 1) stage_tensor_matrix<Kind, TERMS, UNITS, GATES, CHUNK>(s, w, term, column, 0, near);
  for (int r0 = 0; r0 < all; r0 += STAGED) {
    const int rows = all - r0 < STAGED ? all - r0 : STAGED, tall = (rows + 7) / 8;
    const int tiles = (rows + ROWS - 1) / ROWS * across;
    if (PARTS == 1) {
      stage_tensor_rows<Kind, TERMS, CHUNK>(s, x, lda, r0, rows, 0, room);
      __syncthreads();
    }
    for (int p0 = 0; p0 < tiles; p0 += WARPS) {
      const int p = p0 + warp, row = p / across * TALL, tile = p % across;
      float sum[TALL][SUMS][4] = {};
      for (int part = 0; part < PARTS; ++part) {
        if (PARTS > 1) {
          __syncthreads();
          stage_tensor_rows<Kind, TERMS, CHUNK>(s, x, lda, r0, rows, part * CHUNK, room);
          if (!KEPT)
            stage_tensor_matrix<Kind, TERMS, UNITS, GATES, CHUNK>(s, w, term, column, part * CHUNK, near);
          __syncthreads();
        }
        if (p >= tiles) continue;
        const Four<unsigned>* m = (const Four<unsigned>*)near + (tile * LINE + (KEPT ? part * STEPS : 0)) * 32 + lane;
        for (int q = 0; q < STEPS && part * STEPS + q < WHOLE; q += SUMS)
#pragma unroll
          for (int i = 0; i < SUMS; ++i) {
            if (part * STEPS + q + i >= WHOLE) continue;
            const Four<unsigned> a = m[(q + i) * 32];
#pragma unroll
            for (int n = 0; n < TALL; ++n)
              if (row + n < tall) Kind::multiply(sum[n][i], a, staged[((row + n) * STEPS + q + i) * 32 + lane]);
          }
      }
      if (p >= tiles) continue;
#pragma unroll
      for (int n = 0; n < TALL; ++n)
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          const int r = (row + n) * 8 + lane % 4 * 2 + j % 2, c = tile * 16 + lane / 4 + j / 2 * 8;
          if (r >= rows || c >= columns) continue;
          const float v = (sum[n][0][j] + sum[n][1][j]) + (sum[n][2][j] + sum[n][3][j]);
          const Int at = s.row(r0 + r);
          const int k = gate_column<UNITS>(s, units, c);
          if (mask && mask[at] != wanted) continue;
          const float value = PLUS ? v + d[at * ldd + k] : v;
          y[at * ldc + k] = value;
          if (SENT) hand_over(s, sent + at * ldc + k, value);
        }
    }
    __syncthreads();
  }
}

__device__ inline Four<unsigned>* operands_near() {
  __shared__ Four<unsigned> memory[512];
  return memory;
}

// Like `sums`: of the 64 by 64 sums of a block a warp makes 16 by 32; two steps of rows are staged at a time.
template <class Kind, int HEIGHT, int WIDTH>
__device__ void tensor_sums(int block, Units units, const float* d, Int ldd, const float* x, Int lda, float* z, Int ldc,
                            bool onto, const bool* mask, bool wanted) {
  constexpr int TILE = 64, STEPS = 2, DEEP = STEPS * Kind::STEP, WIDE = 4;
  Four<unsigned>* left = operands_near();
  Two<unsigned>* right = (Two<unsigned>*)(left + TILE / 16 * STEPS * 32);
  const int across = (WIDTH + TILE - 1) / TILE, i0 = block / across * TILE, j0 = block % across * TILE;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, high = warp / 2, wide = warp % 2 * WIDE;
  const auto i_of = [&](int e) { return i0 + high * 16 + lane / 4 + e / 2 * 8; };
  const auto j_of = [&](int n, int e) { return j0 + (wide + n) * 8 + lane % 4 * 2 + e % 2; };
  float total[WIDE][4] = {};
  for (int n = 0; n < WIDE; ++n)
    for (int e = 0; e < 4; ++e)
      if (onto && i_of(e) < HEIGHT && j_of(n, e) < WIDTH) total[n][e] = z[i_of(e) * ldc + j_of(n, e)];
  for (Int n = 0; n < units.count(); ++n) {
    float sum[WIDE][4] = {};
    for (Int r0 = units.first(n); r0 < units.end(n); r0 += DEEP) {
      const int deep = int(least(DEEP, units.end(n) - r0));
      const auto here = [&](int k) { return k < deep && (!mask || mask[r0 + k] == wanted); };
      __syncthreads();
      for (int at = threadIdx.x; at < TILE / 16 * STEPS * 32; at += THREADS) {
        const int start = at / 32 % STEPS * Kind::STEP;
        const auto entry = [&](int c, int k) {
          return c < HEIGHT && here(start + k) ? x[(r0 + start + k) * lda + c] : 0.0f;
        };
        left[at] = of_columns<Kind>(entry, i0 + at / 32 / STEPS * 16 + at % 32 / 4, at % 4);
      }
      for (int at = threadIdx.x; at < TILE / 8 * STEPS * 32; at += THREADS) {
        const int start = at / 32 % STEPS * Kind::STEP;
        const auto entry = [&](int c, int k) {
          return c < WIDTH && here(start + k) ? d[(r0 + start + k) * ldd + c] : 0.0f;
        };
        right[at] = of_row<Kind>(entry, j0 + at / 32 / STEPS * 8 + at % 32 / 4, at % 4);
      }
      __syncthreads();
#pragma unroll
      for (int step = 0; step < STEPS; ++step) {
        const Four<unsigned> a = left[(high * STEPS + step) * 32 + lane];
#pragma unroll
        for (int m = 0; m < WIDE; ++m) Kind::multiply(sum[m], a, right[((wide + m) * STEPS + step) * 32 + lane]);
      }
    }
#pragma unroll
    for (int m = 0; m < WIDE; ++m)
#pragma unroll
      for (int e = 0; e < 4; ++e) total[m][e] += sum[m][e];
  }
  __syncthreads();
  for (int n = 0; n < WIDE; ++n)
    for (int e = 0; e < 4; ++e)
      if (i_of(e) < HEIGHT && j_of(n, e) < WIDTH) z[i_of(e) * ldc + j_of(n, e)] = total[n][e];
}
