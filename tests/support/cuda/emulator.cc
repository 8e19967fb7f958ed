// Runs a kernel's threads as coroutines on one thread of the system: a run can be repeated, and where no thread can go
// on that is seen. A coroutine asks, the scheduler answers. This file is compiled without a sanitizer; one that is in
// the program is told what is a thread and what orders memory.
#include "emulator.h"
#include <deque>
#include <map>
#include <memory>
#include <stdio.h>
#include <stdlib.h>
#include <string>
#include <sys/mman.h>
#include <ucontext.h>
#include <vector>

using namespace emulated;

extern "C" {
emulated::Place* emulated_here;
#define WEAK __attribute__((weak))
WEAK void* __tsan_get_current_fiber();
WEAK void* __tsan_create_fiber(unsigned);
WEAK void __tsan_switch_to_fiber(void*, unsigned);
WEAK void __tsan_destroy_fiber(void*);
WEAK void __tsan_acquire(void*);
WEAK void __tsan_release(void*);
WEAK void __asan_poison_memory_region(const void*, size_t);
WEAK void __asan_unpoison_memory_region(const void*, size_t);
}

namespace {
constexpr size_t STACK = 256 << 10, GUARD = 256;
constexpr unsigned char FRESH = 0xff, UNTOUCHED = 0xa5;

void acquire(void* token) { if (__tsan_acquire) __tsan_acquire(token); }
void release(void* token) { if (__tsan_release) __tsan_release(token); }

// --- what there is ---

struct Thread;
struct Meeting {  // of the threads of a block, a warp or a cluster
  unsigned wanted = 0, phase = 0;
  std::vector<Thread*> came;
  char token[2] = {};  // a thread may be at the next meeting while another has not left this one: so all things are two
  unsigned votes[2] = {};
  unsigned long long given[2][32] = {};  // by the lanes of a warp
  unsigned operands[2][32][6];           // of an instruction of tensor cores
};
struct Shared {  // an array in shared memory: what is written behind it is noticed
  size_t bytes;
  unsigned char* data;
  explicit Shared(size_t bytes) : bytes(bytes) {
    data = (unsigned char*)aligned_alloc(128, (bytes + GUARD + 127) / 128 * 128);
    memset(data, FRESH, bytes);
    memset(data + bytes, UNTOUCHED, GUARD);
    if (__asan_poison_memory_region) __asan_poison_memory_region(data + bytes, GUARD);
  }
  ~Shared() {
    if (__asan_unpoison_memory_region) __asan_unpoison_memory_region(data + bytes, GUARD);
    free(data);
  }
  bool overrun() const {
    for (size_t i = 0; !__asan_poison_memory_region && i < GUARD; i++)
      if (data[bytes + i] != UNTOUCHED) return true;
    return false;
  }
};
struct Group;
struct Block {
  Group* group;
  uint3 index;
  unsigned begun = 0, running;
  Meeting all;
  std::vector<std::map<unsigned, Meeting>> warps;  // a meeting for each mask
  std::map<const void*, std::unique_ptr<Shared>> shared;  // by its key; what is dynamic has none
};
struct Worker {  // a coroutine, which runs one thread after another
  void* context[5];
  char* stack;
};
enum Request { MEET, SHARE, POLL, END, FAIL };
struct Thread : Place {
  Block* block_;
  Worker* worker = nullptr;
  void* fiber = nullptr;  // of ThreadSanitizer
  bool begun = false, ended = false;
  Request request;
  const char* what = "";
  int line = 0;
  Meeting* meeting;
  const void* key;
  size_t bytes;
  const void* polled = nullptr;
  unsigned seen;
  bool again;
};
struct Group {  // of blocks that run at the same time
  std::vector<Block> blocks;
  std::vector<Thread> threads;
  std::deque<Meeting> clusters;
  unsigned cluster;
};

const Kernel* kernel;
void** arguments;
std::deque<Thread*> ready;
std::vector<Worker*> spare;
unsigned stacks;
std::string error;
unsigned long long order;  // of the threads, at random; 0: one after the other
size_t idle;               // how often a thread has polled since one got on
void* scheduler[5];
void* scheduler_fiber;
char all_ended;

Thread& me() { return static_cast<Thread&>(*emulated_here); }

// --- coroutines ---

__attribute__((noinline)) void leave_for(void** to) { __builtin_longjmp(to, 1); }
__attribute__((noinline)) void swap(void** from, void** to) {
  if (!__builtin_setjmp(from)) leave_for(to);
}
void ask(Request request, const char* what, int line) {
  Thread& t = me();
  t.request = request;
  t.what = what;
  t.line = line;
  if (__tsan_switch_to_fiber) __tsan_switch_to_fiber(scheduler_fiber, 1);
  swap(t.worker->context, scheduler);
}
void fail(const std::string& message) {
  error = message;
  ask(FAIL, "", 0);
}
void work() {
  for (;;) {
    kernel->call(arguments);
    release(&all_ended);
    ask(END, "", 0);
  }
}
__attribute__((noinline)) void begin(ucontext_t* fresh) {
  if (!__builtin_setjmp(scheduler)) setcontext(fresh);
}
void resume(Thread& t) {
  emulated_here = &t;
  bool fresh = false;
  if (!t.worker) {
    if ((fresh = spare.empty())) spare.push_back(new Worker{});
    t.worker = spare.back();
    spare.pop_back();
    if (__tsan_create_fiber) t.fiber = __tsan_create_fiber(0);
  }
  if (!t.begun) t.begun = true, t.block_->begun++;
  if (t.fiber) __tsan_switch_to_fiber(t.fiber, 1);
  if (!fresh) return swap(scheduler, t.worker->context);
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  t.worker->stack = (char*)mmap(nullptr, STACK, PROT_READ | PROT_WRITE, flags, -1, 0);
  ucontext_t start;
  getcontext(&start);
  start.uc_stack.ss_sp = t.worker->stack;
  start.uc_stack.ss_size = STACK - stacks++ % 64 * 576;  // else all frames would meet in one line of the cache
  makecontext(&start, work, 0);
  begin(&start);
}
void destroy(Thread& t) {
  if (t.fiber) __tsan_destroy_fiber(t.fiber);
  if (!t.worker) return;
  munmap(t.worker->stack, STACK);
  delete t.worker;
}

// --- messages ---

std::string text(uint3 i) { return "(" + std::to_string(i.x) + ", " + std::to_string(i.y) + ")"; }
std::string at(const Thread& t) { return std::string(t.what) + (t.line ? " at line " + std::to_string(t.line) : ""); }
std::string named(const Thread& t) { return "thread " + text(t.thread) + " of block " + text(t.block); }

// Where the threads are, block by block.
std::string deadlock(Group& group) {
  std::map<std::string, std::pair<unsigned, const Thread*>> found;
  for (Thread& t : group.threads) {
    auto& entry = found["block " + text(t.block) + ": " + (t.ended ? "ended" : "wait in " + at(t))];
    if (!entry.first++) entry.second = &t;
  }
  std::string told = "deadlock";
  for (auto& [where, entry] : found)
    told += "\n  " + where + ": " + std::to_string(entry.first) + " threads, first " + text(entry.second->thread);
  return told;
}

// --- the scheduler ---

void meet(Thread& t) {
  Meeting& m = *t.meeting;
  if (!m.came.empty() && (m.came[0]->line != t.line || strcmp(m.came[0]->what, t.what))) {
    error = "different barriers: " + named(*m.came[0]) + " is in " + at(*m.came[0]) + ", " + named(t) + " in " + at(t);
    return;
  }
  m.came.push_back(&t);
  if (m.came.size() < m.wanted) return;
  idle = 0;
  m.phase++;
  ready.insert(ready.begin(), m.came.begin(), m.came.end());  // a warp goes on while what it reads is at hand
  m.came.clear();
}
Shared& share(Block& block, const void* key, size_t bytes) {
  auto& array = block.shared[key];
  if (!array) {
    array = std::make_unique<Shared>(bytes);
    release(array.get());
  }
  return *array;
}
void end(Thread& t) {
  t.ended = true;
  idle = 0;
  Block& block = *t.block_;
  if (!--block.running)
    for (auto& [key, array] : block.shared) {
      if (array->overrun()) error = "block " + text(t.block) + " wrote behind the end of an array in shared memory";
      if (!__tsan_acquire) memset(array->data, FRESH, array->bytes);  // no other block of the cluster may read it now
    }
  if (t.fiber) return;  // its stack stays, or what is on it would be told as a race with the next thread
  spare.push_back(t.worker);
  t.worker = nullptr;
}
void answer(Thread& t) {
  switch (t.request) {
    case MEET: return meet(t);
    case END: return end(t);
    case FAIL: return;
    case SHARE: share(*t.block_, t.key, t.bytes); return ready.push_front(&t);
    case POLL: idle = t.again ? idle + 1 : 0; return ready.push_back(&t);
  }
}
Thread& next() {
  if (order) {
    order = order * 6364136223846793005u + 1442695040888963407u;
    std::swap(ready[0], ready[(order >> 33) % ready.size()]);
  }
  Thread& t = *ready[0];
  ready.pop_front();
  return t;
}
void run(Group& group) {
  ready.clear();
  for (Thread& t : group.threads) ready.push_back(&t);
  idle = 0;
  while (error.empty() && !ready.empty()) {
    Thread& t = next();
    resume(t);
    answer(t);
    if (idle > 100 * (ready.size() + 1)) break;
  }
  for (Block& block : group.blocks)
    if (error.empty() && block.running) error = deadlock(group);
}
void furnish(Group& group, const unsigned* shape, unsigned first, unsigned count, size_t bytes, unsigned cluster) {
  unsigned size = shape[2] * shape[3];
  group.cluster = cluster;
  group.blocks.reserve(count);
  group.threads.reserve(count * size);
  for (unsigned i = first; i < first + count; i++) {
    if ((i - first) % cluster == 0) group.clusters.emplace_back().wanted = size * cluster;
    Block& block = group.blocks.emplace_back();
    block.group = &group;
    block.index = {i % shape[0], i / shape[0], 0};
    block.running = block.all.wanted = size;
    block.warps.resize((size + 31) / 32);
    unsigned char* dynamic = share(block, nullptr, bytes).data;
    for (unsigned j = 0; j < size; j++) {
      Thread& t = group.threads.emplace_back();
      t.thread = {j % shape[2], j / shape[2], 0};
      t.block = block.index;
      t.threads = {shape[2], shape[3], 1};
      t.blocks = {shape[0], shape[1], 1};
      t.lane = j % 32;
      t.rank = (i - first) % cluster;
      t.dynamic = dynamic;
      t.block_ = &block;
    }
  }
}

// --- what a thread asks ---

unsigned number(const Thread& t) { return t.thread.y * t.threads.x + t.thread.x; }
unsigned join(Meeting& m, const char* what, int line, bool orders) {  // which of the two
  Thread& t = me();
  unsigned turn = m.phase & 1;
  if (orders) release(&m.token[turn]);
  t.meeting = &m;
  ask(MEET, what, line);
  if (orders) acquire(&m.token[turn]);
  return turn;
}
Meeting& warp(unsigned mask, const char* what, int line) {
  Thread& t = me();
  unsigned left = t.block_->all.wanted - number(t) / 32 * 32, there = left < 32 ? (1u << left) - 1 : ~0u;
  if (!(mask >> t.lane & 1)) {
    t.what = what, t.line = line;
    fail(named(t) + " is not in the mask of its own " + at(t));
  }
  Meeting& m = t.block_->warps[number(t) / 32][mask];
  m.wanted = __builtin_popcount(mask & there);
  return m;
}
}  // namespace

extern "C" {
unsigned emulated_block_barrier(bool vote, const char* what, int line) {
  Meeting& m = me().block_->all;
  unsigned turn = m.phase & 1;
  if (m.came.empty()) m.votes[turn] = 0;
  m.votes[turn] += vote;
  join(m, what, line, true);
  return m.votes[turn];
}
void emulated_cluster_barrier(int line) {
  Group& group = *me().block_->group;
  unsigned block = me().block_ - &group.blocks[0];
  join(group.clusters[block / group.cluster], "cluster_barrier()", line, true);
}
void emulated_warp_barrier(unsigned mask, int line) {
  join(warp(mask, "__syncwarp()", line), "__syncwarp()", line, true);
}
unsigned emulated_ballot(unsigned mask, bool vote, const char* what, int line) {
  Meeting& m = warp(mask, what, line);
  if (m.came.empty()) memset(m.given[m.phase & 1], 0, sizeof m.given[0]);
  m.given[m.phase & 1][me().lane] = vote;
  unsigned turn = join(m, what, line, false), found = 0;
  for (int lane = 0; lane < 32; lane++) found |= unsigned(m.given[turn][lane]) << lane;
  return found;
}
unsigned long long emulated_shuffle(unsigned mask, unsigned long long bits, unsigned lane, const char* what, int line) {
  Thread& t = me();
  Meeting& m = warp(mask, what, line);
  m.given[m.phase & 1][t.lane] = bits;
  unsigned turn = join(m, what, line, false);
  unsigned place = number(t) / 32 * 32 + lane;
  if (lane > 31 || !(mask >> lane & 1) || place >= t.block_->all.wanted)
    fail(named(t) + " reads lane " + std::to_string(lane) + ", which takes no part, in " + at(t));
  return m.given[turn][lane];
}
void emulated_operands(const unsigned* mine, unsigned (*all)[6], const char* what, int line) {
  Meeting& m = warp(~0u, what, line);
  memcpy(m.operands[m.phase & 1][me().lane], mine, sizeof m.operands[0][0]);
  unsigned turn = join(m, what, line, false);
  if (m.wanted != 32) fail(named(me()) + " has no whole warp in " + at(me()));
  memcpy(all, m.operands[turn], sizeof m.operands[0]);
}
void* emulated_shared(const void* key, size_t bytes) {
  Thread& t = me();
  if (!t.block_->shared.count(key)) {
    t.key = key;
    t.bytes = bytes;
    ask(SHARE, "", 0);
  }
  Shared& array = *t.block_->shared[key];
  acquire(&array);
  return array.data;
}
void* emulated_shared_of(const void* mine, unsigned rank) {
  Thread& t = me();
  Group& group = *t.block_->group;
  if (rank >= group.cluster)
    fail("a cluster of " + std::to_string(group.cluster) + " has no block " + std::to_string(rank));
  Block& whose = t.block_[int(rank) - int(t.rank)];  // its shared memory is there from its first thread to its last
  if (!whose.begun || !whose.running)
    fail(named(t) + " reaches for block " + text(whose.index) + ", which has " + (whose.begun ? "ended" : "not begun"));
  for (auto& [key, array] : t.block_->shared)
    if (size_t offset = (unsigned char*)mine - array->data; offset <= array->bytes) {
      Shared& other = share(whose, key, array->bytes);
      acquire(&other);
      return other.data + offset;
    }
  fail("shared_of() of an address that is not in shared memory");
  return nullptr;
}
void emulated_polled(const void* address, unsigned value, const char* what, int line) {
  Thread& t = me();
  t.again = t.polled == address && t.seen == value;
  t.polled = address;
  t.seen = value;
  ask(POLL, what, line);
}
void emulated_progress() { idle = 0; }

// What is wrong, or null. `shape`: blocks, x and y, and threads of each.
const char* emulated_launch(const Kernel* what, void** given, const unsigned* shape, size_t shared, unsigned cluster,
                            bool cooperative, unsigned long long seed) {
  kernel = what;
  arguments = given;
  order = seed;
  error.clear();
  if (__tsan_get_current_fiber) scheduler_fiber = __tsan_get_current_fiber();
  unsigned all = shape[0] * shape[1], together = cooperative ? all : cluster;
  std::deque<Group> groups;
  for (unsigned first = 0; first < all && error.empty(); first += together) {
    furnish(groups.emplace_back(), shape, first, together, shared, cluster);
    run(groups.back());
    if (__tsan_acquire) continue;  // what ran before is not yet ordered before what runs now
    for (Thread& t : groups.back().threads) destroy(t);
    groups.clear();
  }
  acquire(&all_ended);
  for (Group& group : groups)
    for (Thread& t : group.threads) destroy(t);
  return error.empty() ? nullptr : error.c_str();
}

// A launch as a file tells it: of a process of its own, which a sanitizer may end.
int emulated_main(const Kernel* kernels, const char* path) {
  FILE* file = fopen(path, "rb");
  auto number = [file] {
    long long value = 0;
    if (!fread(&value, sizeof value, 1, file)) exit(2);
    return value;
  };
  const Kernel* named = kernels + number();
  unsigned shape[4];
  for (unsigned& size : shape) size = number();
  size_t shared = number();
  unsigned cluster = number();
  bool cooperative = number();
  unsigned long long seed = number();
  std::vector<std::unique_ptr<char[]>> regions(number());  // of memory, each with an end of its own
  for (auto& region : regions) {
    size_t bytes = number();
    region.reset(new char[bytes]);
    if (bytes && !fread(region.get(), bytes, 1, file)) exit(2);
  }
  std::vector<long long> values(number());
  std::vector<void*> given;
  for (long long& value : values) {  // a number, or a place in a region
    long long region = number();
    value = number();
    if (region >= 0) value += (long long)regions[region].get();
    given.push_back(&value);
  }
  fclose(file);
  const char* wrong = emulated_launch(named, given.data(), shape, shared, cluster, cooperative, seed);
  if (wrong) fprintf(stderr, "%s\n", wrong);
  return wrong != nullptr;
}
}
