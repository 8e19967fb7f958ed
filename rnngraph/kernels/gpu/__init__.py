"""The code generator for GPUs: CUDA C++ for NVRTC. A loop is one kernel that stays on the device for all its steps."""
