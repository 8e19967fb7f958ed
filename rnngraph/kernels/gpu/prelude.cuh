// What every generated kernel begins with. Sizes are constants of the text where they are those of the model, and
// arguments where they are those of the data; the order of every sum follows from the former alone.
typedef long long Int;
typedef unsigned long long Bits;
constexpr int THREADS = 256, WARPS = THREADS / 32;
constexpr unsigned ALL = 0xffffffffu;

// --- numbers ---------------------------------------------------------------------------------------------------

#define BOTH(name, of_float, of_double)                                        \
  __device__ __forceinline__ float name(float x) { return of_float(x); }       \
  __device__ __forceinline__ double name(double x) { return of_double(x); }
BOTH(abs_of, fabsf, fabs)
BOTH(floor_of, floorf, floor)
BOTH(round_of, rintf, rint)
BOTH(sqrt_of, sqrtf, sqrt)
BOTH(exp_of, expf, exp)
BOTH(log_of, logf, log)
BOTH(log1p_of, log1pf, log1p)
BOTH(tanh_of, tanhf, tanh)
BOTH(erf_of, erff, erf)
BOTH(sin_of, sinf, sin)
BOTH(cos_of, cosf, cos)
#undef BOTH
__device__ __forceinline__ float pow_of(float a, float b) { return powf(a, b); }
__device__ __forceinline__ double pow_of(double a, double b) { return pow(a, b); }
__device__ __forceinline__ float atan2_of(float a, float b) { return atan2f(a, b); }
__device__ __forceinline__ double atan2_of(double a, double b) { return atan2(a, b); }
__device__ __forceinline__ float rest_of(float a, float b) { return fmodf(a, b); }
__device__ __forceinline__ double rest_of(double a, double b) { return fmod(a, b); }
__device__ __forceinline__ float with_sign(float a, float b) { return copysignf(a, b); }
__device__ __forceinline__ double with_sign(double a, double b) { return copysign(a, b); }
__device__ __forceinline__ float plus_times(float a, float b, float c) { return fmaf(a, b, c); }
__device__ __forceinline__ Int plus_times(Int a, Int b, Int c) { return Int(Bits(a) * Bits(b) + Bits(c)); }
__device__ __forceinline__ double plus_times(double a, double b, double c) { return fma(a, b, c); }

// The larger and the smaller of two; what is no number wins.
template <class T> __device__ __forceinline__ T at_least(T a, T b) { return a >= b || a != a ? a : b; }
template <class T> __device__ __forceinline__ T at_most(T a, T b) { return a <= b || a != a ? a : b; }
template <class T> __device__ __forceinline__ T sign_of(T x) { return x > 0 ? T(1) : x < 0 ? T(-1) : x; }
template <class T> __device__ __forceinline__ T sigmoid_of(T x) { return T(1) / (T(1) + exp_of(-x)); }
template <class T> __device__ __forceinline__ T softplus_of(T x) {
  return at_least(x, T(0)) + log1p_of(exp_of(-abs_of(x)));
}
// Remainders have the sign of b, quotients are rounded down; of whole numbers both are 0 where b is.
template <class T> __device__ __forceinline__ T mod_of(T a, T b) {
  const T rest = rest_of(a, b);
  return rest == 0 ? with_sign(T(0), b) : (b < 0) != (rest < 0) ? rest + b : rest;
}
template <class T> __device__ __forceinline__ T floordiv_of(T a, T b) {
  if (b == 0) return a / b;
  const T rest = rest_of(a, b);
  T whole = (a - rest) / b;
  if (rest != 0 && (b < 0) != (rest < 0)) whole -= T(1);
  if (whole == 0) return with_sign(T(0), a / b);
  const T down = floor_of(whole);
  return whole - down > T(0.5) ? down + T(1) : down;
}
template <> __device__ __forceinline__ Int mod_of(Int a, Int b) {
  if (b == 0 || b == -1) return 0;
  const Int rest = a % b;
  return rest != 0 && (rest ^ b) < 0 ? rest + b : rest;
}
template <> __device__ __forceinline__ Int floordiv_of(Int a, Int b) {
  if (b == 0) return 0;
  if (b == -1) return Int(0 - Bits(a));
  const Int rest = a % b;
  return a / b - (rest != 0 && (rest ^ b) < 0 ? 1 : 0);
}
__device__ __forceinline__ Int inside(Int id, Int entries) { return id < 0 ? 0 : id < entries ? id : entries - 1; }
template <class T> __device__ __forceinline__ T lowest();
template <> __device__ __forceinline__ float lowest() { return __int_as_float(0xff800000); }
template <> __device__ __forceinline__ Int lowest() { return -0x7fffffffffffffffll - 1; }
template <> __device__ __forceinline__ double lowest() { return __longlong_as_double(0xfff0000000000000ll); }

__device__ __forceinline__ bool same_bits(float a, float b) { return __float_as_int(a) == __float_as_int(b); }
__device__ __forceinline__ bool same_bits(double a, double b) {
  return __double_as_longlong(a) == __double_as_longlong(b);
}

// --- who does what ----------------------------------------------------------------------------------------------

// What a block works on: some rows of the batch, at some places of the axes before it, and one of several parts of the
// units. Row r stands at place r / batch of those axes, and is of row r % batch of the batch.
struct Share {
  Int batch;
  int row0, rows, outer0, outers, part, parts;
  __device__ __forceinline__ int size() const { return outers * rows; }
  __device__ __forceinline__ Int inner(int q) const { return row0 + q % rows; }
  __device__ __forceinline__ Int outer(int q) const { return outer0 + q / rows; }
  __device__ __forceinline__ Int row(int q) const { return outer(q) * batch + inner(q); }
  __device__ __forceinline__ int each(int units) const { return (units + parts - 1) / parts; }
  __device__ __forceinline__ int unit0(int units) const {
    const int first = part * each(units);
    return first < units ? first : units;
  }
  __device__ __forceinline__ int units(int units) const {
    const int left = units - unit0(units), most = each(units);
    return left < most ? left : most;
  }
};

__device__ __forceinline__ Int least(Int a, Int b) { return a < b ? a : b; }

// The share of this block, of so many rows of the batch and places of the axes before it.
__device__ __forceinline__ Share shared_out(Int batch, Int outer, Int rows_each, Int outer_each, int parts) {
  const Int across = batch > rows_each ? (batch + rows_each - 1) / rows_each : 1, at = blockIdx.x / parts;
  const Int row0 = at % across * rows_each, outer0 = at / across * outer_each;
  return {batch,        int(row0), int(least(rows_each, batch - row0)), int(outer0), int(least(outer_each, outer - outer0)),
          int(blockIdx.x % parts), parts};
}

// A number of each row from the block's own copy into its slot, by the thread that has made it.
template <class T>
__device__ void handed_on(const Share& s, const T* copy, T* slot, const bool* mask, bool wanted) {
  for (int q = threadIdx.x; q < s.rows; q += THREADS) {
    const Int row = s.row(q);
    if (!mask || mask[row] == wanted) slot[row] = copy[row];
  }
}

// A number into the near memory of all blocks of the cluster. Each begins with itself, so that no two send to one.
template <class T> __device__ __forceinline__ void hand_over(const Share& s, T* mine, T value) {
  for (int i = 0; i < s.parts; ++i) store_to((s.part + i) & (s.parts - 1), mine, value);
}
// Whole rows, from far memory to where they lie when they are handed over.
template <class T> __device__ void bring_near(const T* far, T* near, Int row0, int rows, int size) {
  for (int i = threadIdx.x; i < rows * size; i += THREADS) near[row0 * size + i] = far[row0 * size + i];
}

// --- products ----------------------------------------------------------------------------------------------------

template <class T> struct __align__(16) Four { T v[4]; };

// Which column of the matrix is the c-th of a block: those of one unit stand together.
template <int UNITS, int GATES> __device__ __forceinline__ int column_of(const Share& s, int c) {
  return c % GATES * UNITS + s.unit0(UNITS) + c / GATES;
}

// The block's columns of a part of the matrix, by fours of terms: [terms / 4][columns, odd][4], zeros past the end.
template <int TERMS, int UNITS, int GATES, int CHUNK, class T>
__device__ void stage_matrix(const Share& s, const T* w, Int term, Int column, int first, T* to) {
  const int units = s.units(UNITS), columns = units * GATES, line = columns | 1;
  for (int i = threadIdx.x; i < CHUNK * columns; i += THREADS) {
    const int k = column == 1 ? i / columns : i % CHUNK, j = column == 1 ? i % columns : i / CHUNK;
    const int c = j % units * GATES + j / units;
    const int at = first + k;
    to[(k / 4 * line + c) * 4 + k % 4] = at < TERMS ? w[at * term + column_of<UNITS, GATES>(s, c) * column] : T(0);
  }
}

template <int TERMS, int CHUNK, class T>
__device__ void stage_rows(const Share& s, const T* x, Int lda, int first_row, int rows, int first, T* to) {
  for (int i = threadIdx.x; i < rows * CHUNK; i += THREADS) {
    const int r = i / CHUNK, k = i % CHUNK;
    to[r * (CHUNK + 4) + k] = first + k < TERMS ? x[s.row(first_row + r) * lda + first + k] : T(0);
  }
}

// Adds up N values over two lanes: where there are several, each lane goes on with one half of them.
template <int N, class T> __device__ __forceinline__ void halved(T* v, int lane, int apart) {
  if (N == 1) v[0] += __shfl_xor_sync(ALL, v[0], apart);
#pragma unroll
  for (int i = 0; i < N / 2; ++i) {
    const bool upper = lane & apart;
    const T sent = upper ? v[i] : v[i + N / 2], own = upper ? v[i + N / 2] : v[i];
    v[i] = own + __shfl_xor_sync(ALL, sent, apart);
  }
}
__device__ constexpr int half_of(int n) { return n > 1 ? n / 2 : 1; }

// Rows times a matrix, maybe plus an array: y = x w + d. A thread makes ROWS by 4 sums; eight lanes share out the terms,
// by fours in turn, and add up in halves. So the order of a sum depends on its number of terms alone. KEPT: the matrix
// lies in near memory already; THERE: so do the rows, by fours. `room` is near memory for so many staged rows, then for the
// matrix. SENT: results are handed over too.
template <int TERMS, int UNITS, int GATES, int ROWS, int STAGED, int CHUNK, bool KEPT, bool PLUS, bool SENT,
          bool THERE, class T>
__device__ void product(const Share& s, const T* x, Int lda, const T* w, Int term, Int column, const T* d, Int ldd, T* y,
                        Int ldc, T* sent, T* kept, T* room, const bool* mask, bool wanted) {
  constexpr int PARTS = (TERMS + CHUNK - 1) / CHUNK;
  const int lane = threadIdx.x % 8, group = threadIdx.x / 8 % 4, warp = threadIdx.x / 32;
  const int columns = s.units(UNITS) * GATES, line = columns | 1, across = (columns + 15) / 16;
  T* near = KEPT ? kept : room + (THERE ? 0 : STAGED * (CHUNK + 4));
  const int apart = THERE ? int(lda) : CHUNK + 4;
  const int all = s.size();
  if (!KEPT && PARTS == 1) stage_matrix<TERMS, UNITS, GATES, CHUNK>(s, w, term, column, 0, near);
  for (int r0 = 0; r0 < all; r0 += STAGED) {
    const int rows = all - r0 < STAGED ? all - r0 : STAGED, tiles = (rows + ROWS - 1) / ROWS * across;
    const T* staged = THERE ? x + s.row(r0) * lda : room;
    if (PARTS == 1) {
      if (!THERE) stage_rows<TERMS, CHUNK>(s, x, lda, r0, rows, 0, room);
      if (!THERE || !KEPT) __syncthreads();
    }
    for (int p0 = 0; p0 < tiles; p0 += WARPS) {
      const int p = p0 + warp, row = p / across * ROWS, c = p % across * 16 + group * 4;
      T sum[ROWS][4] = {};
      for (int part = 0; part < PARTS; ++part) {
        if (PARTS > 1 && (!THERE || !KEPT)) {
          __syncthreads();
          if (!THERE) stage_rows<TERMS, CHUNK>(s, x, lda, r0, rows, part * CHUNK, room);
          if (!KEPT) stage_matrix<TERMS, UNITS, GATES, CHUNK>(s, w, term, column, part * CHUNK, near);
          __syncthreads();
        }
        if (p >= tiles) continue;
        const Four<T>* m = (const Four<T>*)near + (KEPT ? part * (CHUNK / 4) * line : 0);
        for (int q = lane; q < CHUNK / 4 && part * CHUNK + q * 4 < TERMS; q += 8) {
          Four<T> b[4];
#pragma unroll
          for (int j = 0; j < 4; ++j) b[j] = m[q * line + (c + j < columns ? c + j : columns - 1)];
#pragma unroll
          for (int i = 0; i < ROWS; ++i) {
            const int at = (row + i < rows ? row + i : rows - 1) * apart + (THERE ? part * CHUNK : 0) + q * 4;
            const Four<T> a = *(const Four<T>*)&staged[at];
#pragma unroll
            for (int j = 0; j < 4; ++j)
#pragma unroll
              for (int n = 0; n < 4; ++n) sum[i][j] = plus_times(a.v[n], b[j].v[n], sum[i][j]);
          }
        }
      }
      if (p < tiles) {
        constexpr int N = ROWS * 4, LEFT = half_of(half_of(half_of(N)));
        T* v = &sum[0][0];
        halved<N>(v, lane, 4);
        halved<half_of(N)>(v, lane, 2);
        halved<half_of(half_of(N))>(v, lane, 1);
        const int first = (lane & 4 ? N / 2 : 0) + (lane & 2 ? N / 4 : 0) + (lane & 1 ? N / 8 : 0);
#pragma unroll
        for (int n = 0; n < LEFT; ++n) {
          const int i = (first + n) / 4, j = (first + n) % 4;
          if (row + i >= rows || c + j >= columns || (N < 8 && lane & 1)) continue;
          const Int at = s.row(r0 + row + i);
          const int k = column_of<UNITS, GATES>(s, c + j);
          if (mask && mask[at] != wanted) continue;
          const T value = PLUS ? v[n] + d[at * ldd + k] : v[n];
          y[at * ldc + k] = value;
          if (SENT) hand_over(s, sent + at * ldc + k, value);
        }
      }
    }
    __syncthreads();
  }
}

// --- sums over rows ---------------------------------------------------------------------------------------------

// The rows of the n-th unit that is visited: units are added up in their order, the rows of one before.
struct Units {
  Int rows, each;
  bool back;
  __device__ __forceinline__ Int count() const { return rows ? (rows + each - 1) / each : 0; }
  __device__ __forceinline__ Int first(Int n) const { return (back ? count() - 1 - n : n) * each; }
  __device__ __forceinline__ Int end(Int n) const { return least(first(n) + each, rows); }
};

template <class T> __device__ T (*tiles_near())[64] {
  __shared__ T memory[32][64];
  return memory;
}

// z[i][j] = sum over rows of x[row][i] * d[row][j]: a block makes 64 by 64 sums, a thread 4 by 4.
template <int HEIGHT, int WIDTH, class T>
__device__ void sums(int block, Units units, const T* d, Int ldd, const T* x, Int lda, T* z, Int ldc, bool onto, const bool* mask,
                     bool wanted) {
  constexpr int TILE = 64, DEEP = 16;
  T(*left)[TILE] = tiles_near<T>(), (*right)[TILE] = left + DEEP;
  const int across = (WIDTH + TILE - 1) / TILE, i0 = block / across * TILE, j0 = block % across * TILE;
  const int ti = threadIdx.x / 16 * 4, tj = threadIdx.x % 16 * 4;
  T total[4][4] = {};
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 4; ++j)
      if (onto && i0 + ti + i < HEIGHT && j0 + tj + j < WIDTH) total[i][j] = z[(i0 + ti + i) * ldc + j0 + tj + j];
  for (Int n = 0; n < units.count(); ++n) {
    T sum[4][4] = {};
    for (Int r0 = units.first(n); r0 < units.end(n); r0 += DEEP) {
      const int deep = int(least(DEEP, units.end(n) - r0));
      __syncthreads();
      for (int at = threadIdx.x; at < deep * TILE; at += THREADS) {
        const int k = at / TILE, c = at % TILE;
        const bool here = !mask || mask[r0 + k] == wanted;
        left[k][c] = here && i0 + c < HEIGHT ? x[(r0 + k) * lda + i0 + c] : T(0);
        right[k][c] = here && j0 + c < WIDTH ? d[(r0 + k) * ldd + j0 + c] : T(0);
      }
      __syncthreads();
      for (int k = 0; k < deep; ++k)
#pragma unroll
        for (int i = 0; i < 4; ++i)
#pragma unroll
          for (int j = 0; j < 4; ++j) sum[i][j] = plus_times(left[k][ti + i], right[k][tj + j], sum[i][j]);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j) total[i][j] += sum[i][j];
  }
  __syncthreads();
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 4; ++j)
      if (i0 + ti + i < HEIGHT && j0 + tj + j < WIDTH) z[(i0 + ti + i) * ldc + j0 + tj + j] = total[i][j];
}

// The sum over rows of each column: a warp has 32 columns, the warps of a block take a unit each in turn.
template <int WIDTH, class T>
__device__ void column_sums(int block, Units units, const T* x, Int row, T* z, bool onto, const bool* mask,
                            bool wanted) {
  T(*found)[64] = tiles_near<T>();
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, j = block * 32 + lane;
  T total = onto && j < WIDTH ? z[j] : T(0);
  for (Int n0 = 0; n0 < units.count(); n0 += WARPS) {
    T sum = T(0);
    if (n0 + warp < units.count() && j < WIDTH)
      for (Int r = units.first(n0 + warp); r < units.end(n0 + warp); ++r)
        if (!mask || mask[r] == wanted) sum += x[r * row + j];
    found[warp][lane] = sum;
    __syncthreads();
    if (warp == 0)
      for (int n = 0; n < WARPS && n0 + n < units.count(); ++n) total += found[n][lane];
    __syncthreads();
  }
  if (warp == 0 && j < WIDTH) z[j] = total;
}

// The same for the block's own columns, a thread for each: in a loop, where each step sums over the rows of its batch.
template <int UNITS, int GATES, class T>
__device__ void own_column_sums(const Share& s, Units units, const T* x, Int row, T* z, bool onto, const bool* mask,
                                bool wanted) {
  for (int c = threadIdx.x; c < s.units(UNITS) * GATES; c += THREADS) {
    const int j = column_of<UNITS, GATES>(s, c);
    T total = onto ? z[j] : T(0);
    for (Int n = 0; n < units.count(); ++n) {
      T sum = T(0);
      for (Int r = units.first(n); r < units.end(n); ++r)
        if (!mask || mask[r] == wanted) sum += x[r * row + j];
      total += sum;
    }
    z[j] = total;
  }
}

// Rows added to those of a table that ints choose, of `each` a row: a group of threads has some rows of the table, a thread
// every 256th column of them at most, so that each entry is added up by one thread, in the order of the units.
template <int WIDTH, class T>
__device__ void scatter(Units units, const T* x, Int row, const Int* ids, Int of_row, Int each, T* table, Int entries,
                        bool onto, const bool* mask, bool wanted) {
  constexpr int ACROSS = WIDTH > THREADS / 2 ? THREADS : WIDTH > THREADS / 4 ? THREADS / 2 : WIDTH > 32 ? THREADS / 4 : 32;
  constexpr int GROUPS = THREADS / ACROSS, AT_ONCE = 1024, NONE = -1;
  __shared__ int chosen[AT_ONCE];
  const Int own = (entries + Int(gridDim.x) * GROUPS - 1) / (Int(gridDim.x) * GROUPS);
  const Int low = (Int(blockIdx.x) * GROUPS + threadIdx.x / ACROSS) * own, high = least(low + own, entries);
  const int j0 = threadIdx.x % ACROSS;
  if (!onto)
    for (Int i = low; i < high; ++i)
      for (int j = j0; j < WIDTH; j += ACROSS) table[i * WIDTH + j] = T(0);
  for (Int n = 0; n < units.count(); ++n) {
    const Int first = units.first(n) * each, end = units.end(n) * each;
    for (Int k0 = first; k0 < end; k0 += AT_ONCE) {
      const int here = int(least(AT_ONCE, end - k0));
      __syncthreads();
      for (int k = threadIdx.x; k < here; k += THREADS) {
        const Int r = (k0 + k) / each, id = ids[r * of_row + (k0 + k) % each];
        chosen[k] = mask && mask[r] != wanted ? NONE : int(id < 0 ? 0 : least(id, entries - 1));
      }
      __syncthreads();
      for (int k = 0; k < here; ++k)
        if (chosen[k] >= low && chosen[k] < high) {
          const T* from = x + (k0 + k) / each * row + (k0 + k) % each * WIDTH;
          for (int j = j0; j < WIDTH; j += ACROSS) table[Int(chosen[k]) * WIDTH + j] += from[j];
        }
    }
  }
}

// --- along each row ---------------------------------------------------------------------------------------------

template <class T> __device__ __forceinline__ T added_up(T x) {
#pragma unroll
  for (int n = 16; n; n /= 2) x += __shfl_xor_sync(ALL, x, n);
  return x;
}
template <class T> __device__ __forceinline__ T largest_of(T x) {
#pragma unroll
  for (int n = 16; n; n /= 2) x = at_least(x, __shfl_xor_sync(ALL, x, n));
  return x;
}

struct Sum {
  template <int SIZE, class T> static __device__ void row(const T* x, T* y) {
    T sum = T(0);
    for (int i = threadIdx.x % 32; i < SIZE; i += 32) sum += x[i];
    sum = added_up(sum);
    if (threadIdx.x % 32 == 0) *y = sum;
  }
};
template <int SIZE, class T> __device__ __forceinline__ T largest(const T* x) {
  T top = lowest<T>();
  for (int i = threadIdx.x % 32; i < SIZE; i += 32) top = at_least(top, x[i]);
  return largest_of(top);
}
struct Largest {
  template <int SIZE, class T> static __device__ void row(const T* x, T* y) {
    const T top = largest<SIZE>(x);
    if (threadIdx.x % 32 == 0) *y = top;
  }
};
struct Argmax {  // the first place of the largest entry, or of what is no number
  template <int SIZE, class T> static __device__ void row(const T* x, Int* y) {
    const T top = largest<SIZE>(x);
    int first = SIZE;
    for (int i = threadIdx.x % 32; i < SIZE && first == SIZE; i += 32)
      if (x[i] == top || x[i] != x[i]) first = i;
#pragma unroll
    for (int n = 16; n; n /= 2) {
      const int other = __shfl_xor_sync(ALL, first, n);
      first = other < first ? other : first;
    }
    if (threadIdx.x % 32 == 0) *y = first;
  }
};
template <bool LOG> struct Softmax {
  template <int SIZE, class T> static __device__ void row(const T* x, T* y) {
    const T top = largest<SIZE>(x);
    T sum = T(0);
    for (int i = threadIdx.x % 32; i < SIZE; i += 32) sum += exp_of(x[i] - top);
    sum = added_up(sum);
    const T logarithm = LOG ? log_of(sum) : T(0);
    for (int i = threadIdx.x % 32; i < SIZE; i += 32) y[i] = LOG ? x[i] - top - logarithm : exp_of(x[i] - top) / sum;
  }
};

// Walks: a thread takes a line from its first entry to its last.
template <class T> struct Line {
  T* first;
  Int apart, count;
  __device__ __forceinline__ T& operator[](Int i) const { return first[i * apart]; }
};
// Whether an entry comes before another that stands in front of it: what is no number is the largest of all.
template <bool RISING, class T> __device__ __forceinline__ bool sooner(T a, T b) {
  return RISING ? a < b || (b != b && a == a) : a > b || (a != a && b == b);
}
template <bool BACK, class T> __device__ void cumsum(Line<const T> x, Line<T> y) {
  T total = T(0);
  for (Int n = 0; n < x.count; ++n) {
    const Int i = BACK ? x.count - 1 - n : n;
    y[i] = total = n ? total + x[i] : x[i];
  }
}
template <bool, class T> __device__ void argmax(Line<const T> x, Line<Int> y) {
  Int best = 0;
  for (Int i = 1; i < x.count; ++i)
    if (sooner<false>(x[i], x[best])) best = i;
  y[0] = best;
}
template <bool LOG, class T> __device__ __forceinline__ void soft(Line<const T> x, Line<T> y) {
  T top = x[0], sum = T(0);
  for (Int i = 1; i < x.count; ++i) top = at_least(top, x[i]);
  for (Int i = 0; i < x.count; ++i) {
    const T grown = exp_of(x[i] - top);
    y[i] = LOG ? x[i] - top : grown;
    sum += grown;
  }
  if (LOG) sum = log_of(sum);
  for (Int i = 0; i < x.count; ++i) y[i] = LOG ? y[i] - sum : y[i] / sum;
}
template <bool, class T> __device__ void softmax(Line<const T> x, Line<T> y) { soft<false>(x, y); }
template <bool, class T> __device__ void log_softmax(Line<const T> x, Line<T> y) { soft<true>(x, y); }
// The lowest of all numbers stands for minus infinity too.
__device__ __forceinline__ float key(float x) { return at_least(x, -3.4028234663852886e38f); }
__device__ __forceinline__ double key(double x) { return at_least(x, -1.7976931348623157e308); }
__device__ __forceinline__ Int key(Int x) { return x < -0x7fffffffffffffffll ? -0x7fffffffffffffffll : x; }
template <bool, class T> __device__ void top_k(Line<const T> x, Line<Int> y) {
  for (Int i = 0; i < x.count; ++i) {
    Int place = i < y.count ? i : y.count;
    for (; place > 0 && sooner<false>(key(x[i]), key(x[y[place - 1]])); --place)
      if (place < y.count) y[place] = y[place - 1];
    if (place < y.count) y[place] = i;
  }
}
template <bool FALLING, class T> __device__ void argsort(Line<const T> x, Line<Int> y, Line<Int> spare) {
  Line<Int> from = y, to = spare;
  for (Int i = 0; i < x.count; ++i) from[i] = i;
  for (Int size = 1; size < x.count; size *= 2) {
    for (Int low = 0; low < x.count; low += 2 * size) {
      const Int middle = least(low + size, x.count), end = least(low + 2 * size, x.count);
      Int i = low, j = middle;
      for (Int place = low; place < end; ++place) {
        const bool right = i == middle || (j < end && sooner<!FALLING>(x[from[j]], x[from[i]]));
        to[place] = right ? from[j++] : from[i++];
      }
    }
    const Line<Int> old = from;
    from = to;
    to = old;
  }
  if (from.first != y.first)
    for (Int i = 0; i < x.count; ++i) y[i] = from[i];
}
template <bool, class T> __device__ void entries(Line<const T> x, Line<const Int> ids, Line<T> y) {
  for (Int i = 0; i < ids.count; ++i) y[i] = x[inside(ids[i], x.count)];
}
template <bool, class T> __device__ void put_entries(Line<const T> x, Line<const Int> ids, Line<T> y) {
  for (Int i = 0; i < y.count; ++i) y[i] = T(0);
  for (Int i = 0; i < x.count; ++i) y[inside(ids[i], y.count)] += x[i];
}
template <bool, class T> __device__ void compact(Line<const T> x, Line<const bool> kept, Line<T> y) {
  Int done = 0;
  for (Int i = 0; i < x.count; ++i)
    if (kept[i]) y[done++] = x[i];
  while (done < x.count) y[done++] = T(0);
}
template <bool, class T> __device__ void expand(Line<const T> x, Line<const bool> kept, Line<T> y) {
  Int done = 0;
  for (Int i = 0; i < x.count; ++i) y[i] = kept[i] ? x[done++] : T(0);
}

// A warp for each line of each row of the share; the parts share out the lines.
template <class HOW, int SIZE, int LINES, int OF_LINE, class T, class Y>
__device__ void along_rows(const Share& s, const T* x, Int row, Y* y, Int result, const bool* mask, bool wanted) {
  for (int q = s.part * WARPS + threadIdx.x / 32; q < s.size() * LINES; q += s.parts * WARPS) {
    const Int r = s.row(q / LINES), line = q % LINES;
    if (!mask || mask[r] == wanted) HOW::template row<SIZE>(x + r * row + line * SIZE, y + r * result + line * OF_LINE);
  }
}
