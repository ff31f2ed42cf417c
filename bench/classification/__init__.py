"""Are absent bars called by their right names? The record of a market that knows the truth, held against that truth."""
