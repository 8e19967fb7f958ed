// The CTC loss and its gradient: alpha and beta of ops/ctc.py in 64 bits, a block for each row of the batch, a thread for
// every 256th label. Alpha, beta and log probabilities lie in the scratch that the op has in the plan.

constexpr double NEVER = -1e30;

__device__ __forceinline__ double either(double a, double b) {
  const double apart = a == b ? 0.0 : fabs(a - b);
  return (a > b ? a : b) + log1p(exp(-apart));
}

// The sum over a block, for all of its threads.
__device__ __forceinline__ Int all_added_up(Int x) {
  __shared__ Int parts[WARPS];
  x = added_up(x);
  __syncthreads();
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
  __syncthreads();
  Int total = 0;
  for (int warp = 0; warp < WARPS; ++warp) total += parts[warp];
  return total;
}

// What there is of labels: arrays (label, row), those that are kept (step, label, row), log probabilities (step, row, class).
template <bool GRADIENT, bool MERGE, bool IGNORE, bool ZERO, int CLASSES, int BLANK, class T>
struct Ctc {
  Int time, rows, labels, row, steps;
  const T* scores;
  T* out;
  double *logs, *label, *blank;
  Int* ids;
  double *all_label, *all_blank, *all_start;
  Int number = 0, needed = 0;

  __device__ __forceinline__ Int at(Int i) const { return i * rows + row; }
  __device__ __forceinline__ double* logs_of(Int t) const { return logs + at(t) * CLASSES; }
  __device__ __forceinline__ double silence(Int t) const { return logs_of(t)[BLANK]; }
  __device__ __forceinline__ double said(Int t, Int i) const { return logs_of(t)[ids[at(i)]]; }
  __device__ __forceinline__ bool stuck(Int i) const { return MERGE && i > 0 && ids[at(i)] == ids[at(i - 1)]; }

  // Log probabilities of each step, a warp for each.
  __device__ void find_logs(Int apart) {
    const int lane = threadIdx.x % 32;
    for (Int t = threadIdx.x / 32; t < steps; t += WARPS) {
      const T* x = scores + at(t) * apart;
      double top = lowest<double>(), sum = 0;
      for (int k = lane; k < CLASSES; k += 32) top = at_least(top, double(x[k]));
      top = largest_of(top);
      for (int k = lane; k < CLASSES; k += 32) sum += exp(double(x[k]) - top);
      sum = log(added_up(sum));
      for (int k = lane; k < CLASSES; k += 32) logs_of(t)[k] = double(x[k]) - top - sum;
    }
  }

  // How many labels the row has, before the first blank, and how many steps it needs.
  __device__ void find_labels(const Int* given, Int counts) {
    Int first = least(labels, counts < 0 ? 0 : counts);
    for (Int i = threadIdx.x; i < labels; i += THREADS) {
      ids[at(i)] = inside(given[at(i)], CLASSES);
      if (given[at(i)] == BLANK) first = least(first, i);
    }
    __shared__ Int firsts[THREADS];
    firsts[threadIdx.x] = first;
    __syncthreads();
    for (int i = 0; i < THREADS; ++i) first = least(first, firsts[i]);
    Int twice = 0;
    for (Int i = threadIdx.x; i < first; i += THREADS) twice += stuck(i);
    number = first;
    needed = first + all_added_up(twice);
  }

  // Alpha of every step, and of all labels together. Labels from the last to the first, as each reads the one before it.
  __device__ double forward() {
    for (Int i = threadIdx.x; i < labels; i += THREADS) label[at(i)] = blank[at(i)] = NEVER;
    double start = 0;
    const Int last = (labels + THREADS - 1) / THREADS * THREADS;
    __syncthreads();
    for (Int t = 0; t < steps; ++t) {
      for (Int i0 = last - THREADS; i0 >= 0; i0 -= THREADS) {
        const Int i = i0 + threadIdx.x;
        double is = 0, quiet = 0;
        if (i < labels) {
          is = either(MERGE ? label[at(i)] : NEVER, i ? blank[at(i - 1)] : start);
          if (i) is = either(is, stuck(i) ? NEVER : label[at(i - 1)]);
          is += said(t, i);
          quiet = either(blank[at(i)], label[at(i)]) + silence(t);
        }
        __syncthreads();
        if (i < labels) {
          label[at(i)] = is, blank[at(i)] = quiet;
          if (GRADIENT) all_label[at(t * labels + i)] = is, all_blank[at(t * labels + i)] = quiet;
        }
        __syncthreads();
      }
      start += silence(t);
      if (GRADIENT && threadIdx.x == 0) all_start[at(t)] = start;
    }
    const double total = number ? either(label[at(number - 1)], blank[at(number - 1)]) : start;
    __syncthreads();
    return total;
  }

  // Beta, and in the place of alpha how likely each label and each silence is at each step.
  __device__ void backward(double total) {
    for (Int i = threadIdx.x; i < labels; i += THREADS) label[at(i)] = blank[at(i)] = i + 1 == number ? 0 : NEVER;
    double start = number ? NEVER : 0;
    __syncthreads();
    for (Int t = steps - 1; t >= 0; --t) {
      if (t + 1 < steps) start = behind(t + 1, start);
      for (Int i = threadIdx.x; i < labels; i += THREADS) {
        const Int here = at(t * labels + i);
        all_label[here] = exp(all_label[here] + label[at(i)] - total);
        all_blank[here] = exp(all_blank[here] + blank[at(i)] - total);
      }
      if (threadIdx.x == 0) all_start[at(t)] = exp(all_start[at(t)] + start - total);
    }
    __syncthreads();
  }

  // Beta of the step before from that of step t. Labels from the first to the last, as each reads the one behind it.
  __device__ double behind(Int t, double start) {
    start += silence(t);
    if (labels) start = either(start, label[at(0)] + said(t, 0));
    for (Int i0 = 0; i0 < labels; i0 += THREADS) {
      const Int i = i0 + threadIdx.x;
      double ahead = 0, quiet = 0;
      if (i < labels) {
        quiet = blank[at(i)] + silence(t);
        ahead = MERGE ? either(quiet, label[at(i)] + said(t, i)) : quiet;
        if (i + 1 < labels) {
          const double next = label[at(i + 1)] + said(t, i + 1);
          quiet = either(quiet, next);
          ahead = either(ahead, stuck(i + 1) ? NEVER : next);
        }
      }
      __syncthreads();
      if (i < labels) label[at(i)] = ahead, blank[at(i)] = quiet;
      __syncthreads();
    }
    return start;
  }

  // The softmax less how likely a path says each class, a warp for each step; a lane has every 32nd class.
  __device__ void gradient(Int apart, bool left) {
    const int lane = threadIdx.x % 32;
    for (Int t = threadIdx.x / 32; t < time; t += WARPS) {
      T* y = out + at(t) * apart;
      if (left || t >= steps) {
        for (int k = lane; k < CLASSES; k += 32) y[k] = T(0);
        continue;
      }
      double* found = logs_of(t);
      double silent = 0;
      for (Int i = lane; i < labels; i += 32) silent += all_blank[at(t * labels + i)];
      silent = added_up(silent) + all_start[at(t)];
      for (int k = lane; k < CLASSES; k += 32) found[k] = exp(found[k]) - (k == BLANK ? silent : 0.0);
      for (Int i = 0; i < labels; ++i) {
        const Int id = ids[at(i)];
        if (id % 32 == lane) found[id] -= all_label[at(t * labels + i)];
      }
      for (int k = lane; k < CLASSES; k += 32) y[k] = T(found[k]);
    }
  }

  __device__ void run(const Int* given, Int counts, Int apart, Int told) {
    find_labels(given, counts);
    find_logs(apart);
    __syncthreads();
    const double total = forward();
    const bool never = total < 0.5 * NEVER, left = (IGNORE && needed > told) || (ZERO && never);
    if (GRADIENT) {
      backward(never ? -NEVER : total);
      gradient(apart, left);
    } else if (threadIdx.x == 0)
      out[row] = T(left ? 0.0 : never ? -lowest<double>() : -total);
  }
};
