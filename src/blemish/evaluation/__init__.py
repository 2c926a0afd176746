"""How good a model is: metrics, protocols, the scorecard and the report."""
