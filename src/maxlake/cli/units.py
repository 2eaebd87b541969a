"""The unit of sizes on the command line."""

MEBIBYTE = 1024 * 1024
