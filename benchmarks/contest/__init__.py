"""Who runs what in `benchmarks/cpu.py`: the cells, the numbers, and one contestant for each way of running them."""
