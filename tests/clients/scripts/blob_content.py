"""What the behaviours of blobs upload."""

SIZES = (0, 1, 4095, 4096, 4097, 1024 * 1024)


def content(size, start=0):
    """That many bytes, not the same at any two offsets a block apart."""
    return (bytes((start + number) % 251 for number in range(251)) * (size // 251 + 1))[:size]
