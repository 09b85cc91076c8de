"""The fault laboratory: an operation is recorded on a simulated flash; every power cut in it is built and judged."""

from jffs2tx.faults.families import ALL_FAMILIES, FAMILIES, Family, families
from jffs2tx.faults.judge import Failure, Judge, Tally
from jffs2tx.faults.recording import Recording, record
from jffs2tx.faults.tokens import Place, Token
from jffs2tx.faults.viewers import VIEWERS, Viewer, viewers_of

__all__ = [
    "ALL_FAMILIES",
    "FAMILIES",
    "VIEWERS",
    "Failure",
    "Family",
    "Judge",
    "Place",
    "Recording",
    "Tally",
    "Token",
    "Viewer",
    "families",
    "record",
    "viewers_of",
]
