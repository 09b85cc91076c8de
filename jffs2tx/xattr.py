_P = {b"user.": 1, b"security.": 2, b"trusted.": 5}


def xattr_to_medium(full, value, endian):
    for p, c in _P.items():
        if full.startswith(p):
            return c, full[len(p) :], value
    raise ValueError(full)
