"""Self-contained HTML reports, and anomaly maps as pictures."""

from blemish.evaluation.report.case import Case
from blemish.evaluation.report.overlay import colour_range, heatmap, outlined, overlay, panel
from blemish.evaluation.report.palette import coloured_outlines
from blemish.evaluation.report.writer import ReportWriter

__all__ = ["Case", "ReportWriter", "colour_range", "coloured_outlines", "heatmap", "outlined", "overlay", "panel"]
