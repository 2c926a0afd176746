"""The command line: `blemish VERB MODEL INPUT`, one file per verb."""
