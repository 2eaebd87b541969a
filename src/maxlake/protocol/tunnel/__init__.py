"""What the tunnel puts on the wire: records, and Arrow in checked chunks (rest.md §8, types.md §5)."""
