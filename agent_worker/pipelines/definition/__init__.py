"""A definition as typed values: what it declares, and one dataclass for each kind of block."""
