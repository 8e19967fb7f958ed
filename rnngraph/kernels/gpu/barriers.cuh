// How blocks wait for each other, in far memory or as a cluster, and reach into each other's near memory.
#ifdef CUDA_EMU  // a CPU in the place of a device: it has these under names of its own, and the rest as they are called here
inline void arrive_release(unsigned* count) { red_release(count, 1); }
inline unsigned load_acquire(const unsigned* count) { return ld_acquire(count); }
template <class T> inline void store_to(int rank, T* mine, T value) { *shared_of(mine, rank) = value; }
inline int __syncthreads_and(int holds) {
  __shared__ int all;
  all = 1;
  __syncthreads();
  if (!holds) all = 0;
  __syncthreads();
  const int found = all;
  __syncthreads();
  return found;
}
#elif !defined(CUDA_EMULATED)
__device__ __forceinline__ void arrive_release(unsigned* count) {
  asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(count) : "memory");
}
__device__ __forceinline__ unsigned load_acquire(const unsigned* count) {
  unsigned found;
  asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(found) : "l"(count) : "memory");
  return found;
}
// Not `.aligned`: threads of a warp may come to it one by one, as a loop over entries lets them go.
__device__ __forceinline__ void cluster_barrier() {
  asm volatile("barrier.cluster.arrive.release;\n\tbarrier.cluster.wait.acquire;" ::: "memory");
}
// A number into the near memory of a block of the cluster, where this block has `mine`.
__device__ __forceinline__ unsigned place_in(int rank, const void* mine) {
  unsigned found;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(found) : "r"(unsigned(__cvta_generic_to_shared(mine))), "r"(rank));
  return found;
}
__device__ __forceinline__ void store_to(int rank, float* mine, float value) {
  asm volatile("st.shared::cluster.f32 [%0], %1;" ::"r"(place_in(rank, mine)), "f"(value) : "memory");
}
__device__ __forceinline__ void store_to(int rank, double* mine, double value) {
  asm volatile("st.shared::cluster.f64 [%0], %1;" ::"r"(place_in(rank, mine)), "d"(value) : "memory");
}
extern __shared__ __align__(16) unsigned char dynamic_memory[];
__device__ __forceinline__ unsigned char* dynamic_shared() { return dynamic_memory; }
#endif

// The blocks that work on the same rows meet: what each has written, all can read. Nobody meets where one is alone, and
// where they are a cluster they meet at its barrier instead. The count begins anew behind 2^32, so what is left is looked at.
struct Team {
  unsigned* count;
  unsigned size, met;
};
__device__ __forceinline__ void meet(Team& team) {
  __syncthreads();
  if (team.size == 1) return;
  ++team.met;
  if (threadIdx.x == 0) {
    arrive_release(team.count);
    while (int(load_acquire(team.count) - team.met * team.size) < 0) {}
  }
  __syncthreads();
}
