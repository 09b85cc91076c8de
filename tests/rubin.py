"""A rubin compressor, from the format: each bit of a byte, the lowest first, has its own fixed chance of being set."""

FIXED = (277, 249, 290, 267, 229, 341, 212, 241)  # of 1043
HALF = 0x8000


def compress(data, ones, divider):
    """The coder's bits, filled up to whole bytes."""
    bits, low, width = [], 0, 2 * HALF
    for byte in data:
        for place, chance in enumerate(ones):
            while low >= HALF or low + width <= HALF:
                bits.append(low >> 15)
                low, width = (low & (HALF - 1)) << 1, width << 1
            zeros = min(max((divider - chance) * width // divider, 1), width - 1)
            if byte >> place & 1:
                low, width = low + zeros, width - zeros
            else:
                width = zeros
    bits += [low >> place & 1 for place in range(15, -1, -1)]
    bits += [0] * (-len(bits) % 8)
    return bytes(sum(bit << (7 - i) for i, bit in enumerate(bits[at : at + 8])) for at in range(0, len(bits), 8))


def fixed(data):
    return compress(data, FIXED, 1043)


def dynamic(data):
    """With its table in front: how many of 256 bytes have each bit set; a byte's count is kept in 8 bits."""
    counts = [data.count(byte) & 0xFF for byte in range(256)]
    ones = [sum(count for byte, count in enumerate(counts) if byte >> place & 1) for place in range(8)]
    table = [min(max(one * 256 // len(data), 1), 255) for one in ones]
    return bytes(table) + compress(data, table, 256)
