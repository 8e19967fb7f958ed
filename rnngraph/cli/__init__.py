"""The command line: a file for each verb, under its name; what they share stands beside them."""
