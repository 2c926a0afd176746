"""Which findings teach most: those a person should see first."""

from __future__ import annotations

from blemish.inspection import UNKNOWN_DEFECT, Inspection

_NEAR = 3.0  # a p-value within this factor of the rate could have gone either way
_SURE = 0.5  # a name that claims less of the defect than this is doubtful
UNCERTAIN, UNKNOWN, DEFECTIVE, NORMAL = 3.0, 2.0, 1.0, 0.0


def priority(found: Inspection) -> float:
    """Place in the queue, highest first: uncertain, then unknown, then defective by score, then normal.

    Within a kind images with more doubt, or a smaller p-value, come first; the integer part is the kind.
    """
    evidence = 0.999 * (1 - found.p_value)
    if not found.known:
        return UNKNOWN
    rate = found.effective_rate or 0.0
    # a p-value of just the rate may be the smallest that there is, that of the surest defect
    if rate / _NEAR < found.p_value <= rate * _NEAR and found.p_value != rate:
        return UNCERTAIN + evidence
    if not found.defective:
        return NORMAL + evidence
    if found.category == UNKNOWN_DEFECT:
        return UNKNOWN + evidence
    best = max(found.category_scores.values(), default=1.0)
    if found.category is not None and best < _SURE:
        return UNCERTAIN + 0.999 * (1 - best)
    return DEFECTIVE + evidence
