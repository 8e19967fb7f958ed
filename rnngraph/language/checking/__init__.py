"""What can be said of a file without running through it: names, sizes of the work, everything that is wrong."""
