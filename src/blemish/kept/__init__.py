"""Images that stay with a model: normal ones and labelled examples of defects."""
